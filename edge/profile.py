"""A person's profile: an offset of the logits that comes from a recording of their neutral face.

Faces differ at rest: one that looks sad to the model without being so looks sad in every frame. The
offset lowers the emotions that the model sees in this face at rest more than in neutral faces in
general, and is added to the logits of every face while the profile is used. Subtracting a person's
own neutral is usual for facial action units (T. Baltrušaitis, M. Mahmoud, P. Robinson,
"Cross-dataset learning and person-specific normalisation for automatic Action Unit detection", FG
2015); that it gains anything for these models is not measured (docs/personalise.md).

A profile is one JSON file in the user's data folder, without any picture.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .contract import ModelContract
from .errors import DataError, FerEdgeError, ModelError, SinkError, UsageError
from .files import replacing
from .folders import data_folder

if TYPE_CHECKING:
    from .classifier import EmotionClassifier

SCHEMA_VERSION = 1
NEUTRAL = "neutral"
#: How far each logit lies below the one of "neutral" on a neutral face that the model names so, for
#: a model whose contract does not say it: the mean over some 400 faces of PublicTest each of two
#: models, which differed by at most 0.55.
TYPICAL_GAPS = {
    "angry": 2.73,
    "disgust": 4.26,
    "fear": 3.01,
    "happy": 3.35,
    "sad": 2.35,
    "surprise": 3.98,
    NEUTRAL: 0.0,
}
#: No logit is lowered by more: 88 to 90 % of the faces of PublicTest that are rightly given an
#: emotion lead "neutral" by more than this, and do not fall behind it whatever the profile.
MOST = 1.5
#: How much people differ in a gap at rest, as a standard deviation. It is an assumption: half of
#: the variance among neutral faces of PublicTest (1.57 and 1.59 squared of the two models then,
#: 1.54 squared of both that ship now), the other half the pictures'.
PEOPLE_SD = 1.1
_NAME = re.compile(r"\w[\w-]{0,31}")
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Profile:
    """What is kept of a person.

    Attributes:
        name: Under which it is kept.
        model: Name of the model that looked at the person.
        model_sha256: Its digest (``EmotionClassifier.digest``); for other models it says nothing.
        frames: How many the offset comes from.
        created: Date and time in UTC, as in ``2026-11-21T09:30:00Z``.
        offset: By label, what is added to the logits after they were divided by the model's
            temperature; -1.5 to 0.
    """

    name: str
    model: str
    model_sha256: str
    frames: int
    created: str
    offset: Mapping[str, float]

    def offset_for(self, classifier: "EmotionClassifier") -> NDArray[np.float64]:
        """The offset in the order of a model's labels, ``(classes,)``.

        Raises:
            ModelError: The profile was made with another model.
        """
        contract = classifier.contract
        if classifier.digest != self.model_sha256 or set(contract.labels) != set(self.offset):
            raise ModelError(
                f"The profile {self.name!r} was made with the model {self.model} "
                f"({self.model_sha256[:12]}), this is {contract.name} ({classifier.digest[:12]}). "
                f"Use it with that model, or make it anew for this one: `fer-edge personalise "
                f"--name {self.name} --overwrite --model …`."
            )
        return np.array([self.offset[label] for label in contract.labels])


def neutral_offset(
    logits: NDArray[np.float64],
    blocks: NDArray[np.int64],
    labels: Sequence[str],
    typical: Mapping[str, float] = TYPICAL_GAPS,
) -> dict[str, float]:
    """What to add to a person's logits, from frames of the neutral face.

    An emotion that is nearer to "neutral" than is typical is lowered by what is missing, shrunk by
    how sure that is and capped at :data:`MOST`; nothing is raised, so that with a profile no face
    is ever read as less neutral than without. Frames that follow each other are nearly copies, so
    the mean and its variance are those of means of blocks of them (batch means). Shrinking by
    ``v / (v + s)``, with the variance ``v`` among people (:data:`PEOPLE_SD` squared) and ``s`` of
    the mean, is the posterior mean of a normal prior (B. Efron, C. Morris, "Stein's Estimation Rule
    and Its Competitors", JASA 1973).

    Args:
        logits: ``(n, classes)``, natural logarithms of odds; a constant a row does not matter.
        blocks: ``(n,)``: which frames belong together, by any numbers; two or more of them.
        labels: Of the columns.
        typical: How far each logit lies below the one of "neutral" on a neutral face.

    Returns:
        By label, from -:data:`MOST` to 0.
    """
    gaps = logits[:, [labels.index(NEUTRAL)]] - logits
    means = np.stack([gaps[blocks == block].mean(axis=0) for block in np.unique(blocks)])
    uncertain = means.var(axis=0, ddof=1) / len(means)
    trust = PEOPLE_SD**2 / (PEOPLE_SD**2 + uncertain)
    missing = np.array([typical[label] for label in labels]) - means.mean(axis=0)
    offset = -(trust * missing).clip(0.0, MOST).round(4)
    # Adding 0.0 makes 0.0 of -0.0.
    return dict(zip(labels, (offset + 0.0).tolist(), strict=True))


def typical_gaps(contract: ModelContract) -> Mapping[str, float]:
    """How far each logit typically lies below the one of "neutral" on a neutral face.

    Raises:
        ModelError: The contract does not say it, and its labels are not those of
            :data:`TYPICAL_GAPS`.
    """
    if contract.neutral_gaps:
        return contract.neutral_gaps
    if set(contract.labels) != set(TYPICAL_GAPS):
        raise ModelError(
            f"What a neutral face typically gets is known for models with the labels "
            f"{', '.join(TYPICAL_GAPS)}; this one has {', '.join(contract.labels)}."
        )
    return TYPICAL_GAPS


# ----------------------------------------------------------------------------------------- files


def profile_folder() -> Path:
    """Where profiles lie: ``fer-edge/profiles`` in the user's data folder."""
    return data_folder() / "profiles"


def profile_path(name: str) -> Path:
    """The file of a profile, whether it is there or not.

    Raises:
        UsageError: It is no name for one.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a profile: expected 1 to 32 letters, digits, _ and -, the "
            f"first one no -."
        )
    return profile_folder() / f"{name}.json"


def profile_names() -> list[str]:
    """Of all profiles, in alphabetical order."""
    return sorted(
        path.stem for path in profile_folder().glob("*.json") if _NAME.fullmatch(path.stem)
    )


def require_free(name: str, *, overwrite: bool) -> None:
    """Check that a profile can get this name.

    Raises:
        UsageError: It is no name for one.
        SinkError: Another has it.
    """
    path = profile_path(name)
    if path.exists() and not overwrite:
        raise SinkError(
            f"There is a profile {name!r} already ({path}). Give another --name, or pass "
            f"--overwrite to replace it."
        )


def save_profile(profile: Profile, *, overwrite: bool = False) -> Path:
    """Write a profile whole or not at all, for this user's eyes only; where it is.

    Raises:
        UsageError: Its name is none.
        SinkError: There is one of that name, or the file cannot be written.
    """
    require_free(profile.name, overwrite=overwrite)
    path = profile_path(profile.name)
    document = {
        "schema": SCHEMA_VERSION,
        "name": profile.name,
        "model": {"name": profile.model, "sha256": profile.model_sha256},
        "frames": profile.frames,
        "created": profile.created,
        "offset": dict(profile.offset),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        with replacing(path) as partial:
            partial.touch(0o600)
            partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as exc:
        raise SinkError(f"Cannot write the profile {path}: {exc.strerror}.") from exc
    return path


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a profile by its name, or by its path: what holds a / or ends in ``.json``.

    Raises:
        UsageError: There is none; the nearest name is told.
        DataError: The file cannot be read, is damaged, or is of another version.
    """
    text = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or "/" in text or text.endswith(".json")
    path = Path(text) if is_path else profile_path(text)
    cure = "" if is_path else f" `fer-edge personalise --name {text} --overwrite` makes it anew."
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except FileNotFoundError as exc:
        raise _unknown(text) from exc
    except OSError as exc:
        raise DataError(f"Cannot read the profile {path}: {exc.strerror}.") from exc
    try:
        return _parse(json.loads(content))
    except (ValueError, RecursionError, OverflowError, KeyError, TypeError, AttributeError) as exc:
        raise DataError(f"The profile {path} is damaged: {_why(exc)}.{cure}") from exc


def delete_profile(name: str) -> Path:
    """Delete a profile, damaged or not; where it was.

    Raises:
        UsageError: There is none of that name; the nearest is told.
        SinkError: It cannot be deleted.
    """
    path = profile_path(name)
    try:
        path.unlink()
    except FileNotFoundError as exc:
        raise _unknown(name) from exc
    except OSError as exc:
        raise SinkError(f"Cannot delete the profile {path}: {exc.strerror}.") from exc
    return path


def list_profiles() -> Iterator[tuple[str, Profile | FerEdgeError]]:
    """The name of each profile with what it is, or with why it cannot be read."""
    for name in profile_names():
        try:
            yield name, load_profile(name)
        except FerEdgeError as exc:
            yield name, exc


def with_profile(
    classifier: "EmotionClassifier", name: str | None, say: Callable[[str], None]
) -> "EmotionClassifier":
    """The classifier itself, which adds the profile's offset from here on; None adds nothing.

    Args:
        classifier: Is closed where the profile does not fit.
        name: Of the profile, or a file.
        say: Takes the sentence that a profile is used.

    Raises:
        UsageError: There is no such profile.
        DataError: It cannot be read.
        ModelError: It was made with another model.
    """
    if name is not None:
        try:
            profile = load_profile(name)
            classifier.offset = profile.offset_for(classifier)
        except BaseException:
            classifier.close()
            raise
        say(f"the profile {profile.name!r} is applied to every face, whoever it is")
    return classifier


def _parse(document: Any) -> Profile:
    version = document["schema"]
    if version != SCHEMA_VERSION:
        raise ValueError(f"its version is {version!r}, expected {SCHEMA_VERSION}")
    offset = {str(label): float(value) for label, value in document["offset"].items()}
    if not offset or not all(-MOST <= value <= 0 for value in offset.values()):
        raise ValueError(f"its offsets are not all from {-MOST:g} to 0")
    return Profile(
        name=str(document["name"]),
        model=str(document["model"]["name"]),
        model_sha256=str(document["model"]["sha256"]),
        frames=int(document["frames"]),
        created=str(document["created"]),
        offset=offset,
    )


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    known = type(error) is ValueError
    return str(error) if known else "it is no JSON object of a profile"


def _unknown(name: str) -> UsageError:
    known = profile_names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else f"known are {', '.join(known) or 'none'}. "
    return UsageError(
        f"There is no profile {name!r}: {hint}`fer-edge personalise --name NAME` makes one."
    )
