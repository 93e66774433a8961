"""Printing for people on standard output."""

from rich.console import Console


class Terminal(Console):
    """rich's console, for which a closed pipe is what it is for everybody else.

    rich itself would end the process with code 1 where ``fer-edge inspect … | head`` has done all
    that was asked for.
    """

    def on_broken_pipe(self) -> None:
        """Hand the error on.

        Raises:
            BrokenPipeError: Always; it is the one that is being handled.
        """
        raise
