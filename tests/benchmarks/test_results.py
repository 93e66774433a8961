"""What repeats a measurement."""

from pathlib import Path

import pytest

from fer_edge.benchmarks.results import command_line

CLIPS = [Path("/home/somebody/a.mkv"), Path("b.gif")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ""),
        ({"repeat": 3, "model": "accurate"}, " --repeat 3 --model accurate"),
        # File names, no folders.
        ({"detector_model": Path("/x/y.onnx")}, " --detector-model y.onnx"),
        ({"model": "/x/y.tflite"}, " --model y.tflite"),
        # What is as by default is left out, and a flag has no value.
        ({"model": None, "read_all": False, "parts": True}, " --parts"),
        # Several times; 0 is a value.
        ({"fps": (30.0, 59.94), "seed": 0}, " --fps 30 --fps 59.94 --seed 0"),
        ({"detector": ()}, ""),
    ],
)
def test_command_line(options, expected: str) -> None:
    assert command_line("x", CLIPS, **options) == f"fer-edge benchmark x a.mkv b.gif{expected}"
