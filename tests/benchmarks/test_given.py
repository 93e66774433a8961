"""The models of a command: what they are called, and what is told before anything is measured."""

import zipfile
from pathlib import Path

import pytest

from fer_edge.benchmarks.given import find_models
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import shipped_models
from fer_edge.edge.sidecar import write_sidecar

from ..conftest import a_contract, tiny_tflite


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with models good and bad."""
    monkeypatch.chdir(tmp_path)
    tiny = embed_contract(tiny_tflite(), a_contract())
    turned = bytearray(tiny)
    turned[-1] ^= 1
    for name, content in {
        "tiny.tflite": tiny,
        "other/tiny.tflite": embed_contract(tiny_tflite(), a_contract(name="another")),
        "third/tiny.tflite": tiny_tflite(),
        "fast.tflite": tiny,
        "bare.tflite": tiny_tflite(),
        "text.tflite": b"This is no model at all.",
        "empty.tflite": b"",
        "turned.tflite": bytes(turned),
        "cut.tflite": tiny[: len(tiny) // 2],
        "cut_bare.tflite": tiny_tflite()[:300],
        "text.keras": b"This is no model.",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for name in ("tiny", "bare"):
        with zipfile.ZipFile(tmp_path / f"{name}.keras", "w") as archive:
            archive.writestr("config.json", "{}")
    write_sidecar(tmp_path / "tiny.keras", a_contract())
    return tmp_path


@pytest.mark.parametrize(
    ("given", "names"),
    [
        # None are all that ship, by the names that users know.
        ([], list(shipped_models())),
        (["fast", "tiny.tflite"], ["fast", "tiny"]),
        # A shipped one by its path is the shipped one, and given once.
        ([str(shipped_models()["fast"]), "fast"], ["fast"]),
        (["tiny.tflite", "other/../tiny.tflite"], ["tiny"]),
        # Files with the same stem, and one that is called like a shipped one.
        (["tiny.tflite", "other/tiny.tflite", "third/tiny.tflite"], ["tiny", "tiny-2", "tiny-3"]),
        (["fast", "fast.tflite/../fast.tflite"], None),
        (["tiny.keras", "tiny.tflite"], ["tiny", "tiny-2"]),
    ],
)
def test_names(here, given, names):
    if names is None:
        # A path through a file is none.
        with pytest.raises(ModelError, match="There is no model"):
            find_models(given)
        return
    assert [model.name for model in find_models(given)] == names


def test_a_file_called_like_a_shipped_model_is_another(here):
    # "fast" means the shipped one, a path the file.
    ours, theirs = find_models(["fast", "./fast.tflite"])

    assert (ours.name, theirs.name) == ("fast", "fast-2")
    assert ours.path != theirs.path


@pytest.mark.parametrize(
    ("name", "contract", "keras"),
    [
        ("tiny.tflite", True, False),
        ("bare.tflite", False, False),
        ("tiny.keras", True, True),
        ("bare.keras", False, True),
    ],
)
def test_a_model_with_a_contract_and_without(here, name, contract, keras):
    (model,) = find_models([name])

    assert (model.contract, model.keras) == (contract, keras)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no.tflite", "There is no model 'no.tflite'"),
        ("other", "There is no model 'other'"),
        ("text.tflite", "text.tflite is no TFLite model"),
        ("empty.tflite", "empty.tflite is no TFLite model"),
        ("turned.tflite", "turned.tflite is damaged"),
        ("cut.tflite", "cut.tflite"),
        # Without a contract only the sandbox sees it.
        ("cut_bare.tflite", "cut_bare.tflite"),
        ("text.keras", "text.keras is no .keras file"),
    ],
)
def test_a_bad_model_is_told_at_once(here, name, said):
    with pytest.raises(ModelError, match=said):
        find_models(["fast", name])


def test_a_keras_model_with_the_contract_of_another_is_refused(here):
    (here / "tiny.keras").write_bytes((here / "bare.keras").read_bytes() + b"more")

    with pytest.raises(ModelError, match="is not the file that"):
        find_models(["tiny.keras"])
