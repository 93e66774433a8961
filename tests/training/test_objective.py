"""The model that is trained: its losses against NumPy's, its optimiser, and what it leaves out."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.objective import of_side, training_model  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ..conftest import a_recipe  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

RECIPE = a_recipe(options={"stem": 4, "widths": [4], "dropout": 0.0})
COUNT = 5


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Of each row."""
    return -(targets * np.log(softmax(logits))).sum(axis=-1)


def distributions(columns: int, seed: int) -> np.ndarray:
    shares = np.random.default_rng(seed).random((COUNT, columns)).astype(np.float32)
    return shares / shares.sum(axis=1, keepdims=True)


PIXELS = np.random.default_rng(0).uniform(0, 255, (COUNT, 48, 48, 1)).astype(np.float32)
LOGITS = distributions(7, 1)
VOTES = distributions(8, 2)
TEACHER = distributions(7, 3)
WEIGHTS = np.array([0.5, 1, 2, 1, 0.5], np.float32)


def a_model(changes=(), network=None, **options):
    recipe = with_changes(RECIPE, list(changes))
    keras.utils.set_random_seed(1)
    made = network or build_network(recipe)
    return made, training_model(made, recipe, 10, 0.1, **options)


def loss_of(model, inputs, targets, weights) -> float:
    found = model.test_on_batch(inputs, targets, sample_weight=weights, return_dict=True)
    return float(found["loss"])


# ------------------------------------------------------------------------------------------ losses


def test_the_loss_of_labels_is_the_weighted_cross_entropy():
    network, model = a_model()
    answers = np.array(network(PIXELS))

    loss = loss_of(model, {"pixels": PIXELS}, {"logits": LOGITS}, {"logits": WEIGHTS})

    assert loss == pytest.approx((WEIGHTS * cross_entropy(LOGITS, answers)).mean(), rel=1e-5)


def test_the_second_head_adds_its_loss_with_its_weight():
    network, model = a_model(["ferplus=head", "ferplus_weight=0.25"])
    weights = {"logits": WEIGHTS, "votes": WEIGHTS * np.array([1, 0, 1, 1, 1], np.float32)}
    targets = {"logits": LOGITS, "votes": VOTES}
    answers = {name: np.array(value) for name, value in model({"pixels": PIXELS}).items()}

    loss = loss_of(model, {"pixels": PIXELS}, targets, weights)

    parts = {
        name: (weights[name] * cross_entropy(targets[name], answers[name])).mean()
        for name in targets
    }
    assert answers["votes"].shape == (COUNT, 8)
    np.testing.assert_allclose(answers["logits"], np.array(network(PIXELS)), rtol=1e-4, atol=1e-5)
    assert loss == pytest.approx(parts["logits"] + 0.25 * parts["votes"], rel=1e-5)


def test_the_second_head_stands_on_the_features_of_the_last_layer():
    network, model = a_model(["ferplus=head"])
    before_logits = keras.Model(network.inputs[0], network.get_layer("logits").input)
    kernel, bias = (np.array(w) for w in model.get_layer("votes").weights)

    answer = np.array(model({"pixels": PIXELS})["votes"])

    features = np.array(before_logits(PIXELS))
    np.testing.assert_allclose(answer, features @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_a_net_that_ends_in_an_average_can_have_a_second_head_too():
    """mini-Xception's last layer is the average itself."""
    recipe = a_recipe(network="mini_xception", options={"stem": 4, "widths": [4]})
    network = build_network(recipe)

    model = training_model(network, with_changes(recipe, ["ferplus=head"]), 10, 0.1)

    answers = model({"pixels": PIXELS})
    assert (answers["logits"].shape, answers["votes"].shape) == ((COUNT, 7), (COUNT, 8))


@pytest.mark.parametrize(("temperature", "mix"), [(1.0, 0.5), (4.0, 0.7), (2.0, 1.0)])
def test_distillation_mixes_the_labels_with_the_teacher_at_its_temperature(temperature, mix):
    """Hinton, Vinyals and Dean, 2015: T squared keeps the gradient's size."""
    network, model = a_model(
        [f"temperature={temperature}", f"teacher_weight={mix}"], teacher_logits=True
    )
    answers = np.array(network(PIXELS))

    loss = loss_of(
        model, {"pixels": PIXELS, "teacher": TEACHER}, {"logits": LOGITS}, {"logits": WEIGHTS}
    )

    labels = (WEIGHTS * cross_entropy(LOGITS, answers)).mean()
    taught = cross_entropy(TEACHER, answers / temperature).mean() * temperature**2
    assert loss == pytest.approx((1 - mix) * labels + mix * taught, rel=1e-5)


def test_teachers_in_the_graph_see_the_same_pixels_and_their_softmax_is_averaged():
    half = a_recipe(options={"stem": 4, "widths": [4], "dropout": 0.5})
    teachers = [build_network(half), build_network(half)]  # both of one name
    network, model = a_model(["temperature=2", "teacher_weight=0.7"], teachers=teachers)
    answers = np.array(network(PIXELS))

    loss = loss_of(model, {"pixels": PIXELS}, {"logits": LOGITS}, {"logits": WEIGHTS})

    # In training too: no dropout, no statistics of the batch.
    moving = np.array(network(PIXELS, training=True))
    trained = model.train_on_batch(
        {"pixels": PIXELS}, {"logits": LOGITS}, sample_weight={"logits": WEIGHTS}, return_dict=True
    )
    soft = np.mean([softmax(np.array(t(PIXELS)) / 2) for t in teachers], axis=0)
    labels = (WEIGHTS * cross_entropy(LOGITS, answers)).mean()
    taught = cross_entropy(soft, answers / 2).mean() * 4
    assert loss == pytest.approx(0.3 * labels + 0.7 * taught, rel=1e-5)
    labels = (WEIGHTS * cross_entropy(LOGITS, moving)).mean()
    taught = cross_entropy(soft, moving / 2).mean() * 4
    assert float(trained["loss"]) == pytest.approx(0.3 * labels + 0.7 * taught, rel=1e-4)


@pytest.mark.parametrize("name", ["plain", "residual", "mini_xception"])
def test_pieces_teach_the_weights_that_whole_images_are_read_with(name):
    options = {"blocks": [1], "widths": [8]} if name == "residual" else {}
    recipe = a_recipe(network=name, options=options)
    network, model = a_model(["ferplus=head"], network=build_network(recipe), side_px=32)
    before = [np.array(value) for value in network.get_weights()]
    # An even number of them: batches.py says why.
    pieces = {"pixels": PIXELS[:4, :32, 8:40]}

    model.train_on_batch(pieces, {"logits": LOGITS[:4], "votes": VOTES[:4]})

    assert any((a != b).any() for a, b in zip(before, network.get_weights(), strict=True))
    assert model.predict(pieces, verbose=0)["logits"].shape == (4, 7)
    assert network.predict(PIXELS, verbose=0).shape == (COUNT, 7)


def test_a_teacher_sees_the_same_pieces():
    teacher, side = build_network(a_recipe(seed=2)), 32
    _, model = a_model(["temperature=1", "teacher_weight=1"], teachers=[teacher], side_px=side)
    pieces = PIXELS[:, :side, :side]

    # The loss is then the student's cross-entropy with what the teacher says of the pieces.
    found = loss_of(model, {"pixels": pieces}, {"logits": LOGITS}, {"logits": WEIGHTS})
    student = of_side(model.get_layer("network"), side)([pieces], training=False)
    seen = of_side(teacher, side)(pieces, training=False)

    expected = cross_entropy(softmax(np.array(seen)), np.array(student[0])).mean()
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_teacher_learns_nothing_and_forgets_nothing():
    teacher = build_network(a_recipe())  # with dropout and batch norms, which training would move
    before = [w.copy() for w in teacher.get_weights()]
    network, model = a_model(teachers=[teacher])
    own = network.get_weights()

    for _ in range(3):
        model.train_on_batch({"pixels": PIXELS}, {"logits": LOGITS})

    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not any(
        np.array_equal(old, new) for old, new in zip(own, network.get_weights(), strict=True)
    )
    assert {id(v) for v in model.trainable_variables} == {
        id(v) for v in network.trainable_variables
    }
    assert len(network.weights) == len(own), "the network knows of no teacher"


# --------------------------------------------------------------------------------------- optimiser


def rates(changes, *steps: int, total: int = 1000) -> list[float]:
    recipe = with_changes(RECIPE, list(changes))
    optimiser = training_model(build_network(recipe), recipe, total, 0.06).optimizer
    found = []
    for step in steps:
        optimiser.iterations.assign(step)
        found.append(float(optimiser.learning_rate))
    return found


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    found = rates(["epochs=10", "warmup_epochs=2"], 0, 100, 200, 600, 1000)

    assert found == pytest.approx([0, 0.03, 0.06, 0.03, 0], abs=1e-6)


def test_without_a_warm_up_it_begins_at_its_peak():
    assert rates(["warmup_epochs=0"], 0, 500, 1000) == pytest.approx([0.06, 0.03, 0], abs=1e-6)


@pytest.mark.parametrize("shape", ["constant", "plateau"])
def test_a_rate_that_does_not_follow_the_step_stays(shape):
    assert rates([f"shape={shape}"], 0, 999) == pytest.approx([0.06, 0.06])


def test_a_warm_up_that_is_longer_than_the_run_leaves_a_step_to_learn():
    assert rates(["epochs=1", "warmup_epochs=5"], 9, total=10) == pytest.approx([0.06])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_weight_decay_shrinks_the_kernels_only(name):
    _, model = a_model([f"optimiser.name={name}", "ferplus=head"])
    optimiser = model.optimizer
    optimiser.build(model.trainable_variables)

    decayed = {v.path for v in model.trainable_variables if optimiser._use_weight_decay(v)}

    assert optimiser.weight_decay == 5.0
    assert {path.rpartition("/")[2] for path in decayed} == {"kernel"}
    assert len(decayed) == 3 + 2  # three convolutions, two dense layers


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_step_without_weight_decay_decays_nothing(name):
    """AdamW's own default would be 0.004."""
    _, model = a_model([f"optimiser.name={name}", "weight_decay=0", "shape=constant"])

    assert not model.optimizer.weight_decay
    assert type(model.optimizer).__name__.lower() == name


def test_the_optimiser_is_what_the_recipe_says():
    _, model = a_model(["momentum=0.8", "clip_norm=2", "average=0.99"])
    optimiser = model.optimizer

    assert (optimiser.momentum, optimiser.nesterov) == (0.8, True)
    assert (optimiser.global_clipnorm, optimiser.use_ema, optimiser.ema_momentum) == (2, True, 0.99)


def test_a_limit_on_the_gradient_limits_the_step():
    changes = ["momentum=0", "weight_decay=0", "shape=constant"]
    moved = []
    for limit in (1e-3, 0):
        network, model = a_model([*changes, f"clip_norm={limit}"])
        before = [np.array(v) for v in network.trainable_variables]
        model.train_on_batch({"pixels": PIXELS}, {"logits": LOGITS})
        after = network.trainable_variables
        parts = [((np.array(v) - b) ** 2).sum() for v, b in zip(after, before, strict=True)]
        moved.append(np.sqrt(sum(parts)))

    assert moved[0] == pytest.approx(0.1 * 1e-3, rel=1e-2)
    assert moved[1] > 10 * moved[0]
