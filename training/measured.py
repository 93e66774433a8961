"""What each recipe costs and what its run reached, as the repository publishes it."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a recipe.

    Attributes:
        parameters: Of its network.
        multiply_adds: Of one image.
        accuracy: Float, one view, on PublicTest, 0 to 1; None where it was not measured.
        run: The folder of that run under ``docs/results``, or None.
    """

    parameters: int
    multiply_adds: int
    accuracy: float | None
    run: str | None


def read_measured() -> dict[str, Measured]:
    """The figures of every recipe in :mod:`.recipe_book`, by name."""
    text = (Path(__file__).parent / "assets" / "measured.json").read_text()
    return {name: Measured(**values) for name, values in json.loads(text).items()}
