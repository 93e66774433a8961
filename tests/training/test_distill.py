"""Distillation: teachers that run beside the student, or their answers from a file."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.contract import ModelContract  # noqa: E402
from fer_edge.edge.errors import DataError, ModelError, UsageError  # noqa: E402
from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.sidecar import file_sha256, read_sidecar, write_sidecar  # noqa: E402
from fer_edge.training import train  # noqa: E402
from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.distill import Teachers  # noqa: E402
from fer_edge.training.logits_file import LogitsFile, write_logits  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ..conftest import EMOTIONS, a_contract, a_dataset, a_recipe  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = [
    pytest.mark.usefixtures("module_undrawn"),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

RECIPE = a_recipe()


@pytest.fixture(scope="module")
def data():
    return a_dataset(Training=6, PublicTest=3)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> tuple[Path, Path]:
    """Two untrained models of the recipe, of other seeds, with their contracts."""
    folder = tmp_path_factory.mktemp("teachers")
    paths = folder / "8.keras", folder / "9.keras"
    for path in paths:
        keras.utils.set_random_seed(int(path.stem))
        build_network(RECIPE).save(path)
        write_sidecar(path, a_contract())
    return paths


def a_teacher(folder: Path, *, shape=(48, 48, 1), answers=7, **contract) -> Path:
    """An untrained model with a contract that says this of it."""
    net = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(answers)]
    path = folder / "teacher.keras"
    keras.Sequential(net).save(path)
    write_sidecar(path, a_contract(**contract))
    return path


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


# -------------------------------------------------------------------------- teachers in the graph


@pytest.fixture(scope="module")
def taught(data, teachers, tmp_path_factory):
    """The folder of a run with both teachers, and the teachers' bytes before it."""
    before = [path.read_bytes() for path in teachers]
    out = tmp_path_factory.mktemp("runs") / "taught"
    train.train(data, out, RECIPE, train.Run(teachers=Teachers(teachers)))
    return out, before


def test_teachers_are_left_as_they_are_and_named_by_their_digests(taught, teachers):
    out, before = taught

    assert [path.read_bytes() for path in teachers] == before
    digests = [file_sha256(path) for path in teachers]
    assert list(read_sidecar(out / "model.keras").training_data["teachers"]) == digests
    assert json.loads((out / "recipe.json").read_text())["teachers"] == digests


def test_nothing_of_a_teacher_is_in_checkpoints_or_model(taught, teachers):
    out, _ = taught
    alone = keras.saving.load_model(teachers[0])
    model = keras.saving.load_model(out / "model.keras", safe_mode=True)

    assert [layer.name for layer in model.layers] == [layer.name for layer in alone.layers]
    assert model.count_params() == alone.count_params()
    kept = arrays(out / "checkpoints/epoch-002.npz")
    shapes = [kept[name].shape for name in sorted(kept) if name.startswith("model/")]
    assert shapes == [tuple(weight.shape) for weight in model.weights]


def test_a_teacher_changes_what_is_learnt(data, taught, tmp_path):
    train.train(data, tmp_path, RECIPE)

    losses = [
        json.loads((run / "checkpoints/state.json").read_text())["history"][0]["loss"]
        for run in (taught[0], tmp_path)
    ]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_a_killed_run_with_teachers_ends_where_the_whole_one_does(data, taught, teachers, tmp_path):
    class KilledError(Exception):
        pass

    class Kill(train.Progress):
        def on_train_batch_end(self, batch, logs=None):
            if len(self._history) == 1:
                raise KilledError

    run = train.Run(teachers=Teachers(teachers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "Progress", Kill)
        with pytest.raises(KilledError):
            train.train(data, tmp_path, RECIPE, run)
    train.train(data, tmp_path, RECIPE, run, resume=True)

    whole, resumed = (arrays(out / "checkpoints/epoch-002.npz") for out in (taught[0], tmp_path))
    for name in whole:
        np.testing.assert_array_equal(whole[name], resumed[name])


def test_a_run_is_not_resumed_with_another_teacher(data, taught, teachers):
    run = train.Run(teachers=Teachers(teachers[:1]))

    with pytest.raises(UsageError, match="differs in teachers from what was asked for"):
        train.train(data, taught[0], RECIPE, run, resume=True)


def test_a_teacher_computes_in_the_precision_of_the_run_and_answers_alike(data, teachers):
    (alone,) = Teachers(teachers[:1]).networks()
    run = train.Run(teachers=Teachers(teachers[:1]))
    recipe = with_changes(RECIPE, ["precision=mixed_bfloat16"])
    (beside,) = train.prepare_lessons(data.split("Training"), recipe, run, data.digest).teachers
    pixels = to_float(data.images[:8])

    theirs = {layer.name: layer.compute_dtype for layer in beside.layers[1:]}
    assert theirs.pop("logits") == "float32"
    assert set(theirs.values()) == {"bfloat16"}
    assert {weight.dtype for weight in beside.weights} == {"float32"}
    assert alone.layers[-2].compute_dtype == "float32"
    answers = [model.predict(pixels, verbose=0) for model in (alone, beside)]
    assert not np.array_equal(*answers)
    np.testing.assert_allclose(*answers, atol=0.02 * np.abs(answers[0]).max())


# Each case: what a teacher is and says, and why it is refused.
REFUSED = [
    ({"labels": EMOTIONS[::-1]}, "names its classes .*'neutral', 'surprise'.*in this order"),
    ({"labels": EMOTIONS[:6], "answers": 6}, "names its classes"),
    ({"output": "probabilities"}, "gives probabilities; expected .* and logits"),
    ({"input_size_wh": (64, 64), "shape": (64, 64, 1)}, r"takes \(64, 64\)"),
    ({"answers": 5}, r"is not what its contract says: .*\(None, 5\)"),
    ({"shape": (48, 48, 3)}, r"is not what its contract says"),
]


@pytest.mark.parametrize(("about", "message"), REFUSED)
def test_a_teacher_that_answers_otherwise_is_refused(data, tmp_path, about, message):
    path = a_teacher(tmp_path, **about)

    with pytest.raises(ModelError, match=message):
        train.train(data, tmp_path / "out", RECIPE, train.Run(teachers=Teachers((path,))))
    assert not (tmp_path / "out").exists()


def test_a_teacher_without_contract_or_of_other_bytes_is_refused(tmp_path):
    path = a_teacher(tmp_path)
    whole = path.read_bytes()

    path.write_bytes(whole + b"x")
    with pytest.raises(ModelError, match="digests differ"):
        Teachers((path,)).networks()
    path.write_bytes(b"not a zip")
    write_sidecar(path, a_contract())
    with pytest.raises(ModelError, match="Cannot load the teacher"):
        Teachers((path,)).networks()
    path.with_name("teacher.contract.json").unlink()
    with pytest.raises(ModelError, match="has no contract"):
        Teachers((path,)).networks()
    path.unlink()
    with pytest.raises(ModelError, match="There is no model"):
        Teachers((path,)).networks()


def test_a_contract_of_ours_is_what_a_teacher_s_is_checked_by():
    assert isinstance(a_contract(), ModelContract)
    assert a_contract().labels == EMOTIONS


# --------------------------------------------------------------------------- logits from a file


def a_file(folder: Path, data, **changes) -> Path:
    """Logits of all images of ``data``, in another order than the data's."""
    order = np.random.default_rng(0).permutation(len(data))
    fields = {
        "logits": np.arange(len(data) * 7, dtype=np.float32).reshape(-1, 7)[order],
        "origins": data.origins[order],
        "data_sha256": data.digest,
        "split": "Training",
        "model_sha256": "a" * 64,
    }
    path = folder / "teacher.npz"
    write_logits(path, LogitsFile(**{**fields, **changes}))
    return path


def test_answers_are_put_to_their_images_by_origin(data, tmp_path):
    training = data.split("Training")
    found = Teachers(logits=(a_file(tmp_path, training),)).read_logits(training, data.digest)

    np.testing.assert_array_equal(found, np.arange(42 * 7).reshape(1, 42, 7))
    part = training.take(np.array([40, 3, 7]))
    found = Teachers(logits=(tmp_path / "teacher.npz",)).read_logits(part, data.digest)
    assert found is not None
    assert found[0, :, 0].tolist() == [280, 21, 49]


def test_several_files_are_several_teachers(data, tmp_path):
    training = data.split("Training")
    first = a_file(tmp_path, training).rename(tmp_path / "first.npz")
    second = a_file(tmp_path, training, logits=np.ones((42, 7), np.float32))

    found = Teachers(logits=(first, second)).read_logits(training, data.digest)

    assert found is not None
    np.testing.assert_array_equal(found[0], np.arange(42 * 7).reshape(42, 7))
    np.testing.assert_array_equal(found[1], np.ones((42, 7)))
    assert len(set(Teachers(logits=(first, second)).digests)) == 2


def test_without_a_file_there_are_none(data):
    assert Teachers().read_logits(data, data.digest) is None
    assert Teachers().digests == ()


def test_answers_to_other_data_are_refused(data, tmp_path):
    training = data.split("Training")
    path = a_file(tmp_path, training, data_sha256="e" * 64)

    with pytest.raises(DataError, match=r"was written for other data \(SHA-256 eeeeeeeeeeee…, not"):
        Teachers(logits=(path,)).read_logits(training, data.digest)


def test_answers_to_some_of_the_images_only_are_refused(data, tmp_path):
    training = data.split("Training")
    path = a_file(tmp_path, training.take(np.arange(40)))

    with pytest.raises(DataError, match=r"has no logits for 2 of 42 training images, '41' among"):
        Teachers(logits=(path,)).read_logits(training, data.digest)


def test_answers_of_a_missing_or_foreign_file_are_no_traceback(data, tmp_path):
    (tmp_path / "junk.npz").write_bytes(b"PK junk")

    for name in ("junk.npz", "gone.npz"):
        with pytest.raises(DataError, match=name):
            Teachers(logits=(tmp_path / name,)).read_logits(data, data.digest)


def test_models_and_answers_together_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--teacher or --teacher-logits, not both"):
        Teachers((tmp_path / "a.keras",), (tmp_path / "a.npz",))


def test_a_student_learns_what_the_file_answers(data, tmp_path):
    """With the labels left out of the loss it can only come from there."""
    training = data.split("Training")
    wrong = np.where((training.labels[:, None] + 1) % 7 == np.arange(7), 8.0, 0.0)
    path = tmp_path / "wrong.npz"
    write_logits(
        path,
        LogitsFile(wrong.astype(np.float32), training.origins, data.digest, "Training", "a" * 64),
    )
    greys = np.linspace(20, 235, 7)[data.labels][:, None, None]
    easy = dataclasses.replace(data, images=np.broadcast_to(greys, data.images.shape).astype("u1"))
    recipe = with_changes(
        a_recipe(options={"stem": 8, "widths": [16], "dropout": 0.0}),
        [
            "epochs=10",
            "peak_rate=0.1",
            "weight_decay=0",
            "teacher_weight=1",
            "brightness=0",
            "contrast=1,1",
            "temperature=1",
            "warmup_epochs=0",
        ],
    )

    train.train(easy, tmp_path / "run", recipe, train.Run(teachers=Teachers(logits=(path,))))

    model = keras.saving.load_model(tmp_path / "run/model.keras")
    state = json.loads((tmp_path / "run/checkpoints/state.json").read_text())
    assert state["history"][-1]["accuracy"] < 0.2, "the labels are not what is learnt"
    assert model.predict(to_float(easy.images[:1]), verbose=0).shape == (1, 7)
