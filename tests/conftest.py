"""Small builders, one a type, and where the real data lies. No photos of people: only seeds."""

import csv
import gzip
import io
import lzma
import os
import signal
import zipfile
from pathlib import Path

import cv2
import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import settings

from fer_edge.edge.contract import DETECTOR, ModelContract

# No deadline: a busy machine (CI, a training run beside) is no failure.
settings.register_profile("fer-edge", deadline=None)
settings.load_profile("fer-edge")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell has it for what it starts in the background; children of the tests would ignore
    # Ctrl-C too, and a shell script cannot even undo it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A user's Python keeps output back until its end, and fails there where it cannot be written.
os.environ.pop("PYTHONUNBUFFERED", None)

needs_cascades = pytest.mark.skipif(
    not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no cascades"
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
REAL_DATA = SHARED / "data" / "fer2013"
REAL_YUNET = SHARED / "models" / "face_detection_yunet_2026may.onnx"
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CSV_HEADER = ("emotion", "pixels", "Usage")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests keep nothing in the user's own folders, and take nothing from them."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CACHE", "CONFIG", "DATA"):
            patch.setenv(f"XDG_{kind}_HOME", str(tmp_path_factory.mktemp(kind.lower())))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the project's own FER-2013 files, which stay out of the repository."""
    if not (REAL_DATA / "fer2013.csv.gz").is_file():
        pytest.skip(f"needs the real FER-2013: no {REAL_DATA / 'fer2013.csv.gz'}")
    return REAL_DATA


@pytest.fixture(scope="session")
def yunet_file() -> Path:
    """A YuNet for OpenCV, which stays out of the repository."""
    if not REAL_YUNET.is_file():
        pytest.skip(f"needs a YuNet: no {REAL_YUNET}")
    return REAL_YUNET


# --------------------------------------------------------------------------------------- models


def a_contract(**changes) -> ModelContract:
    """A valid contract of an emotion classifier, or of the kind given, with these changed."""
    fields = {
        "name": "tiny",
        "labels": EMOTIONS,
        "input_size_wh": (48, 48),
        "framing": "fer2013",
        "output": "logits",
        "recipe": {"seed": 1},
        "metrics": ({"name": "accuracy", "value": 0.5, "split": "PublicTest", "count": 2},),
    }
    if changes.get("kind") == DETECTOR:
        fields |= {"labels": ("face",), "input_size_wh": (320, 240), "framing": "fer-face"}
        fields |= {"strides": (8, 16, 32), "score_threshold": 0.5, "metrics": ()}
    return ModelContract(**{**fields, **changes})


def tiny_tflite() -> bytes:
    """A model of under 1 KB that LiteRT runs, int8 ``(1, 48, 48, 1)`` -> int8 ``(1, 7)``.

    Its logits are the first seven pixels of the top row: SLICE, then RESHAPE. Scale 1 and zero
    point -128 on both sides, so a logit is the grey value itself, 0..255.
    """
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT() for _ in range(4)]  # buffer 0 is empty by convention
    constants = ((1, [0, 0, 0, 0]), (2, [1, 1, 7, 1]), (3, [1, 7]))
    for index, values in constants:
        model.buffers[index].data = np.array(values, "<i4").view(np.uint8)
    graph = schema.SubGraphT()
    graph.tensors = [
        _tensor("pixels", (1, 48, 48, 1)),
        _tensor("begin", (4,), buffer=1),
        _tensor("size", (4,), buffer=2),
        _tensor("row", (1, 1, 7, 1)),
        _tensor("shape", (2,), buffer=3),
        _tensor("logits", (1, 7)),
    ]
    graph.inputs, graph.outputs = [0], [5]
    slicing, reshaping = schema.OperatorT(), schema.OperatorT()
    slicing.opcodeIndex, slicing.inputs, slicing.outputs = 0, [0, 1, 2], [3]
    reshaping.opcodeIndex, reshaping.inputs, reshaping.outputs = 1, [3, 4], [5]
    graph.operators = [slicing, reshaping]
    model.subgraphs = [graph]
    model.operatorCodes = [
        _operator_code(schema.BuiltinOperator.SLICE, version=2),
        _operator_code(schema.BuiltinOperator.RESHAPE, version=1),
    ]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _operator_code(code: int, version: int) -> schema.OperatorCodeT:
    made = schema.OperatorCodeT()
    made.builtinCode = made.deprecatedBuiltinCode = code
    made.version = version
    return made


def _tensor(name: str, shape: tuple[int, ...], buffer: int = 0) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.buffer = name, list(shape), buffer
    if buffer:
        made.type = schema.TensorType.INT32
    else:
        made.type = schema.TensorType.INT8
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [1.0], [-128]
    return made


# --------------------------------------------------------------------------------------- images


def a_face(seed: int = 0, size_wh: tuple[int, int] = (48, 48)) -> np.ndarray:
    """Grey noise, uint8 ``(height, width)``, another for each seed."""
    return np.random.default_rng(seed).integers(0, 256, size_wh[::-1], dtype=np.uint8)


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """The bytes of an image file."""
    good, encoded = cv2.imencode(suffix, image)
    assert good
    return encoded.tobytes()


# ------------------------------------------------------------------------------------- FER-2013


def a_row(
    emotion: object = 0, usage: str = "Training", *, seed: int = 0, pixels: str | None = None
) -> list[str]:
    """One row of ``fer2013.csv``; the seed or the text decides its pixels."""
    if pixels is None:
        pixels = " ".join(map(str, a_face(seed).ravel()))
    return [str(emotion), pixels, usage]


def rows_of_each(**counts: int) -> list[list[str]]:
    """So many rows of each of the seven classes for each split: ``rows_of_each(Training=2)``."""
    kinds = [(usage, label) for usage, n in counts.items() for label in range(7) for _ in range(n)]
    return [a_row(label, usage, seed=seed) for seed, (usage, label) in enumerate(kinds)]


def write_csv(path: Path, rows: list[list[str]], header=CSV_HEADER) -> Path:
    """Write a csv, packed as its suffix says (``.gz``, ``.xz``, ``.zip``)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return write_packed(path, text.getvalue().encode())


def write_packed(path: Path, content: bytes) -> Path:
    """Write bytes, packed as the suffix says; inside a ``.zip`` they are ``fer2013.csv``."""
    if path.suffix == ".zip":
        return write_zip(path, {"fer2013.csv": content})
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(content))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_folder(root: Path, members: dict[str, bytes]) -> Path:
    """Write a tree of files, ``name/with/slashes`` to bytes."""
    for name, content in members.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return root


def image_tree(*names: str, classes: tuple[str, ...] = EMOTIONS) -> dict[str, bytes]:
    """One image for each class and name, where ``*`` in a name stands for the class."""
    paths = [name.replace("*", label) for name in names for label in classes]
    return {path: encode(a_face(seed)) for seed, path in enumerate(paths)}


# ------------------------------------------------------------------------------------- training


def files_in(folder: Path) -> set[str]:
    """The files below a folder, as relative paths."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def a_dataset(**counts: int):
    """A data set with so many images of each class for each split: ``a_dataset(Training=6)``."""
    from fer_edge.training.datasets import Dataset

    kinds = [(usage, label) for usage, n in counts.items() for label in range(7) for _ in range(n)]
    return Dataset(
        name="made",
        digest="d" * 64,
        images=np.stack([a_face(seed) for seed in range(len(kinds))]),
        labels=np.array([label for _, label in kinds]),
        splits=np.array([usage for usage, _ in kinds]),
        origins=np.array([str(number) for number in range(1, len(kinds) + 1)]),
        votes=None,
        skipped=0,
    )


def a_recipe(**changes):
    """A recipe that trains in a second, with these fields changed."""
    from fer_edge.training.recipes import Optimiser, Recipe, Schedule

    fields = {
        "name": "tiny",
        "summary": "for tests",
        "network": "plain",
        "options": {"stem": 4, "widths": [4], "dropout": 0.3},
        # So large that it shows where it is applied and where it is not.
        "optimiser": Optimiser(weight_decay=5.0),
        "schedule": Schedule(epochs=2, batch=16, peak_rate=0.01, warmup_epochs=1.0),
        "calibration_per_class": 3,
    }
    return Recipe(**{**fields, **changes})
