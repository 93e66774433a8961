"""``fer-edge classify``: photographs in, words or JSON lines out, what fails is named."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.cli import cli
from fer_edge.edge.records import Box

from ..working_tree import clean_environment

FRAME = 5
DEMO = DemoCamera(lossless=True)
IMAGE, TRUTH = DEMO.image(FRAME), DEMO.truth(FRAME)
EXIF_TURNED_RIGHT = 6


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["classify", *map(str, arguments), "--detector", "fer-face"])


def documents(done: Result) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two faces, a wall, a damaged file, what is no picture, and one more below."""
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    for name in ("face10.jpg", "face2.png", "more/face2.png"):
        assert cv2.imwrite(str(folder / name), IMAGE)
    assert cv2.imwrite(str(folder / "wall.png"), np.full((120, 160, 3), 90, np.uint8))
    (folder / "cut.jpg").write_bytes((folder / "face10.jpg").read_bytes()[:200])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_each_picture_is_a_line_and_what_fails_is_named(album: Path) -> None:
    done = run(album)

    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [Path(line.partition(":")[0]).name for line in lines] == [
        "face2.png",
        "face10.jpg",
        "wall.png",
    ]
    assert f": 1 face: {TRUTH.label} " in lines[0]
    assert lines[2].endswith(": no face")
    assert "cut.jpg is no picture that this OpenCV can decode." in done.stderr
    assert done.stderr.splitlines()[-1] == "4 pictures, 2 faces, 1 failed"


def test_json_lines_say_where_and_what(album: Path) -> None:
    done = run(album / "face2.png", album / "cut.jpg", album / "gone.jpg", "--json")

    good, cut, gone = documents(done)
    assert done.exit_code == 1
    assert (good["schema"], good["size_wh"], good["error"]) == (1, [640, 480], None)
    (face,) = good["faces"]
    assert face["label"] == TRUTH.label
    assert sum(face["scores"].values()) == pytest.approx(1, abs=1e-3)
    assert Box(*face["box_px"]).iou(TRUTH.box) > 0.7
    assert (cut["size_wh"], cut["faces"]) == (None, [])
    assert "No such file" in gone["error"]


def test_the_example_of_the_documentation_is_such_a_line(album: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "photographs.md").read_text()
    (example,) = re.findall(r"```json\n(.*)\n```", text)
    document = json.loads(example)

    (written,) = documents(run(album / "face2.png", "--json"))

    assert list(document) == list(written)
    assert list(document["faces"][0]) == list(written["faces"][0])


def test_sub_folders_are_read_where_asked_for(album: Path) -> None:
    (album / "cut.jpg").unlink()

    done = run(album, "--recursive", "--json")

    assert done.exit_code == 0
    assert len(documents(done)) == 4


def test_copies_keep_the_order_of_the_folders_and_never_replace_unasked(
    album: Path, tmp_path: Path
) -> None:
    (album / "cut.jpg").unlink()
    out = tmp_path / "boxed"

    done = run(album, "-r", album / "face2.png", "--annotate", out, "--json")

    assert done.exit_code == 0
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert names == ["face10.jpg", "face2-2.png", "face2.png", "more/face2.png", "wall.png"]
    assert documents(done)[-1]["annotated"] == str(out / "face2-2.png")
    boxed = cv2.imread(str(out / "face2.png"))
    assert boxed is not None
    assert boxed.shape == IMAGE.shape
    assert np.any(boxed != IMAGE)
    again = run(album / "face2.png", "--annotate", out)
    assert again.exit_code == 1
    assert "face2.png exists" in again.stderr
    assert run(album / "face2.png", "--annotate", out, "--overwrite").exit_code == 0


def test_a_photograph_is_never_replaced_by_its_copy(album: Path) -> None:
    before = (album / "face2.png").read_bytes()

    done = run(album / "face2.png", "--annotate", album, "--overwrite")

    assert done.exit_code == 1
    assert "is the picture itself" in done.stderr
    assert (album / "face2.png").read_bytes() == before


def test_a_photograph_that_was_taken_sideways_is_turned(tmp_path: Path) -> None:
    """As its EXIF data say: cameras store what the sensor saw."""
    upright = tmp_path / "upright.jpg"
    sideways = np.ascontiguousarray(np.rot90(IMAGE))
    good, encoded = cv2.imencode(".jpg", sideways)
    assert good
    data = encoded.tobytes()
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, EXIF_TURNED_RIGHT, 0, 0)
    exif = b"Exif\0\0" + tiff
    upright.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])

    (document,) = documents(run(upright, "--json"))

    assert document["size_wh"] == [640, 480]
    assert document["faces"][0]["label"] == TRUTH.label


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing argument"),
        (["empty"], 2, "holds no picture (see --recursive)"),
        (["face.png", "--model", "none.tflite"], 4, "none.tflite"),
        (["face.png", "--detect-size", "0x0"], 2, "640x480"),
        (["face.png", "--annotate", "face.png"], 1, "Cannot make the folder face.png"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_picture(
    tmp_path: Path, monkeypatch, arguments, code, message
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cv2.imwrite("face.png", IMAGE)

    done = run(*arguments)

    assert done.exit_code == code
    assert message in done.output
    assert "face: " not in done.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed_is_said(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)

    done = run(tmp_path / "locked")

    assert done.exit_code == 2
    assert "Permission denied" in done.stderr


def test_a_picture_of_100_megapixels_is_named_and_the_next_one_read(album: Path) -> None:
    """In a process of its own, as OpenCV reads its limit when it is loaded."""
    huge = album / "huge.png"
    good, encoded = cv2.imencode(".png", np.zeros((10_000, 10_000), np.uint8))
    assert good
    huge.write_bytes(encoded.tobytes())

    done = subprocess.run(
        [sys.executable, "-m", "fer_edge.edge.cli", "classify", huge, album / "face2.png"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert f"{huge} has more than 67 megapixels" in done.stderr
    assert "face2.png: 1 face" in done.stdout
    assert "Traceback" not in done.stderr
