"""``--dry-run``: what a run would do and how long it would take, with nothing kept."""

import dataclasses
import os
from typing import Any, cast

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import DataError, ModelError, UsageError  # noqa: E402
from fer_edge.training import plan, train, transfer  # noqa: E402
from fer_edge.training.plan import Plan, StagePlan, make_plan  # noqa: E402
from fer_edge.training.recipes import Transfer, with_changes  # noqa: E402
from fer_edge.training.stages import Stage  # noqa: E402
from fer_edge.training.train import Run  # noqa: E402

from ..conftest import a_dataset, a_recipe  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

RECIPE = a_recipe()


@pytest.fixture(scope="module")
def data():
    return a_dataset(Training=10, PublicTest=3)


def test_a_plan_says_what_would_be_trained_and_keeps_nothing(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real, timed = train.Batches.__getitem__, []
    monkeypatch.setattr(
        train.Batches, "__getitem__", lambda self, i: timed.append(i) or real(self, i)
    )

    made = make_plan(data, RECIPE, Run())

    assert list(tmp_path.iterdir()) == []
    assert (made.training, made.validation, made.choose_on) == (70, 21, "PublicTest")
    assert made.steps == 5  # 70 images in batches of 16
    assert (made.parameters, made.multiply_adds) == (407, 48**2 * 36 + 2 * 24**2 * 144 + 28)
    (stage,) = made.stages
    assert stage.stage == Stage(0, 2, 0.01, (), (0, 2))
    assert stage.learning == 407 - 3 * 4 * 2  # but for the statistics of three batch norms
    assert set(timed) == {0, 1, 2}, "three batches are timed"
    assert 0 < stage.step_s < 5
    assert 0 < made.validation_s < 5
    assert 0 < stage.pipeline_rate <= 1


def test_pieces_and_whole_images_are_planned_apart(data):
    recipe = with_changes(RECIPE, ["crop_share=0.5", "crop_px=24"])

    found = make_plan(data, recipe, Run(), batches=1).stages

    assert [(item.stage.side_px, item.stage.span) for item in found] == [(24, (0, 2)), (48, (0, 2))]
    assert all(item.step_s > 0 for item in found)


def test_the_time_is_that_of_all_steps_and_validations():
    stages = (
        StagePlan(Stage(0, 2, 0.1, (), (0, 2)), 10, step_s=0.5, ready_step_s=0.4),
        StagePlan(Stage(2, 5, 0.1, (), (2, 5)), 20, step_s=1.0, ready_step_s=1.2),
    )
    made = Plan(1, 1, 100, 10, "PublicTest", steps=10, stages=stages, validation_s=3.0)

    assert made.total_s == 2 * (10 * 0.5 + 3) + 3 * (10 * 1.0 + 3)
    assert [stage.pipeline_rate for stage in stages] == [0.8, 1.0]


def test_the_plan_of_few_images_is_made_with_the_batches_there_are(data):
    few = data.take(data.splits == "PublicTest")
    few = dataclasses.replace(few, splits=few.splits.astype("<U16"))
    few.splits[:7] = "Training"
    few.splits[7:] = "PublicTest"
    one_batch = dataclasses.replace(few, labels=(few.labels * 0 + range(21)) % 7)

    made = make_plan(one_batch, RECIPE, Run())

    assert made.steps == 1
    assert made.total_s > 0


def small_base(include_top, weights, input_shape, name):
    pixels = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, strides=4, name="block1_conv")(pixels)
    return keras.Model(pixels, keras.layers.Conv2D(4, 3, name="block2_conv")(x), name=name)


def test_both_stages_are_planned_and_nothing_is_downloaded(data, monkeypatch):
    monkeypatch.setattr(keras.applications, "VGG16", small_base)
    monkeypatch.setattr(transfer, "_download", None)  # would fail if it were called
    recipe = with_changes(
        a_recipe(
            network="transfer",
            options={"base": "vgg16", "input_px": 48, "dense": 0, "dropout": 0.0},
            transfer=Transfer(head_epochs=2, unfreeze=("block2",), fine_tune_rate=1e-3),
        ),
        ["epochs=5"],
    )

    made = make_plan(data, recipe, Run(weights="imagenet"))

    head = 4 * 7 + 7
    assert [(s.stage.first, s.stage.end) for s in made.stages] == [(0, 2), (2, 5)]
    assert [s.learning for s in made.stages] == [head, head + 9 * 4 * 4 + 4]


# Each case: what is planned, with what, and the error that a run would end with.
REFUSED = [
    (a_recipe(network="vit"), {}, UsageError, "No network 'vit'"),
    (a_recipe(seed=-1), {}, UsageError, "seed is -1"),
    (RECIPE, {"weights": "a.h5"}, UsageError, "no base that --weights a.h5"),
    (
        RECIPE,
        {"teachers": train.Teachers((train.Path("no.keras"),))},
        ModelError,
        "There is no model no.keras",
    ),
    (with_changes(RECIPE, ["ferplus=head"]), {}, DataError, "pass --votes"),
]


@pytest.mark.parametrize(("recipe", "given", "kind", "message"), REFUSED)
def test_a_plan_is_refused_where_the_run_would_be(data, recipe, given, kind, message):
    with pytest.raises(kind, match=message):
        make_plan(data, recipe, Run(**given))


def test_data_are_refused_where_the_run_would_refuse_them(data):
    with pytest.raises(DataError, match="PublicTest of made shows no image of disgust"):
        make_plan(data.take((data.splits == "Training") | (data.labels != 1)), RECIPE, Run())


def test_a_step_is_timed_without_what_an_epoch_costs_once(monkeypatch):
    """Three steps that end at 10, 11 and 12 take a second each, however long the first was."""
    clock = iter([0.0, 10.0, 11.0, 12.0])
    monkeypatch.setattr(plan.time, "perf_counter", lambda: next(clock))

    class Model:
        def fit(self, batches, *, callbacks, **_options):
            for number in range(3):
                callbacks[0].on_train_batch_end(number, logs={})

    assert plan.step_seconds(Model(), cast(Any, None), 3, ready=False) == 1.0
