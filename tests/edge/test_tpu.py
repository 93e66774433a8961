"""Choosing between the Edge TPU and the CPU, and changing from one to the other."""

import functools
import re
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from fer_edge.edge import tpu
from fer_edge.edge.contract_file import embed_contract, read_contract
from fer_edge.edge.errors import ModelError, UsageError
from fer_edge.edge.tpu import edgetpu_path, find_library, open_classifier

from ..conftest import a_contract, a_face, tiny_tflite
from ..convert.fake_edgetpu_compiler import compiled
from .conftest import requantised, wait_until
from .tpu_standins import compile_standin, tiny_compiled, tiny_model, write_models

FACES = np.stack([a_face(seed) for seed in range(5)])


@pytest.fixture(scope="module")
def standin(tmp_path_factory) -> Path:
    return compile_standin(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def library(standin, monkeypatch) -> Path:
    """The stand-in of libedgetpu in the place of the installed one."""
    monkeypatch.setenv(tpu.LIBRARY_VARIABLE, str(standin))
    return standin


@pytest.fixture
def no_library(monkeypatch) -> None:
    monkeypatch.delenv(tpu.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(tpu, "LIBRARY", "libedgetpu-that-nobody-has.so.1")


@pytest.fixture
def opened():
    """Open a classifier, close it in the end; what was said is in ``opened.said``."""

    class Opened:
        def __init__(self):
            self.said, self.all = [], []

        def __call__(self, model, **options):
            classifier = open_classifier(model, say=self.said.append, **options)
            self.all.append(classifier)
            return classifier

        @property
        def line(self) -> str:
            (line,) = self.said
            assert "\n" not in line
            return line

    opened = Opened()
    process = psutil.Process()
    before = process.num_fds(), process.children()
    yield opened
    for classifier in opened.all:
        classifier.close()
    assert (process.num_fds(), process.children()) == before


def outputs(classifier) -> list:
    return classifier.outputs(FACES).tolist()


# What the tiny model answers: its first seven pixels.
EXPECTED = FACES[:, 0, :7].astype(float).tolist()


# ----------------------------------------------------------------------------------------- chosen


@pytest.mark.parametrize("choice", ["auto", "usb", "pci"])
def test_the_edge_tpu_is_taken_where_everything_is_there(library, opened, tmp_path, choice):
    classifier = opened(write_models(tmp_path), tpu=choice)

    assert classifier.accelerator.name == "Edge TPU"
    assert outputs(classifier) == EXPECTED
    assert classifier.lost == 0
    assert opened.said == []


def test_off_starts_nothing(library, opened, tmp_path):
    classifier = opened(write_models(tmp_path), tpu="off")

    assert classifier.accelerator is None
    assert psutil.Process().children() == []
    assert outputs(classifier) == EXPECTED
    assert opened.said == []


# Each case: the choice, what the delegate is asked for.
DEVICES = [("auto", "device="), ("usb", "device=usb"), ("pci", "device=pci")]


@pytest.mark.parametrize(("choice", "asked"), DEVICES)
def test_the_device_that_is_asked_for_reaches_the_delegate(
    library, opened, tmp_path, monkeypatch, choice, asked
):
    monkeypatch.setenv("TPU_STANDIN", "nodevice")

    opened(write_models(tmp_path), tpu=choice)

    assert opened.line.partition("It said: ")[2].startswith(f"{asked}.")


def test_another_choice_is_answered_with_the_valid_ones(tmp_path):
    with pytest.raises(UsageError, match="'gpu': valid choices are auto, off, usb, pci"):
        open_classifier(write_models(tmp_path), tpu="gpu")


def test_a_model_that_cannot_be_used_at_all_is_an_error(library, tmp_path):
    path = write_models(tmp_path)
    path.write_bytes(b"This is no model.")

    with pytest.raises(ModelError, match="no TFLite model"):
        open_classifier(path)


def test_the_compiled_model_is_not_taken_for_the_model(library, tmp_path):
    write_models(tmp_path)

    with pytest.raises(ModelError, match=r"compiled for the Edge TPU\. Pass the int8 model"):
        open_classifier(tmp_path / "tiny_edgetpu.tflite")


# --------------------------------------------------------------------------- something is missing


def test_auto_says_nothing_where_nothing_hints_at_an_edge_tpu(no_library, opened, tmp_path):
    classifier = opened(write_models(tmp_path, with_compiled=False))

    assert outputs(classifier) == EXPECTED
    assert opened.said == []


@pytest.mark.parametrize("choice", ["auto", "usb"])
def test_a_compiled_model_without_the_library_is_said(no_library, opened, tmp_path, choice):
    classifier = opened(write_models(tmp_path), tpu=choice)

    assert outputs(classifier) == EXPECTED
    assert opened.line == (
        "The Edge TPU is not used, the CPU is: libedgetpu-that-nobody-has.so.1 is not installed "
        "(docs/coral.md), or FER_EDGE_EDGETPU_LIB must be its path."
    )


@pytest.mark.parametrize("choice", ["auto", "pci"])
def test_the_library_without_a_compiled_model_is_said(library, opened, tmp_path, choice):
    classifier = opened(write_models(tmp_path, with_compiled=False), tpu=choice)

    assert outputs(classifier) == EXPECTED
    assert f"there is no {tmp_path}/tiny_edgetpu.tflite" in opened.line
    assert f"`fer-edge convert {tmp_path}/tiny.tflite --edgetpu` makes" in opened.line


def test_all_that_is_missing_is_named_where_it_is_asked_for(no_library, opened, tmp_path):
    opened(write_models(tmp_path, with_compiled=False), tpu="usb")

    assert "there is no " in opened.line
    assert "is not installed" in opened.line


def test_the_library_is_found_where_the_loader_looks(monkeypatch, tmp_path):
    monkeypatch.delenv(tpu.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", f":/no/such:{tmp_path}")
    monkeypatch.setattr(tpu, "LIBRARY", "libedgetpu-that-nobody-has.so.1")
    assert find_library() is None

    (tmp_path / tpu.LIBRARY).touch()
    assert find_library() == tpu.LIBRARY
    monkeypatch.setenv(tpu.LIBRARY_VARIABLE, "/opt/lib.so")
    assert find_library() == "/opt/lib.so"


# ----------------------------------------------------------------------------- something is wrong


def of_another_model() -> bytes:
    return tiny_compiled(tiny_model(name="another"))


def of_no_model() -> bytes:
    return embed_contract(compiled(tiny_tflite(), 2), a_contract())


def without_a_contract() -> bytes:
    return compiled(tiny_tflite(), 2)


def damaged() -> bytes:
    content = bytearray(tiny_compiled())
    content[-300] ^= 1
    return bytes(content)


def forged(content: bytes) -> bytes:
    """With a contract that claims the right parent."""
    parent = read_contract(tiny_model()).content_sha256
    return embed_contract(content, a_contract(parent_sha256=parent))


# Each case: the compiled file, what is said of it.
BAD = [
    (of_another_model, r"compiled from [0-9a-f]{12}, .* is [0-9a-f]{12}. Compile it again: `fer-"),
    (of_no_model, "compiled from an unknown model"),
    (without_a_contract, "no fer-edge contract"),
    (damaged, "is damaged"),
    (lambda: b"", "is no TFLite model"),
    (lambda: forged(requantised(2.0, -128)), "compiled from another model"),
]


@pytest.mark.parametrize(("content", "said"), BAD, ids=range(len(BAD)))
def test_a_compiled_file_that_is_not_this_model_is_said(library, opened, tmp_path, content, said):
    path = write_models(tmp_path)
    edgetpu_path(path).write_bytes(content())

    classifier = opened(path)

    assert classifier.accelerator is None
    assert outputs(classifier) == EXPECTED
    assert re.search(said, opened.line), opened.line


# Each case: what goes wrong with the delegate at the start, what is said.
AT_START = [
    ("nodevice", "cannot be used: .* Look whether the device is there .`lsusb`"),
    ("wrong", r"off by up to \d+ steps of the output .* names \d+ of 14 demo faces otherwise"),
    ("refuse", "HIB Error"),
]


@pytest.mark.parametrize(("fault", "said"), AT_START)
def test_an_edge_tpu_that_does_not_work_at_the_start_is_said(
    library, opened, tmp_path, monkeypatch, fault, said
):
    monkeypatch.setenv("TPU_STANDIN", fault)

    classifier = opened(write_models(tmp_path))

    assert classifier.accelerator is None
    assert outputs(classifier) == EXPECTED
    assert re.search(said, opened.line), opened.line
    assert psutil.Process().children() == []


def test_one_that_hangs_at_the_start_is_left_in_time(library, opened, tmp_path, monkeypatch):
    monkeypatch.setenv("TPU_STANDIN", "hangstart")
    monkeypatch.setattr(tpu, "EdgeTpu", functools.partial(tpu.EdgeTpu, start_s=1.0))

    classifier = opened(write_models(tmp_path))

    assert "did not answer within 1 s" in opened.line
    assert outputs(classifier) == EXPECTED


# -------------------------------------------------------------------------------------- lost later


def test_a_pulled_stick_costs_no_frame(library, opened, tmp_path, monkeypatch):
    monkeypatch.setenv("TPU_STANDIN", "pulled")
    monkeypatch.setenv("TPU_STANDIN_WHEN", str(tmp_path / "pulled"))
    classifier = opened(write_models(tmp_path))
    threading.Timer(0.2, (tmp_path / "pulled").touch).start()

    def answered_by_the_cpu() -> bool:
        assert outputs(classifier) == EXPECTED
        return classifier.accelerator is None

    wait_until(answered_by_the_cpu)

    assert classifier.lost == 1
    assert opened.line.startswith(
        "The Edge TPU is given up, the CPU goes on: its process ended (SIGABRT). It said: "
    )
    assert "transfer on tag 2 failed" in opened.line
    assert outputs(classifier) == EXPECTED


def test_a_library_that_hangs_later_costs_no_frame(library, opened, tmp_path, monkeypatch):
    monkeypatch.setenv("TPU_STANDIN", "hang")
    monkeypatch.setenv("TPU_STANDIN_WHEN", str(tmp_path / "hang"))
    classifier = opened(write_models(tmp_path))
    classifier.accelerator._request_s = 0.3
    (tmp_path / "hang").touch()

    assert outputs(classifier) == EXPECTED

    assert "did not answer within 0.3 s" in opened.line
    assert classifier.lost == 1


def test_another_one_like_it_runs_on_the_cpu(library, opened, tmp_path):
    classifier = opened(write_models(tmp_path))

    other = classifier.renew()

    assert (classifier.accelerator, other.accelerator) == (None, None)
    assert psutil.Process().children() == []
    assert opened.line.endswith("the classifier that used it is being replaced.")
    assert outputs(classifier) == outputs(other) == EXPECTED
