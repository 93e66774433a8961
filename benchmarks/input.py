"""What reading and changing the images costs a training: from the file, and beside the network."""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..training.datasets import Dataset, load
from ..training.plan import step_seconds
from ..training.recipe_book import find_recipe
from ..training.recipes import Recipe
from ..training.stages import stages
from ..training.train import Run, check_arguments, prepare_lessons, prepare_network, prepare_stage
from .host import Host, read_host

SCHEMA_VERSION = 1
#: Steps with images changed as they go, as a share of the rate with ready-made ones.
WANTED_RATE = 0.95
WANTED_FIRST_S, WANTED_CACHED_S = 90.0, 2.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds from the call to the data set in memory.

    Attributes:
        first_s: With nothing cached: unpacked, parsed, checked and cached.
        cached_s: From the cache; the median of some times.
    """

    first_s: float
    cached_s: float


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a training step of a recipe, round by round.

    Attributes:
        recipe: Its name.
        batch: Images a step.
        real_s: With images that are changed while the step before runs.
        ready_s: With the same batch each time, made before; measured in turn with the other.
    """

    recipe: str
    batch: int
    real_s: tuple[float, ...]
    ready_s: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Step rate with real images over that with ready-made ones, median of the rounds."""
        return statistics.median(
            ready / real for real, ready in zip(self.real_s, self.ready_s, strict=True)
        )


@dataclass(frozen=True, slots=True)
class InputReport:
    """What was measured, and where.

    Attributes:
        data: Name of the file.
        images: In all splits.
        reading: From the file.
        steps: Timed in each round.
        recipes: A score each.
        host: Where it ran.
    """

    data: str
    images: int
    reading: Reading
    steps: int
    recipes: tuple[StepTimes, ...]
    host: Host

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, schema version 1."""
        document = dataclasses.asdict(self)
        for entry, times in zip(document["recipes"], self.recipes, strict=True):
            entry["rate"] = round(times.rate, 4)
        return {"schema": SCHEMA_VERSION, "benchmark": "input", **document}


def measure(
    source: Path,
    names: Sequence[str],
    *,
    votes: Path | None = None,
    steps: int = 20,
    repeat: int = 3,
    progress: Callable[[str], None] = lambda line: None,
) -> InputReport:
    """Read the data twice, and train some steps of each recipe; nothing is kept.

    Args:
        source: FER-2013, with Training rows.
        names: Recipes.
        votes: FER+'s, which some recipes want.
        steps: How many to time in a round.
        repeat: Rounds.
        progress: Told what is next.

    Raises:
        FerEdgeError: The data cannot be read, or a recipe cannot be trained with it.
    """
    recipes = [find_recipe(name) for name in names]
    progress(f"reading {source.name}")
    host = read_host()
    data, reading = _read(source, votes, repeat)
    scores = []
    for recipe in recipes:
        progress(f"{repeat} rounds of {steps} steps: {recipe.name}")
        scores.append(_time(data, recipe, steps, repeat))
    return InputReport(source.name, len(data), reading, steps, tuple(scores), host)


def _read(source: Path, votes: Path | None, repeat: int) -> tuple[Dataset, Reading]:
    with tempfile.TemporaryDirectory(prefix="fer-edge-input-") as folder:
        times = []
        for _ in range(1 + repeat):
            began = time.perf_counter()
            data = load(source, votes=votes, cache=Path(folder))
            times.append(time.perf_counter() - began)
    return data, Reading(times[0], statistics.median(times[1:]))


def _time(data: Dataset, recipe: Recipe, steps: int, repeat: int) -> StepTimes:
    # Not ImageNet's weights, which are downloaded and make no step slower.
    run = Run(weights="none")
    data, choose_on = data.with_validation(seed=recipe.seed)
    training, _ = check_arguments(data, choose_on, recipe, run)
    lessons = prepare_lessons(training, recipe, run, data.digest)
    model = prepare_stage(prepare_network(recipe, run), recipe, stages(recipe)[0], lessons)
    step_seconds(model, lessons.batches, 2, ready=True)
    times: dict[bool, list[float]] = {False: [], True: []}
    count = min(steps, len(lessons.batches))
    for _ in range(repeat):
        for ready, row in times.items():
            row.append(step_seconds(model, lessons.batches, count, ready=ready))
    return StepTimes(recipe.name, recipe.schedule.batch, tuple(times[False]), tuple(times[True]))


def to_markdown(report: InputReport) -> str:
    """Two tables as Markdown."""
    reading = report.reading
    lines = [
        f"{report.data}: {report.images} images",
        "",
        "| reading | seconds | wanted |",
        "| --- | --- | --- |",
        f"| the first time | {reading.first_s:.1f} | <= {WANTED_FIRST_S:g} |",
        f"| from the cache | {reading.cached_s:.2f} | <= {WANTED_CACHED_S:g} |",
        "",
        f"| recipe | images a step | ms a step | ready-made | rate (wanted: {WANTED_RATE:.0%}) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for times in report.recipes:
        real, ready = (1e3 * statistics.median(row) for row in (times.real_s, times.ready_s))
        lines.append(
            f"| {times.recipe} | {times.batch} | {real:.1f} | {ready:.1f} | {times.rate:.1%} |"
        )
    return "\n".join(lines) + "\n"
