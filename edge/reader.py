"""One picture in, its readings out: the whole path without cameras and threads."""

import logging
from pathlib import Path

import numpy as np

from .cameras.files import read_image
from .classifier import EmotionClassifier
from .detectors import AUTO, open_detector
from .errors import DataError
from .framing import to_grey
from .profile import with_profile
from .quality import QualityLimits
from .records import Image, Reading
from .stages import cut_faces

_log = logging.getLogger(__name__)


class EmotionReader:
    """Finds the faces of a picture and reads their emotions. It belongs to one thread."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        contract: Path | None = None,
        detector: str = AUTO,
        detector_model: Path | None = None,
        detect_size_wh: tuple[int, int] = (640, 480),
        align: bool = True,
        limits: QualityLimits | None = None,
        runtime: str = "auto",
        threads: int = 1,
        profile: str | None = None,
    ):
        """Load the detector and the model.

        Args:
            model: A shipped model's name or a file; None is the default.
            contract: A contract file, for a model that carries none.
            detector: Name of the detector, as of :func:`.open_detector`; ``auto`` is the best
                that is here.
            detector_model: A model file for the detector; None is the known one.
            detect_size_wh: Width and height in pixels that pictures are shrunk to fit into for it.
                Larger than in the loop, because a single picture has time and no second chance.
            align: Whether to level the eyes of a face whose detector gives landmarks.
            limits: What a face needs to be read; others are marked. None is the default.
            runtime: ``auto``, ``litert`` or ``tflite``.
            threads: CPU threads of one classification.
            profile: Name or file of a person's profile, applied to every face; None is none.

        Raises:
            ModelError: The model or the detector's cannot be used.
            UsageError: There is no such detector, or no such profile.
            DataError: The profile is damaged.
        """
        classifier = EmotionClassifier.open(
            model, contract=contract, runtime=runtime, threads=threads
        )
        self._classifier = with_profile(classifier, profile, _log.info)
        self._detector = open_detector(detector, size_wh=detect_size_wh, model=detector_model)
        self._align, self._limits = align, limits or QualityLimits()

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions, in the order of the scores."""
        return self._classifier.contract.labels

    def read(self, picture: str | Path | Image) -> list[Reading]:
        """Read the faces of a picture, largest first; an empty list where none is found.

        A face that is too small, cut by the border or blurred has a ``flaw`` and no label.

        Args:
            picture: A file, or a uint8 array: ``(height, width, 3)`` in blue-green-red order, as
                OpenCV reads it, or ``(height, width)`` grey.

        Raises:
            DataError: The file cannot be read, or the array has another shape or type.
        """
        if picture is None:
            raise DataError("Got None for a picture: cv2.imread returns it for an unreadable file.")
        image = picture if isinstance(picture, np.ndarray) else read_image(Path(picture))
        good_shape = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not good_shape or image.size == 0:
            raise DataError(
                f"Expected a uint8 picture of (height, width, 3) or (height, width), got "
                f"{image.dtype} of {image.shape}."
            )
        faces = self._detector.detect(image)
        cut = cut_faces(
            to_grey(image),
            faces,
            self._detector.framing,
            self._classifier.size_wh,
            align=self._align,
            limits=self._limits,
        )
        good = [index for index, reason in enumerate(cut.flaws) if not reason]
        scores = dict(zip(good, self._classifier.classify(cut.crops[good]), strict=True))
        readings = []
        for index, face in enumerate(faces):
            read = scores.get(index)
            label = read.label if read else None
            size_px, reason = cut.sizes_px[index], cut.flaws[index]
            readings.append(Reading(face, size_px, label, read, read, reason))
        return readings
