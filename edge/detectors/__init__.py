"""Finding faces: one protocol, and the list of what there is behind it.

A detector states its framing, that is how its box leads to the crop the emotion model was trained
on; whoever adds one measures it (tests/edge/test_framing_measured.py) and gives it a line in
:data:`BACKENDS`, from which names, help and errors come. Nothing heavy is imported here, so that
the command line can ask for the names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from ..errors import UsageError

if TYPE_CHECKING:
    from ..framing import Framing
    from ..records import Face, Image

__all__ = [
    "AUTO",
    "BACKENDS",
    "CHOICES",
    "DETECTORS",
    "DETECT_SIZE_WH",
    "Backend",
    "Detector",
    "open_detector",
    "standard_detectors",
]

AUTO = "auto"
#: Pictures are shrunk to fit into this for detection. Haar finds faces from a tenth of the height
#: on, YuNet from a twentieth.
DETECT_SIZE_WH = (320, 240)


class Detector(Protocol):
    """What finds faces in a picture. It belongs to one thread.

    Attributes:
        name: One of :data:`DETECTORS`.
        colour: Whether it finds more in colour than in grey.
        framing: How its box leads to the training crop.
    """

    name: str
    colour: bool
    framing: "Framing"

    def renew(self) -> Self:
        """Another one like this, sharing nothing with it.

        Raises:
            ModelError: Its model is not there any more.
        """
        ...

    def detect(self, picture: "Image") -> "list[Face]":
        """The faces of one picture, largest first.

        Args:
            picture: uint8, ``(height, width)`` grey or ``(height, width, 3)`` blue-green-red. A
                detector takes both, so that a camera's own grey plane needs no conversion. One
                that was trained on colour finds small faces better in colour.

        Returns:
            With boxes in the detector's own framing, in pixels of ``picture``; with landmarks where
            the detector has them.

        Raises:
            ModelError: The detector's model cannot be run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of detector.

    Attributes:
        about: What it is, in a few words.
        open: Builds it from the size that pictures are shrunk to and a model file or None; raises
            ModelError where it cannot be had here.
        has_model: Whether it takes a model file.
        is_here: Whether it can be had on this machine without a model file of the caller's; asked
            in the order of the list, ``auto`` takes the first that is.
    """

    about: str
    open: "Callable[[tuple[int, int], Path | None], Detector]"
    has_model: bool
    is_here: Callable[[], bool]


def _open_yunet(size_wh: tuple[int, int], model: Path | None) -> Detector:
    from .yunet import YuNetDetector

    return YuNetDetector(model, size_wh=size_wh)


def _has_yunet() -> bool:
    from ..models.catalogue import YUNET, place_of

    return place_of(YUNET).is_file()


def _open_fer_face(size_wh: tuple[int, int], model: Path | None) -> Detector:
    from .fer_face import FerFaceDetector

    return FerFaceDetector.open(model, size_wh=size_wh)


def _has_fer_face() -> bool:
    from ..models import shipped_detectors

    return bool(shipped_detectors())


def _open_haar(size_wh: tuple[int, int], _: Path | None) -> Detector:
    from .haar import HaarDetector

    return HaarDetector(size_wh=size_wh)


def _open_ssd(_: tuple[int, int], model: Path | None) -> Detector:
    from .ssd import SsdDetector

    if model is None:
        raise UsageError(
            "The detector ssd is for models of others: name one with --detector-model FILE, a "
            ".tflite that ends in TFLite_Detection_PostProcess."
        )
    return SsdDetector(model)


#: By name, the best first: ``auto`` takes the first one that it can.
BACKENDS = {
    "yunet": Backend(
        "YuNet (small, turned and half-hidden faces too; `fer-edge models get yunet`)",
        _open_yunet,
        has_model=True,
        is_here=_has_yunet,
    ),
    "fer-face": Backend(
        "our own int8 model (ships with fer-edge; grey, faces from about 14 pixels)",
        _open_fer_face,
        has_model=True,
        is_here=_has_fer_face,
    ),
    "haar": Backend(
        "OpenCV's Haar cascade (frontal faces; nothing to download)",
        _open_haar,
        has_model=False,
        is_here=lambda: True,
    ),
    "ssd": Backend(
        "a TFLite detector of others with SSD post-processing, by --detector-model",
        _open_ssd,
        has_model=True,
        is_here=lambda: False,
    ),
}
DETECTORS = tuple(BACKENDS)
CHOICES = (*DETECTORS, AUTO)


def open_detector(
    name: str = AUTO, *, size_wh: tuple[int, int] = DETECT_SIZE_WH, model: Path | None = None
) -> Detector:
    """Build a detector.

    Args:
        name: One of :data:`CHOICES`. ``auto`` is YuNet where its file was fetched, else fer-face,
            which ships (else Haar); the detector's ``name`` says which.
        size_wh: Width and height in pixels that pictures are shrunk to fit into, their shape kept;
            a smaller picture stays as it is. Smaller is faster and misses smaller faces. Of the
            models of fer-face that ship it chooses the nearest; a TFLite model of the caller's has
            a size of its own.
        model: A model file of the caller's own; None is the known one. With ``auto`` a ``.tflite``
            means fer-face, or ssd where fer-edge did not make it; any other file YuNet.

    Raises:
        UsageError: There is no detector of that name, or it takes no model.
        ModelError: Its model is missing, damaged, or not for it, or this OpenCV is too old.
    """
    if name == AUTO:
        name = _choose(model)
    if name not in BACKENDS:
        raise UsageError(f"There is no detector {name!r}: valid names are {', '.join(CHOICES)}.")
    if model is not None and not BACKENDS[name].has_model:
        raise UsageError(
            f"The detector {name} takes no model file, got {model}: leave it out, or choose "
            f"{' or '.join(key for key, kind in BACKENDS.items() if kind.has_model)}."
        )
    if min(size_wh) < 1:
        raise UsageError(f"Expected a size of 1x1 or more, got {size_wh[0]}x{size_wh[1]}.")
    return BACKENDS[name].open(size_wh, model)


def standard_detectors() -> tuple[str, ...]:
    """Those to compare on any machine: YuNet, fetched or not, and all that need no own file."""
    return tuple(name for name, kind in BACKENDS.items() if name == "yunet" or kind.is_here())


def _choose(model: Path | None) -> str:
    """What ``auto`` means for a model file, or without one."""
    if model is None:
        return next(name for name, kind in BACKENDS.items() if kind.is_here())
    if model.suffix.lower() != ".tflite":
        return "yunet"
    return "fer-face" if may_be_ours(model) else "ssd"


def may_be_ours(model: Path) -> bool:
    """Whether a file has a contract of fer-edge inside, or cannot be read to tell."""
    from ..contract_file import BUFFER_NAME

    try:
        return BUFFER_NAME.encode() in model.read_bytes()
    except OSError:
        return True
