"""What the numbers of a recipe may be, so that a wrong one is refused before anything is done."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..edge.errors import UsageError

# The least and the most of each number, or of each number of a list. Beyond them Keras or NumPy
# would fail later, or the run would mean something else than it says.
_SHARE = (0.0, 1.0)
_COUNT = (1, 10_000)
_RATE = (1e-9, 100.0)
_LIMITS: dict[str, tuple[float, float]] = {
    "options.stem": (1, 4096),
    "options.widths": (1, 4096),
    "options.blocks": (1, 8),
    "options.inner": (0, 4096),
    "options.dense": (0, 65_536),
    "options.dropout": (0.0, 0.95),
    "options.input_px": (32, 1024),
    "augmentation.flip": _SHARE,
    "augmentation.rotate_deg": (0.0, 180.0),
    "augmentation.zoom": (0.1, 10.0),
    "augmentation.shift": _SHARE,
    "augmentation.brightness": (0.0, 255.0),
    "augmentation.contrast": (0.0, 10.0),
    "augmentation.erase": _SHARE,
    "augmentation.erase_area": _SHARE,
    "augmentation.camera": _SHARE,
    "augmentation.camera_gamma": (0.1, 10.0),
    "augmentation.camera_blur": (0.05, 24.0),
    "augmentation.camera_px": (2.0, 1000.0),
    "augmentation.camera_noise": (0.0, 255.0),
    "augmentation.camera_jpeg": (1.0, 100.0),
    "augmentation.mixup": _SHARE,
    "augmentation.cutmix": _SHARE,
    "augmentation.mix_alpha": (0.01, 100.0),
    "targets.label_smoothing": (0.0, 0.99),
    "targets.ferplus_weight": (0.0, 10.0),
    "targets.effective_beta": (0.0, 0.999999),
    "targets.temperature": (0.1, 100.0),
    "targets.teacher_weight": _SHARE,
    "optimiser.momentum": (0.0, 0.9999),
    "optimiser.weight_decay": (0.0, 100.0),
    "optimiser.average": (0.0, 0.99999),
    "optimiser.clip_norm": (0.0, 1e6),
    "schedule.epochs": _COUNT,
    "schedule.batch": (2, 10_000),
    "schedule.peak_rate": _RATE,
    "schedule.warmup_epochs": (0.0, 10_000.0),
    "schedule.plateau_patience": (0, 10_000),
    "schedule.plateau_factor": (0.01, 0.99),
    "schedule.stop_patience": (0, 10_000),
    "crops.crop_px": (16, 48),
    "crops.crop_share": _SHARE,
    "transfer.head_epochs": (0, 10_000),
    "transfer.fine_tune_rate": _RATE,
    "norm_images": (0, 1_000_000),
    "sam_radius": (0.0, 10.0),
    "calibration_per_class": _COUNT,
    # NumPy's generators take no negative seed, and Keras keeps it in 32 bits.
    "seed": (0, 2**31 - 1),
}
_RANGES = (
    "augmentation.zoom",
    "augmentation.contrast",
    "augmentation.erase_area",
    "augmentation.camera_gamma",
    "augmentation.camera_blur",
    "augmentation.camera_px",
    "augmentation.camera_noise",
    "augmentation.camera_jpeg",
)


def check_values(recipe: str, values: Mapping[str, Any]) -> None:
    """Refuse numbers that a run cannot be made with.

    Args:
        recipe: Its name, for the message.
        values: As :func:`.recipes.keys` gives them.

    Raises:
        UsageError: Names the key, its value and what is expected.
    """
    check_numbers(recipe, values, _LIMITS, _RANGES)
    if values["schedule.batch"] % 2:
        # batches.py says why.
        raise UsageError(
            f"{recipe}: schedule.batch is {values['schedule.batch']}; expected an even number."
        )
    both = values["augmentation.mixup"] + values["augmentation.cutmix"]
    if both > 1:
        raise UsageError(
            f"{recipe}: mixup and cutmix are probabilities of a batch, and their sum is {both:g}; "
            f"expected at most 1."
        )
    if values["targets.ferplus"] == "soft" and values["targets.ferplus_weight"] > 1:
        raise UsageError(
            f"{recipe}: with ferplus=soft, ferplus_weight is a share of the target; expected at "
            f"most 1, got {values['targets.ferplus_weight']:g}."
        )


def check_numbers(
    recipe: str,
    values: Mapping[str, Any],
    limits: Mapping[str, tuple[float, float]],
    ranges: Iterable[str],
    *,
    may_be_empty: Collection[str] = (),
) -> None:
    """Refuse numbers beyond their limits, and ranges with the larger end first.

    Args:
        recipe: Its name, for the message.
        values: As :func:`.recipes.keys` gives them.
        limits: The least and the most of each number, or of each number of a list.
        ranges: The keys of pairs of which the first is the smaller.
        may_be_empty: The keys of lists that need hold nothing.

    Raises:
        UsageError: Names the key, its value and what is expected.
    """
    for key, (low, high) in limits.items():
        value = values.get(key, low)
        numbers = value if isinstance(value, list | tuple) else [value]
        good = all(isinstance(item, int | float) and low <= item <= high for item in numbers)
        if not (numbers or key in may_be_empty) or not good:
            raise UsageError(f"{recipe}: {key} is {value}; expected {low:g} to {high:g}.")
    for key in ranges:
        low, high = values[key]
        if low > high:
            raise UsageError(f"{recipe}: {key} is {low:g} to {high:g}; expected the smaller first.")
