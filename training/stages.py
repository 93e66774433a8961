"""How a run is parted: by its optimisers, and by the size of what it learns from."""

from collections.abc import Iterator
from dataclasses import dataclass

from .dataset_readers import SIDE_PX
from .recipes import Recipe


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run with one optimiser and images of one side.

    Attributes:
        first: Its first epoch, from 0.
        end: The epoch behind its last.
        rate: Peak learning rate.
        unfreeze: Of a transfer net: which layers of its base learn.
        span: First epoch of its optimiser, which the stage before may have begun, and the epoch
            behind its last; the schedule of the rate is over these.
        side_px: Side of what is learnt from, in pixels.
    """

    first: int
    end: int
    rate: float
    unfreeze: tuple[str, ...]
    span: tuple[int, int]
    side_px: int = SIDE_PX


def stages(recipe: Recipe) -> list[Stage]:
    """The stages of a recipe: one, or the two of transfer learning, parted where pieces end."""
    schedule, transfer = recipe.schedule, recipe.transfer
    if transfer is None:
        return list(_parted(recipe, 0, schedule.epochs, schedule.peak_rate, ()))
    head = min(transfer.head_epochs, schedule.epochs)
    tuned = transfer.fine_tune_rate, transfer.unfreeze
    return [
        *_parted(recipe, 0, head, schedule.peak_rate, ()),
        *_parted(recipe, head, schedule.epochs, *tuned),
    ]


def _parted(
    recipe: Recipe, first: int, end: int, rate: float, unfreeze: tuple[str, ...]
) -> Iterator[Stage]:
    crop_px, pieces_end = recipe.crops.crop_px, recipe.crop_epochs
    middle = min(max(first, pieces_end), end)
    for begins, ends, side_px in ((first, middle, crop_px), (middle, end, SIDE_PX)):
        if begins < ends:
            yield Stage(begins, ends, rate, unfreeze, (first, end), side_px)
