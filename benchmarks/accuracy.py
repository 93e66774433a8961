"""What a model gets right, what its conversion lost, and how much of a face it needs.

Everything is computed by what training and conversion compute it with (``training/metrics.py``,
``training/predictions.py``, ``convert/gate.py``), over the interpreter that the loop runs.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import training
from ..convert.gate import paired_loss
from ..edge.contract import ModelContract
from ..edge.errors import ModelError, UsageError
from ..edge.records import Image
from ..edge.sidecar import read_sidecar
from ..edge.tpu import open_classifier
from ..training.datasets import EMOTIONS, Dataset, balanced_indices, load
from ..training.evaluate import against_ferplus
from ..training.metrics import calibrate, evaluate_predictions
from ..training.predictions import Predictions, Predictor, open_predictor
from .given import GivenModel, find_models
from .robustness import DISTORTIONS, answers, strength_at_loss
from .session import Session

#: Images of ``--quick``: fifty a class.
QUICK_IMAGES = 350
#: By how much a curve has fallen where its strength is noted.
NOTED_POINTS = 5.0
# After so long no further curve is begun with --quick; the longest takes some seconds.
_QUICK_S = 40.0
_RELEASED = Path(training.__file__).parent / "released"

Of = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class AccuracyPlan:
    """What to measure, and on what.

    Attributes:
        data: FER-2013, as training takes it.
        models: Names of shipped models, ``.tflite`` and ``.keras`` files; none are all shipped.
        split: Which rows.
        votes: FER+'s, for the accuracy against its majority.
        keras: The float master of one of the models, where it is neither beside it nor released.
        with_keras: Whether to look for the masters at all: they need TensorFlow.
        tpu: As of :func:`..edge.tpu.open_classifier`.
        images: About so many, the same number of each class; None is all.
        curves: Whether to spoil the faces, too.
        seed: Of the sample and of what is random in the curves.
    """

    data: Path
    models: tuple[str, ...] = ()
    split: str = "PublicTest"
    votes: Path | None = None
    keras: Path | None = None
    with_keras: bool = True
    tpu: str = "auto"
    images: int | None = None
    curves: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that takes part.

    Attributes:
        name: What figures call it.
        kind: ``keras``, ``float32``, ``int8``, ``edgetpu`` ...
        predictor: Answers for it.
        parent: The one that it was made from, or None.
    """

    name: str
    kind: str
    predictor: Predictor
    parent: "Contender | None" = None

    @property
    def title(self) -> str:
        """What people read."""
        return f"{self.name}, {self.kind}"


def measure_accuracy(session: Session, plan: AccuracyPlan) -> None:
    """Add the figures and curves of every model to a session.

    The masters come first, then what was made from them, then a curve after the other: whenever it
    is interrupted, what was finished is in the session.

    Raises:
        DataError: The data cannot be used, or has no such split.
        ModelError: A model cannot be used, or does not name the emotions of the data.
        UsageError: A model was trained or calibrated on the split, or ``--keras`` belongs to none.
    """
    with session.section("accuracy", timed=False), ExitStack() as opened:
        contenders = _open(session, plan, opened)
        for contender in contenders:
            refuse_seen(contender.name, contender.predictor.contract, plan.split)
        session.say(f"reading {plan.data.name}")
        split = load(plan.data, votes=plan.votes).split(plan.split)
        quick = session.effort.quick
        data = _sample(split, plan.images or (QUICK_IMAGES if quick else None), plan.seed)
        ends = time.monotonic() + (_QUICK_S if quick else float("inf"))
        for note in _notes(contenders, data, plan, sampled=len(data) < len(split)):
            session.note(note)
        found: dict[int, Predictions] = {}
        for contender in contenders:
            session.say(f"{contender.title}: {len(data)} images")
            predictions = found[id(contender)] = contender.predictor.predict(data.images)
            parent = None if contender.parent is None else found[id(contender.parent)]
            of = _of(contender, data, plan)
            add_scores(session, of, data, predictions, parent)
        if plan.curves:
            # Not of Keras, which does not run where faces are read.
            on_device = [each for each in contenders if each.kind != "keras"]
            _add_curves(session, on_device, data, plan, ends)


def add_scores(
    session: Session,
    of: Of,
    data: Dataset,
    predictions: Predictions,
    parent: Predictions | None = None,
) -> None:
    """Add what predictions are worth; also of a part of the images, if ``of`` names it.

    Args:
        session: With an open section.
        of: What was measured.
        data: The images with their labels.
        predictions: A row an image.
        parent: What the model said from which this one was made, for the loss.

    Raises:
        DataError: There is no image.
    """
    truth, named = data.labels, predictions.named
    scores = evaluate_predictions(truth, named, EMOTIONS)
    session.add("accuracy", "%", "higher", of, 100 * scores.accuracy)
    for end, value in zip(("low", "high"), scores.interval, strict=True):
        session.add(f"accuracy_{end}", "%", "none", of, 100 * value)
    session.add("macro_f1", "%", "higher", of, 100 * scores.macro_f1)
    error = calibrate(truth, predictions.probabilities).error
    session.add("calibration_error", "%", "lower", of, 100 * error)
    for row in scores.classes:
        if row.support:
            part = {**of, "class": row.label, "images": row.support}
            session.add("recall", "%", "higher", part, 100 * row.recall)
    if data.votes is not None and (share := against_ferplus(data, named).accuracy):
        part = {**of, "images": share.count}
        session.add("accuracy_ferplus", "%", "higher", part, 100 * share.value)
    if parent is not None:
        loss = paired_loss(parent.named == truth, named == truth)
        session.add("loss", "points", "lower", of, loss.points)
        session.add("loss_low", "points", "none", of, loss.low)
        session.add("loss_high", "points", "none", of, loss.high)
        same = float((parent.named == named).mean())
        session.add("agreement", "%", "higher", of, 100 * same)


def refuse_seen(name: str, contract: ModelContract, split: str) -> None:
    """Refuse to test a model on what it was made with.

    Raises:
        UsageError: The split is one that its contract says it was trained or calibrated on. The
            training of fer-edge uses Training alone, whatever else was in the file.
    """
    trained = contract.training_data.get("split", "Training") if contract.training_data else ""
    calibrated = contract.calibration.get("split", "Training") if contract.calibration else ""
    for verb, seen in (("trained", trained), ("calibrated", calibrated)):
        if seen == split:
            raise UsageError(
                f"{name} was {verb} on {split}: figures on it would say nothing. Measure on "
                f"another one, such as --split PublicTest."
            )


def _open(session: Session, plan: AccuracyPlan, opened: ExitStack) -> list[Contender]:
    """All models, each after the one that it was made from."""
    contenders: list[Contender] = []
    models = find_models(plan.models)
    belongs = False
    for model in models:
        if model.keras:
            keras = _open_keras(session, model.name, model.path)
            contenders += [keras] if keras else []
            continue
        predictor = open_predictor(model.path)
        session.add_model(model.name, model.path)
        parent, why = None, "left out by --no-keras"
        if plan.with_keras:
            master = _find_master(model.path, predictor.contract, plan.keras)
            belongs |= plan.keras is not None and master is not None
            why = "its master is not here: name the .keras file with --keras"
            if master is not None:
                parent, why = _open_keras(session, model.name, master), ""
        if why:
            session.miss(f"{model.name}, keras", why)
        kind = str(predictor.contract.quantisation.get("type", "float32"))
        contenders += [parent] if parent else []
        contenders.append(Contender(model.name, kind, predictor, parent))
        device = _open_tpu(session, model, plan.tpu, opened)
        if device is not None:
            contenders.append(Contender(model.name, "edgetpu", device, parent))
    if plan.keras is not None and not belongs:
        raise UsageError(
            f"--keras {plan.keras}: none of {', '.join(model.name for model in models)} was "
            f"converted from it. Expected the .keras file that one of them was made from."
        )
    return contenders


def _find_master(path: Path, contract: ModelContract, keras: Path | None) -> Path | None:
    """The ``.keras`` file that a model was converted from: the named one, or where it would be."""
    for master in [keras] if keras else [path.with_suffix(".keras"), *_RELEASED.glob("*.keras")]:
        try:
            found = read_sidecar(master).content_sha256
        except ModelError:
            # What nobody named may be missing, or something else.
            if keras is not None:
                raise
            continue
        if found == contract.parent_sha256:
            return master
    return None


def _open_keras(session: Session, name: str, path: Path) -> Contender | None:
    try:
        predictor = open_predictor(path)
    except ModuleNotFoundError as exc:
        cure = 'pip install "fer-edge[train]"'
        session.miss(f"{name}, keras", f"needs {exc.name}, which is not installed: {cure}")
        return None
    session.add_model(f"{name}, keras", path)
    return Contender(name, "keras", predictor)


def _open_tpu(session: Session, model: GivenModel, tpu: str, opened: ExitStack) -> Predictor | None:
    """The model on an Edge TPU, or None where there is none."""
    said: list[str] = []
    classifier = open_classifier(model.path, tpu=tpu, say=said.append)
    opened.callback(classifier.close)
    for why in said:
        session.miss(f"{model.name}, edgetpu", why)
    if classifier.accelerator is None:
        return None

    def answer(images: Image) -> NDArray[np.float32]:
        found = classifier.outputs(images)
        if classifier.lost:
            # What the CPU answered in its place must not pass for its answers.
            raise ModelError(f"The Edge TPU was lost while {model.name} was measured: {said[-1]}")
        return found

    return Predictor(model.path, classifier.contract, answer)


def _sample(data: Dataset, images: int | None, seed: int) -> Dataset:
    """About so many images, the same number of each class as far as there are; None is all."""
    if images is None or images >= len(data):
        return data
    per_class = max(1, round(images / len(EMOTIONS)))
    return data.take(balanced_indices(data.labels, per_class=per_class, seed=seed))


def _of(contender: Contender, data: Dataset, plan: AccuracyPlan) -> dict[str, str | int | float]:
    return {
        "model": contender.name,
        "kind": contender.kind,
        "split": plan.split,
        # Without it the figures of a sample would be compared with those of all.
        "images": len(data),
    }


def _notes(
    contenders: Sequence[Contender], data: Dataset, plan: AccuracyPlan, *, sampled: bool
) -> list[str]:
    notes = [f"Accuracy on {plan.split} of {data.name} (SHA-256 {data.digest[:12]}…)."]
    if sampled:
        notes.append(
            f"A sample of {len(data)} images, as many of each class as there are: its accuracy is "
            f"nearer to the mean recall than to the accuracy on all."
        )
    for contract in {each.name: each.predictor.contract for each in contenders}.values():
        if not contract.training_data:
            notes.append(
                f"{contract.name} does not say what it was trained on, which may be this split."
            )
        elif contract.training_data.get("chosen_on") == plan.split:
            notes.append(
                f"What was chosen in the making of {contract.name} (recipe, seed or epoch) was "
                f"chosen on {plan.split}: its accuracy on it is a little too good, the loss by the "
                f"conversion is not."
            )
    return notes


def _add_curves(
    session: Session,
    contenders: Sequence[Contender],
    data: Dataset,
    plan: AccuracyPlan,
    ends: float,
) -> None:
    predictors = [each.predictor for each in contenders]
    limits: dict[str, list[str]] = {}
    for distortion in DISTORTIONS if predictors else ():
        if time.monotonic() > ends:
            session.miss(f"accuracy over {distortion.name}", "no time was left with --quick")
            continue
        session.say(f"accuracy over {distortion.name}: {len(data)} images")
        named = answers(predictors, distortion, data.images, seed=plan.seed)
        xs = distortion.strengths
        for contender, rows in zip(contenders, named, strict=True):
            ys = tuple(round(float(x), 3) for x in 100 * (rows == data.labels).mean(axis=1))
            of = _of(contender, data, plan)
            session.add_curve(distortion.name, distortion.unit, "%", of, xs, ys)
            limit = strength_at_loss(xs, ys, NOTED_POINTS)
            if limit is not None:
                limits.setdefault(contender.title, []).append(
                    f"{distortion.name} {limit:.3g} {distortion.unit}"
                )
    for title, reached in limits.items():
        session.note(f"{title} loses {NOTED_POINTS:g} points of accuracy at: {'; '.join(reached)}.")
