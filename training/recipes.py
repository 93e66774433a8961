"""What shapes a training run, as data: saved with every run, changed by ``--set key=value``.

A :class:`Recipe` names a network of :mod:`.architectures` with its options and holds every other
number. The named ones are in :mod:`.recipe_book`. Knows no Keras.
"""

import dataclasses
import difflib
import json
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ..edge.errors import UsageError
from .augment import Augmentation
from .limits import check_values


@dataclass(frozen=True, slots=True)
class Targets:
    """What the network is taught for each image.

    Attributes:
        label_smoothing: Share of the target that is spread evenly over the classes, 0 to 1.
        ferplus: How the ten FER+ votes an image are used: not at all, mixed into the target
            (``soft``), or as the target of a second head that the saved model has no more
            (``head``).
        ferplus_weight: ``soft``: share of the votes in the target; ``head``: weight of its loss.
        class_weights: ``balanced`` by one over the class's count; ``effective`` by its effective
            number (Cui et al., CVPR 2019, arXiv:1901.05555); the mean weight of an image is 1.
        effective_beta: The beta of the effective number, 0 to 1.
        temperature: Of the softmax of teacher and student in distillation (Hinton et al., 2015,
            arXiv:1503.02531).
        teacher_weight: Share of the distillation loss where there is a teacher, 0 to 1.
    """

    label_smoothing: float = 0.1
    ferplus: Literal["none", "soft", "head"] = "none"
    ferplus_weight: float = 0.5
    class_weights: Literal["none", "balanced", "effective"] = "none"
    effective_beta: float = 0.999
    temperature: float = 3.0
    teacher_weight: float = 0.7


@dataclass(frozen=True, slots=True)
class Optimiser:
    """How the weights follow the gradient.

    Attributes:
        name: ``sgd`` is with Nesterov momentum.
        momentum: Of ``sgd``.
        weight_decay: Of the kernels only, decoupled from the gradient as Keras does it: ten times
            PyTorch's figure at momentum 0.9.
        average: Decay a step of the exponential average of the weights, which is then what is
            validated and saved; 0 is none.
        clip_norm: Largest norm of all gradients together; 0 is no limit.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-3
    average: float = 0.0
    clip_norm: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, and at which rate.

    Attributes:
        epochs: At most so many.
        batch: Images a step.
        peak_rate: Learning rate after the warm-up.
        warmup_epochs: Linear rise from 0; of ``cosine`` only.
        shape: ``cosine`` down to 0 at the last epoch, ``constant``, or ``plateau``: constant, and
            lowered when the validation loss stands still (Keras's ReduceLROnPlateau).
        plateau_patience: Epochs without a lower validation loss before the rate is lowered.
        plateau_factor: What the rate is multiplied with then.
        stop_patience: Epochs without a higher validation accuracy before the run ends (Keras's
            EarlyStopping); 0 is never.
        keep: Which epoch is saved: the ``best`` in validation, or the ``last``, whose figure is not
            the luckiest of many.
    """

    epochs: int = 40
    batch: int = 128
    peak_rate: float = 0.1
    warmup_epochs: float = 2.0
    shape: Literal["cosine", "constant", "plateau"] = "cosine"
    plateau_patience: int = 4
    plateau_factor: float = 0.5
    stop_patience: int = 0
    keep: Literal["best", "last"] = "best"


@dataclass(frozen=True, slots=True)
class Crops:
    """Pieces of the images, cut out anywhere, for the first epochs to learn from.

    They take less time, and what they teach carries over to whole images: Touvron et al., NeurIPS
    2019 (arXiv:1906.06423), and Tan and Le, ICML 2021 (arXiv:2104.00298).

    Attributes:
        crop_px: Their side.
        crop_share: Share of the epochs, from the first on, that learn from them, 0 to 1.
    """

    crop_px: int = 40
    crop_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """The two stages of transfer learning, for the networks of :mod:`.transfer`.

    Attributes:
        head_epochs: Epochs of the first stage: frozen base, new head.
        unfreeze: Prefixes of the names of the base's layers that learn in the second stage.
        fine_tune_rate: Learning rate of the second stage.
    """

    head_epochs: int = 4
    unfreeze: tuple[str, ...] = ()
    fine_tune_rate: float = 1e-4


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice that shapes a run.

    Attributes:
        name: Of the recipe, also the name of the model in its contract.
        summary: One line on what it is.
        network: A key of ``architectures.NETWORKS``.
        options: Keyword arguments of that network's function.
        augmentation: Random changes to the training images.
        targets: What is taught.
        optimiser: How it is learnt.
        schedule: For how long.
        crops: What the first epochs learn from.
        transfer: The stages of transfer learning; None for a network from scratch.
        precision: Keras's dtype policy while training; the saved model is float32.
        share: Part of the training images that is used, of each class the same, above 0 to 1: for
            trials on a slow machine.
        norm_images: Training images over which the statistics of batch norm are measured again
            before each validation (:mod:`.norms`); 0 leaves those of the last steps.
        mirror: Whether the network answers a face and its mirror image alike, whatever it learns
            (:mod:`.mirror`).
        sam_radius: Rho of sharpness-aware steps (:mod:`.sharpness`), of twice the work; 0 is none.
        needs_start: Whether it only goes on from a trained model; without one it is refused.
        calibration_per_class: Faces a class kept beside the model for the int8 conversion.
        seed: Of the weights, the order, the augmentation and the dropout.
    """

    name: str
    summary: str
    network: str
    options: dict[str, Any] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)
    targets: Targets = field(default_factory=Targets)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    crops: Crops = field(default_factory=Crops)
    transfer: Transfer | None = None
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    share: float = 1.0
    norm_images: int = 0
    mirror: bool = False
    sam_radius: float = 0.0
    needs_start: bool = False
    calibration_per_class: int = 100
    seed: int = 1

    @property
    def crop_epochs(self) -> int:
        """How many epochs learn from pieces."""
        return round(self.schedule.epochs * self.crops.crop_share)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


# ---------------------------------------------------------------------------- --set key=value


def check(recipe: Recipe) -> None:
    """Refuse a recipe that no run can be made with.

    Raises:
        UsageError: Names the key, its value and what is expected.
    """
    check_values(recipe.name, keys(recipe))


_AnyRecipe = TypeVar("_AnyRecipe")


def with_changes(
    recipe: _AnyRecipe, changes: Sequence[str], check: Callable[[_AnyRecipe], None] = check
) -> _AnyRecipe:
    """The recipe with ``key=value`` changes, in their order.

    A key is the path that :func:`keys` lists (``schedule.epochs``) or its last part where that is
    unambiguous (``epochs``). A value is JSON (``3``, ``[32, 64]``, ``true``) or else a plain text;
    ``32,64`` is a list too.

    Args:
        recipe: A :class:`Recipe`, or another dataclass with a name.
        changes: What to change.
        check: Of such a recipe; it is asked once all is changed.

    Raises:
        UsageError: No such key (the nearest is named), or a value of another type or beyond what a
            run can be made with.
    """
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise UsageError(f"Expected --set key=value, got {change!r}.")
        recipe = _changed(recipe, _full_key(recipe, key.strip()), text.strip())
    check(recipe)
    return recipe


def keys(recipe: Any) -> dict[str, Any]:
    """Every key that can be set, with its value: ``{"schedule.epochs": 40, …}``.

    Without the name, the summary and the network, which are what the recipe is, and without
    ``transfer`` where there is none.
    """
    return dict(_walk(recipe, ""))


def _walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if dataclasses.is_dataclass(node):
        children = {item.name: getattr(node, item.name) for item in dataclasses.fields(node)}
    else:
        children = node
    for name, value in children.items():
        if dataclasses.is_dataclass(value) or isinstance(value, dict):
            yield from _walk(value, f"{prefix}{name}.")
        elif prefix or (value is not None and name not in ("name", "summary", "network")):
            yield prefix + name, value


def _full_key(recipe: Any, key: str) -> str:
    known = list(keys(recipe))
    if key in known:
        return key
    ends = [item for item in known if item.rpartition(".")[2] == key]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise UsageError(f"--set {key}: there are several: {', '.join(ends)}.")
    by_end = {item.rpartition(".")[2]: item for item in known}
    near = difflib.get_close_matches(key, [*known, *by_end], n=1, cutoff=0.5)
    hint = f" Did you mean {by_end.get(near[0], near[0])}?" if near else ""
    raise UsageError(
        f"Recipe {recipe.name} has no key {key!r}.{hint} Its keys are: {', '.join(known)}."
    )


def _changed(node: Any, key: str, text: str, path: str = "") -> Any:
    """A copy of a dataclass or dict with one value below it replaced."""
    name, _, rest = key.partition(".")
    full = f"{path}{name}"
    is_dict = isinstance(node, dict)
    old = node[name] if is_dict else getattr(node, name)
    if rest:
        new = _changed(old, rest, text, f"{full}.")
    else:
        kind = _kind(old) if is_dict else typing.get_type_hints(type(node))[name]
        new = _convert(_parse(text), kind, full)
    return {**node, name: new} if is_dict else dataclasses.replace(node, **{name: new})


def _kind(value: Any) -> Any:
    """The type of an option, which has no annotation here; of a list, with that of its items."""
    return list[type(value[0])] if isinstance(value, list) and value else type(value)


def _parse(text: str) -> Any:
    # JSON knows no .5, and people write it.
    text = f"0{text}" if text.startswith(".") else text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        if "," in text:
            return [_parse(part.strip()) for part in text.split(",") if part.strip()]
        return text


def _convert(value: Any, kind: Any, key: str) -> Any:
    """The value as a field's type; what would change it silently is refused."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value in arguments:
            return value
        raise UsageError(f"--set {key}: expected one of {', '.join(arguments)}, got {value!r}.")
    if origin in (tuple, list):
        items = value if isinstance(value, list) else [value]
        if origin is tuple and Ellipsis not in arguments and len(items) != len(arguments):
            raise UsageError(f"--set {key}: expected {len(arguments)} values, got {value!r}.")
        # All items are of one kind, in each tuple and list of a recipe.
        return origin(_convert(item, arguments[0], key) for item in items)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    raise UsageError(f"--set {key}: expected {kind.__name__}, got {value!r}.")
