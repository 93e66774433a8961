"""Things that are measured in turn: a repetition of each, and again.

So the repetitions of each lie over the whole time of the measurement, and their spread tells what
the machine does from one minute to the next.
"""

from collections.abc import Sequence
from typing import Protocol

from .session import Session


class Job(Protocol):
    """One thing to measure.

    Attributes:
        title: What people read.
        why: Why it cannot be measured; empty while it can.
    """

    title: str
    why: str

    def measure(self) -> None:
        """Keep a further repetition, or set ``why``, which ends the job."""

    def add_figures(self) -> None:
        """Give the session what the repetitions found; where there is none, nothing."""


def measure_in_turn(session: Session, name: str, jobs: Sequence[Job]) -> None:
    """All repetitions of all jobs; of an interrupted run the figures of those that were finished.

    Args:
        session: With an open section.
        name: Of what is measured, for the progress.
        jobs: In their order.
    """
    rounds = session.effort.repeats
    try:
        for number in range(1, rounds + 1):
            for job in jobs:
                if not job.why:
                    session.say(f"{name}: {number} of {rounds}: {job.title}")
                    job.measure()
    finally:
        for job in jobs:
            job.add_figures()
