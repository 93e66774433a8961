"""`convert --edgetpu` and `--compiled`: what lies there in the end, and what is refused."""

from pathlib import Path

import pytest

from fer_edge.edge.contract_file import embed_contract, load_model, read_contract

from ..conftest import a_contract
from .builders import a_net
from .conftest import call
from .fake_edgetpu_compiler import VERSION, compiled

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

NET = embed_contract(a_net(), a_contract(quantisation={"type": "int8"}))


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(NET)
    return path


def made_of(model: Path) -> Path:
    return model.with_name("model_edgetpu.tflite")


def test_an_int8_file_is_compiled_beside_itself(model, compiler):
    compiler("all")

    result = call(model, "--edgetpu")

    assert result.exit_code == 0, result.output
    assert "4 operations on the Edge TPU, 0 on the CPU" in result.stdout
    _, contract = load_model(made_of(model))
    assert contract.quantisation["edgetpu_compiler"] == VERSION
    assert contract.parent_sha256 == read_contract(NET).content_sha256


def test_operations_on_the_cpu_end_with_code_5_unless_they_are_allowed(model, compiler):
    compiler("partial:2")

    refused = call(model, "--edgetpu")

    assert refused.exit_code == 5
    assert "stay on the CPU" in refused.stderr
    assert not made_of(model).exists()
    assert call(model, "--edgetpu", "--allow-cpu").exit_code == 0
    assert made_of(model).exists()


def test_without_a_compiler_the_commands_for_elsewhere_are_said(model, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    result = call(model, "--edgetpu")

    assert result.exit_code == 1
    assert "edgetpu_compiler -s" in result.stderr
    assert "docker run" in result.stderr


def test_what_was_compiled_elsewhere_gets_its_contract_in_place(model):
    made_of(model).write_bytes(compiled(NET, 4))

    result = call(model, "--compiled", made_of(model))

    assert result.exit_code == 0, result.output
    assert load_model(made_of(model))[1].labels == a_contract().labels


def test_a_compiled_file_of_another_name_is_not_written_over(model, tmp_path, compiler):
    compiler("all")
    made_of(model).write_text("precious")
    (tmp_path / "other.tflite").write_bytes(compiled(NET, 4))

    for arguments in (["--edgetpu"], ["--compiled", tmp_path / "other.tflite"]):
        result = call(model, *arguments)
        assert result.exit_code == 4
        assert "--overwrite" in result.stderr
    assert made_of(model).read_text() == "precious"
    assert call(model, "--edgetpu", "--overwrite").exit_code == 0


# Each case: what does not go together, what the error says.
CONTRADICTIONS = [
    (["m.keras", "--compiled", "x.tflite"], "takes the int8 .tflite"),
    (["m.keras", "--edgetpu", "--to", "float32"], "compiles the int8 model"),
]


@pytest.mark.parametrize(("arguments", "said"), CONTRADICTIONS)
def test_what_does_not_go_together_is_said(arguments, said):
    result = call(*arguments)

    assert result.exit_code == 2
    assert said in result.stderr


def test_from_keras_to_the_edge_tpu_in_one_command(copied, compiler):
    pytest.importorskip("keras", reason="needs the extra [train]")
    compiler("all")

    result = call(copied, "--edgetpu")

    assert result.exit_code == 0, result.output
    _, int8 = load_model(copied.with_suffix(".tflite"))
    _, contract = load_model(made_of(copied))
    assert contract.parent_sha256 == int8.content_sha256


def test_a_compiled_file_in_the_way_is_told_before_the_conversion(copied, compiler):
    compiler("all")
    made_of(copied).write_text("precious")

    result = call(copied, "--edgetpu")

    assert result.exit_code == 4
    assert "model_edgetpu.tflite exists" in result.stderr
    assert not copied.with_suffix(".tflite").exists()
