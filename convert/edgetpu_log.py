"""What the Edge TPU compiler says, read from its output.

The format is known from the logs in the issues of google-coral/edgetpu; compilers 2 to 16 share it.
"""

import re
from dataclasses import dataclass

from ..edge.errors import ModelError

COMPILER = "edgetpu_compiler"
_MAPPED = "Mapped to Edge TPU"
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class LoggedOperation:
    """A line of the compiler's table: so many operations of a kind have this status."""

    name: str
    count: int
    status: str

    @property
    def on_tpu(self) -> bool:
        """Whether these run on the Edge TPU."""
        return self.status == _MAPPED


@dataclass(frozen=True, slots=True)
class CompilerLog:
    """What the compiler said about a model that it compiled.

    Attributes:
        version: Of the compiler, such as ``16.0.384591198``.
        on_tpu: Number of operations on the Edge TPU.
        on_cpu: Number of those that stay on the CPU.
        operations: Its table.
        cached_bytes: Weights that stay in the Edge TPU's memory; None where it did not say.
        streamed_bytes: Weights that are sent at every run; None where it did not say.
        text: All that it said.
    """

    version: str
    on_tpu: int
    on_cpu: int
    operations: tuple[LoggedOperation, ...]
    cached_bytes: int | None
    streamed_bytes: int | None
    text: str


def parse_log(text: str) -> CompilerLog:
    """Read the compiler's output.

    Raises:
        ModelError: It is not in the format that compilers 2 to 16 write.
    """
    version = _find(r"Edge TPU Compiler version (\S+)", text)
    table = tuple(
        LoggedOperation(name, int(count), " ".join(status.split()))
        for name, count, status in re.findall(
            r"(?m)^([A-Za-z][\w.-]*)[ \t]+(\d+)[ \t]+(\S.*)$",
            _after(text, r"Operator\s+Count\s+Status"),
        )
    )
    on_tpu = _find(r"Number of operations that will run on Edge TPU: (\d+)", text)
    on_cpu = _find(r"Number of operations that will run on CPU: (\d+)", text)
    if on_tpu is None or on_cpu is None:
        # Both lines are left out where everything was mapped.
        on_tpu = str(sum(item.count for item in table if item.on_tpu))
        on_cpu = str(sum(item.count for item in table if not item.on_tpu))
    if version is None or int(on_tpu) + int(on_cpu) == 0:
        raise ModelError(
            f"The output of {COMPILER} is not in the known format (of versions 2 to 16): "
            f"{last_lines(text)}"
        )
    return CompilerLog(
        version=version,
        on_tpu=int(on_tpu),
        on_cpu=int(on_cpu),
        operations=table,
        cached_bytes=_size(r"On-chip memory used for caching model parameters: (\S+)", text),
        streamed_bytes=_size(r"used for streaming uncached model parameters: (\S+)", text),
        text=text,
    )


def _after(text: str, heading: str) -> str:
    parts = re.split(heading, text, maxsplit=1)
    return parts[1] if len(parts) > 1 else ""


def _find(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1) if found else None


def _size(pattern: str, text: str) -> int | None:
    found = re.fullmatch(r"([\d.]+)([KMG]?i?B)", _find(pattern, text) or "")
    if not found or found.group(2) not in _UNITS:
        return None
    return int(float(found.group(1)) * _UNITS[found.group(2)])


def last_lines(text: str) -> str:
    """The last lines of an output that say something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-6:])[:600] or "it said nothing"
