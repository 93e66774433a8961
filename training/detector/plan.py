"""What a run would do and how long it would take on this machine: ``train-detector --dry-run``."""

from dataclasses import dataclass

from ..plan import step_seconds
from .batches import DetectorBatches
from .compose import Composer
from .recipe import DetectorRecipe, check
from .train import DetectorData, cost_of, describe, part, prepare_network, teaching_model

_TIMED = 8


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """A run before it is run.

    Attributes:
        about: A line on what it is made of.
        multiply_adds: Of one picture of 320x240.
        pictures: Of a step.
        steps: Of the whole run.
        step_s: Seconds a step.
        ready_step_s: Seconds a step with a batch that was made before.
    """

    about: str
    multiply_adds: int
    pictures: int
    steps: int
    step_s: float
    ready_step_s: float

    def __str__(self) -> str:
        return (
            f"{self.about}\n"
            f"{self.multiply_adds / 1e6:.0f} M multiply-adds for 320x240; "
            f"{self.pictures / self.step_s:.0f} pictures a second, "
            f"{self.pictures / self.ready_step_s:.0f} with ready-made batches\n"
            f"{self.steps} steps, in all about {self.steps * self.step_s / 60:.0f} min on this "
            f"machine, as busy as it is, without validation and mining"
        )


def make_plan(data: DetectorData, recipe: DetectorRecipe) -> DetectorPlan:
    """Build everything, time a few batches, and keep nothing.

    Raises:
        FerEdgeError: As :func:`.train.train_detector` would.
    """
    check(recipe)
    parts = part(data, recipe)
    network = prepare_network(recipe)
    model = teaching_model(network, recipe)
    batches = DetectorBatches(Composer(parts.training, recipe.composition), recipe)
    step_seconds(model, batches, 1, ready=True)
    took = [step_seconds(model, batches, _TIMED, ready=ready) for ready in (False, True)]
    return DetectorPlan(
        about=describe(recipe, network, parts),
        multiply_adds=cost_of(recipe),
        pictures=recipe.schedule.batch,
        steps=recipe.steps * recipe.schedule.epochs,
        step_s=took[0],
        ready_step_s=took[1],
    )
