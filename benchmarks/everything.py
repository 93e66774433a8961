"""All that ``fer-edge benchmark`` measures of a machine, in one document."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..edge.errors import DataError
from .given import find_models
from .latency import LatencyPlan, measure_latency
from .session import Session


@dataclass(frozen=True, slots=True)
class AllPlan:
    """What to measure.

    Attributes:
        models: Names of shipped ones or files; none is all shipped ones. The loop
            runs the first that it can, or the default model.
        data: FER-2013, as training takes it; None leaves the accuracy out.
        split: Of the data.
        clip: A video for the detectors and the loop; None takes the demo.
        detector_model: YuNet's file; None is the known one.
        keras: The float model of the tutorial beside the loop; None leaves that out.
    """

    models: Sequence[str] = ()
    data: Path | None = None
    split: str = "PublicTest"
    clip: Path | None = None
    detector_model: Path | None = None
    keras: Path | None = None


def measure_all(session: Session, plan: AllPlan) -> None:
    """Measure latency, loop and, where there is data, accuracy, one after the other.

    Args:
        session: Takes the figures, in sections of these names.
        plan: What to measure.

    Raises:
        FerEdgeError: As of each of them; what was finished stays in the session.
    """
    # What would end the last part is told before the first one.
    models = find_models(plan.models)
    if plan.data is not None and not plan.data.exists():
        raise DataError(f"There is no data at {plan.data}: expected FER-2013, as `train` takes it.")
    measure_latency(
        session, LatencyPlan(plan.models, clip=plan.clip, detector_model=plan.detector_model)
    )
    from .loop import LoopPlan, measure_loop

    # None is the default model, which need not be the first of those that ship.
    runs = [str(model.path) for model in models if model.contract and not model.keras]
    model = runs[0] if plan.models and runs else None
    measure_loop(
        session,
        LoopPlan(plan.clip, detector_model=plan.detector_model, model=model, keras=plan.keras),
    )
    if plan.data is None:
        session.miss("accuracy", "it needs --data, FER-2013 as `train` takes it")
        return
    from .accuracy import AccuracyPlan, measure_accuracy

    measure_accuracy(session, AccuracyPlan(plan.data, tuple(plan.models), split=plan.split))
