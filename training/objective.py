"""The model that is trained: the network with what is only there to teach it, compiled.

Around the network come, as the recipe asks, a second head for the FER+ votes, the distillation loss
and the teachers themselves. None of it is in the saved model.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from ..edge.errors import UsageError
from .dataset_readers import EMOTIONS, SIDE_PX
from .mirror import tie
from .recipes import Optimiser, Recipe, Schedule
from .sharpness import SharpnessAware
from .targets import VOTE_CLASSES


@keras.saving.register_keras_serializable("fer_edge")
class DistillationLoss(layers.Layer):
    """Adds the cross-entropy between the teachers' and the student's softened answers.

    Hinton, Vinyals and Dean, 2015 (arXiv:1503.02531): both at the same temperature T, times T
    squared, so that its gradient keeps its size beside the labels' when T changes.
    """

    def __init__(self, temperature: float, weight: float, **options: Any):
        super().__init__(dtype="float32", **options)
        self.temperature, self.weight = temperature, weight

    def call(self, logits: Any, teacher: Any) -> Any:
        """Take logits and the teachers' probabilities, both ``(n, 7)``; return the logits."""
        loss: Any = ops.categorical_crossentropy(
            teacher, logits / self.temperature, from_logits=True
        )
        mean: Any = ops.mean(loss)
        self.add_loss(self.weight * self.temperature**2 * mean)
        return logits


class _Teacher(layers.Layer):
    """A teacher beside the student: it learns nothing, and drops nothing.

    A layer around it, because Keras hands the training flag of the outer model to every model in
    it, whatever ``training=False`` that one was called with.
    """

    def __init__(self, teacher: keras.Model, **options: Any):
        super().__init__(dtype="float32", **options)
        self._teacher: Any = teacher
        self.trainable = False

    def call(self, pixels: Any) -> Any:
        """Take pixels ``(n, 48, 48, 1)``, return logits ``(n, 7)``."""
        return self._teacher(pixels, training=False)


def training_model(
    network: keras.Model,
    recipe: Recipe,
    steps: int,
    rate: float,
    *,
    side_px: int = SIDE_PX,
    teachers: Sequence[keras.Model] = (),
    teacher_logits: bool = False,
) -> keras.Model:
    """The compiled model that teaches a network.

    Args:
        network: Untrained, from pixels to logits.
        recipe: How.
        steps: Optimiser steps of the whole stage, for the schedule.
        rate: Peak learning rate of the stage.
        side_px: Side of the images that it takes.
        teachers: Networks with the same input and output, which see the same augmented pixels.
        teacher_logits: Whether the batches carry answers of teachers instead.

    Returns:
        A model from a dict of ``pixels`` (and ``teacher``) to a dict of ``logits`` (and ``votes``).

    Raises:
        UsageError: A network takes whole images only, and the side is another.
    """
    network = of_side(_with_features(network), side_px)
    teachers = [of_side(teacher, side_px) for teacher in teachers]
    pixels = keras.Input((side_px, side_px, 1), name="pixels")
    inputs = {"pixels": pixels}
    answers = network(pixels)
    outputs = {"logits": answers[0]}
    loss_weights = {"logits": 1.0}
    settings = recipe.targets
    if settings.ferplus == "head":
        votes = layers.Dense(VOTE_CLASSES, dtype="float32", name="votes")
        outputs["votes"] = votes(answers[1])
        if recipe.mirror:
            tie([votes])
        loss_weights["votes"] = settings.ferplus_weight
    taught = None
    if teacher_logits:
        taught = inputs["teacher"] = keras.Input((len(EMOTIONS),), name="teacher")
    elif teachers:
        taught = _softened(teachers, pixels, settings.temperature)
    if taught is not None:
        loss_weights["logits"] = 1.0 - settings.teacher_weight
        distil = DistillationLoss(settings.temperature, settings.teacher_weight, name="distil")
        outputs["logits"] = distil(outputs["logits"], taught)
    if recipe.sam_radius:
        model = SharpnessAware(inputs, outputs, name="teaching")
        model.radius = recipe.sam_radius
    else:
        model = keras.Model(inputs, outputs, name="teaching")
    model.compile(
        optimizer=make_optimiser(recipe.optimiser, recipe.schedule, steps, rate),
        loss={name: keras.losses.CategoricalCrossentropy(from_logits=True) for name in outputs},
        loss_weights=loss_weights,
        metrics={"logits": [keras.metrics.CategoricalAccuracy("accuracy")]},
    )
    return model


def _with_features(network: keras.Model) -> keras.Model:
    """The network with two outputs: its logits, and what its last layer makes them of."""
    last = network.get_layer("logits")
    features: Any = last.input
    if len(features.shape) != 2:
        features = layers.GlobalAveragePooling2D(name="features")(features)
    return keras.Model(network.inputs, [network.outputs[0], features], name="network")


def of_side(network: keras.Model, side_px: int) -> keras.Model:
    """The same layers, with the same weights, for pixels of another side.

    Raises:
        UsageError: They are made for whole images, such as a dense layer on all pixels.
    """
    if side_px == SIDE_PX:
        return network
    pixels = keras.tree.map_structure(lambda _: keras.Input((side_px, side_px, 1)), network.input)
    try:
        return keras.models.clone_model(
            network, input_tensors=pixels, clone_function=lambda layer: layer
        )
    except ValueError as exc:
        raise UsageError(
            "A network, or a teacher, takes whole images only, so that no epoch can learn from "
            "pieces of them. Expected one that ends in a global average; or --set crop_share=0."
        ) from exc


def _softened(teachers: Sequence[keras.Model], pixels: Any, temperature: float) -> Any:
    """The mean of the teachers' softened probabilities for these pixels, which learns nothing."""
    answers = []
    for place, teacher in enumerate(teachers, start=1):
        # Under a name of its own: teachers of one recipe are called the same.
        logits: Any = _Teacher(teacher, name=f"teacher{place}")(pixels)
        answers.append(ops.softmax(logits / temperature))
    return ops.stop_gradient(sum(answers[1:], answers[0]) / len(answers))


def make_optimiser(settings: Optimiser, schedule: Schedule, steps: int, rate: float) -> Any:
    """The optimiser of a stage.

    Args:
        settings: Which one.
        schedule: Of its rate.
        steps: Of the whole stage.
        rate: Peak learning rate.
    """
    learning_rate: Any = rate
    if schedule.shape == "cosine":
        warmup = min(steps - 1, round(schedule.warmup_epochs * steps / schedule.epochs))
        learning_rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=rate,
            warmup_steps=max(0, warmup),
            decay_steps=max(1, steps - warmup),
        )
    common: dict[str, Any] = {
        "learning_rate": learning_rate,
        "weight_decay": settings.weight_decay or None,
        "global_clipnorm": settings.clip_norm or None,
        "use_ema": settings.average > 0,
        "ema_momentum": settings.average or 0.99,
    }
    if settings.name == "sgd":
        optimiser = keras.optimizers.SGD(momentum=settings.momentum, nesterov=True, **common)
    elif settings.name == "adam":
        optimiser = keras.optimizers.Adam(**common)
    else:
        optimiser = keras.optimizers.AdamW(**{**common, "weight_decay": settings.weight_decay})
    if settings.weight_decay:
        # Only the kernels: shrinking a batch norm's scale and shift regularises nothing.
        optimiser.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimiser
