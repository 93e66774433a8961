"""Stand-ins for an Edge TPU: the library, models for it, and an accelerator without a process.

The library (``edgetpu_standin.c``) is a delegate that LiteRT loads as it loads libedgetpu; what the
compiler writes is imitated by the tests of the conversion.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest

from fer_edge.convert.edgetpu import adopt
from fer_edge.edge.contract_file import embed_contract

from ..conftest import a_contract, tiny_tflite
from ..convert.fake_edgetpu_compiler import compiled
from .conftest import HANG_S
from .misbehaving_tpu import TINY_INPUT, TINY_OUTPUT

SOURCE = Path(__file__).with_name("edgetpu_standin.c")
# Long enough for a child to start on a busy machine, and to notice one that never answers.
PATIENT = {"start_s": 2 * HANG_S, "request_s": 2 * HANG_S}


def compile_standin(folder: Path, *options: str) -> Path:
    """The library, made with the C compiler; skips the test where there is none."""
    gcc = shutil.which("gcc") or shutil.which("cc")
    if gcc is None:
        pytest.skip("needs a C compiler for the stand-in of libedgetpu")
    made = folder / "libedgetpu.so.1"
    command = [gcc, "-O2", "-shared", "-fPIC", "-pthread", *options, "-o", made, SOURCE]
    subprocess.run(command, check=True)
    return made


def tiny_model(**changes) -> bytes:
    """The tiny model with a contract inside."""
    return embed_contract(tiny_tflite(), a_contract(**changes))


def tiny_compiled(model: bytes | None = None) -> bytes:
    """Its compiled form with the contract back inside: one operation that only a delegate runs."""
    return adopt(compiled(tiny_tflite(), 2), model or tiny_model())[0]


def write_models(folder: Path, *, with_compiled: bool = True) -> Path:
    """The tiny model and its compiled form beside it; the path of the first."""
    path = folder / "tiny.tflite"
    path.write_bytes(tiny_model())
    if with_compiled:
        (folder / "tiny_edgetpu.tflite").write_bytes(tiny_compiled())
    return path


def faces(count: int, seed: int = 0) -> np.ndarray:
    """Inputs of the tiny model, int8 ``(count, 48, 48, 1)``."""
    generator = np.random.default_rng(seed)
    return generator.integers(-128, 128, (count, 48, 48, 1)).astype(np.int8)


def the_child() -> psutil.Process:
    """The only one of this process."""
    (child,) = psutil.Process().children()
    return child


class ScriptedAccelerator:
    """Answers as the tiny model does, until it is told to fail or to answer otherwise."""

    name = "Test TPU"

    def __init__(self, *, input=TINY_INPUT, output=TINY_OUTPUT, off: float = 0.0):
        self.input, self.output = input, output
        self.off, self.error = off, None
        self.runs = self.closed = 0

    def run(self, inputs: np.ndarray) -> np.ndarray:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return inputs[:, 0, :7, 0].astype(np.float32) + 128 + self.off

    def close(self) -> None:
        self.closed += 1
