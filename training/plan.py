"""What a run would do and how long it would take on this machine: ``train --dry-run``."""

import time
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from ..edge.framing import to_float
from .costs import multiply_adds
from .datasets import Dataset
from .recipes import Recipe
from .stages import Stage, stages
from .train import Run, check_arguments, prepare_lessons, prepare_network, prepare_stage

_VALIDATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage: its epochs, and seconds a step with real and with ready-made batches."""

    stage: Stage
    learning: int
    step_s: float
    ready_step_s: float

    @property
    def pipeline_rate(self) -> float:
        """Step rate with real batches, as a share of that with ready-made ones; at most 1."""
        return min(1.0, self.ready_step_s / self.step_s)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it is run.

    Attributes:
        parameters: Of the network.
        multiply_adds: Of one image.
        training: Number of images to train on.
        validation: Number of images to choose on.
        choose_on: Their split.
        steps: Optimiser steps an epoch.
        stages: One, or the two of transfer learning.
        validation_s: Seconds of one validation.
    """

    parameters: int
    multiply_adds: int
    training: int
    validation: int
    choose_on: str
    steps: int
    stages: tuple[StagePlan, ...]
    validation_s: float

    @property
    def total_s(self) -> float:
        """Seconds of the whole run."""
        return sum(
            (plan.stage.end - plan.stage.first) * (plan.step_s * self.steps + self.validation_s)
            for plan in self.stages
        )


class _Some(keras.utils.PyDataset):
    """The first batches of an epoch, made when asked for or ready before."""

    def __init__(self, batches: Any, count: int, *, ready: bool):
        super().__init__()
        self._batches, self._count = batches, count
        self._ready = [batches[0]] * count if ready else []

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._ready[index] if self._ready else self._batches[index]


def make_plan(data: Dataset, recipe: Recipe, run: Run, *, batches: int = 3) -> Plan:
    """Build everything, time a few batches of each stage, and keep nothing.

    Args:
        data: With Training rows.
        recipe: What would be trained.
        run: With what.
        batches: How many to time, after one to warm up.

    Raises:
        FerEdgeError: As :func:`.train.train` would.
    """
    data, choose_on = data.with_validation(seed=recipe.seed)
    training, validation = check_arguments(data, choose_on, recipe, run)
    lessons = prepare_lessons(training, recipe, run, data.digest)
    # Not ImageNet's weights, which are downloaded and make no step slower.
    without = replace(run, weights="none") if run.weights == "imagenet" else run
    network = prepare_network(recipe, without)
    count = min(batches, len(lessons.batches))
    plans = []
    for stage in stages(recipe):
        model = prepare_stage(network, recipe, stage, lessons)
        lessons.batches.begin(stage.first)
        learning = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        step_seconds(model, lessons.batches, 1, ready=True)
        took = [step_seconds(model, lessons.batches, count, ready=ready) for ready in (False, True)]
        plans.append(StagePlan(stage, learning, *took))
    return Plan(
        parameters=network.count_params(),
        multiply_adds=multiply_adds(network),
        training=len(training),
        validation=len(validation),
        choose_on=choose_on,
        steps=len(lessons.batches),
        stages=tuple(plans),
        validation_s=_validation_s(network, validation),
    )


def step_seconds(model: Any, batches: Any, count: int, *, ready: bool) -> float:
    """Seconds of a training step, from the end of the first one where there are more.

    What an epoch costs once, such as starting its iterator, is none of a step's.

    Args:
        model: The compiled one, which is trained.
        batches: From whose first ones it learns.
        count: How many steps.
        ready: Whether each step is given the same batch, made before.
    """
    some = _Some(batches, count, ready=ready)
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )
    began = time.perf_counter()
    model.fit(some, epochs=1, shuffle=False, verbose=0, callbacks=[clock])
    if count < 2:
        return ends[-1] - began
    return (ends[-1] - ends[0]) / (count - 1)


def _validation_s(network: Any, validation: Dataset) -> float:
    faces = to_float(validation.images[:_VALIDATION_BATCH])
    network.predict(faces, batch_size=_VALIDATION_BATCH, verbose=0)
    began = time.perf_counter()
    network.predict(faces, batch_size=_VALIDATION_BATCH, verbose=0)
    return (time.perf_counter() - began) * len(validation) / len(faces)
