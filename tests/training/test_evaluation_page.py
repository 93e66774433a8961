"""The report of an evaluation: what the folder holds, what the page says, what is not replaced."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra [report]")
pytest.importorskip("matplotlib", reason="needs the extra [report]")

from fer_edge.edge.errors import DataError, SinkError
from fer_edge.training import evaluation_page
from fer_edge.training.evaluate import Report, report
from fer_edge.training.evaluation_page import FILES, write_report
from fer_edge.training.evaluation_plots import Shown, sheet_figure
from fer_edge.training.plots import png

from ..conftest import EMOTIONS, a_face
from .spoken import NAMED, TRUTH, a_tflite, faces_that_say


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return a_tflite(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def found(model) -> Report:
    """A report with everything in it."""
    test, training = faces_that_say(NAMED, TRUTH), faces_that_say([0], [0], split="Training")
    together = {
        name: np.concatenate([getattr(training, name), getattr(test, name)])
        for name in ("images", "labels", "splits", "origins")
    }
    votes = np.zeros((11, 10), np.int64)
    votes[:, 1] = 10  # happiness
    votes[1, 7] = 10  # a tie with contempt
    return report(model, replace(test, **together, votes=votes), "PublicTest")


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "evaluation"
    write_report(found, out)
    return out


@pytest.fixture
def without_drawing(monkeypatch) -> None:
    """For tests of the files, as drawing them takes a second."""
    monkeypatch.setattr(
        evaluation_page,
        "_pictures",
        lambda found: {
            name: b"drawn" for name in FILES[2:] if name != "mistakes.png" or not found.right.all()
        },
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def text_of(page: Path) -> str:
    """What a page says, without its tags and pictures, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8")).split())


def test_the_folder_holds_the_page_the_pictures_and_the_figures(folder, found):
    assert names(folder) == set(FILES)
    assert json.loads((folder / "evaluation.json").read_text()) == json.loads(
        json.dumps(found.to_dict())
    )


def test_the_pictures_are_legible_at_1280_pixels(folder):
    for name in FILES[2:]:
        image = cv2.imread(str(folder / name))
        assert image is not None, name
        assert 900 <= image.shape[1] <= 1280, name
        assert image.std() > 10, f"{name} is empty"


def test_the_page_can_be_mailed(folder):
    """All of it is in the one file, and nothing is asked for elsewhere."""
    html = (folder / "report.html").read_text(encoding="utf-8")

    assert html.count('src="data:image/png;base64,') == len(FILES) - 2
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert "<script" not in html


@pytest.mark.parametrize("name", ["confusion.png", "reliability.png", "roc.png"])
def test_nothing_of_a_plot_is_cut_off_by_its_edges(folder, name):
    picture = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)

    edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
    assert all((edge == 255).all() for edge in edges)


def test_the_page_says_the_figures(folder):
    said = text_of(folder / "report.html")

    assert "accuracy 70.00 % 39.68–89.22 % 10" in said
    assert "expected calibration error 0.300" in said
    assert "with flip averaging" in said
    assert "without images that are in Training too (1 image left out) 66.67 %" in said
    assert "against the FER+ majority (1 image left out)" in said
    assert "here: tie 1, contempt 0" in said
    assert said.count("This page shows faces of real people") == 1
    for label in EMOTIONS:
        assert label in said


@pytest.mark.usefixtures("without_drawing")
def test_a_name_with_markup_is_escaped(found, tmp_path):
    write_report(replace(found, model="<b>model</b>.tflite"), tmp_path / "out")

    html = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<b>model" not in html
    assert "&lt;b&gt;model" in html


def test_a_split_of_one_class_has_no_curves_and_says_so(model, tmp_path):
    found = report(model, faces_that_say([3, 3, 0], [3, 3, 3]), "PublicTest", flip=False)

    write_report(found, tmp_path / "out")

    assert names(tmp_path / "out") == set(FILES) - {"roc.png"}
    said = text_of(tmp_path / "out/report.html")
    assert "No curve for angry, disgust, fear, happy, sad, surprise, neutral" in said
    assert "No image shows angry, disgust, fear, sad, surprise, neutral" in said
    assert "flip averaging (" not in said


def test_a_model_without_mistakes_has_no_sheet_of_them(model, tmp_path):
    found = report(model, faces_that_say([0, 1], [0, 1]), "PublicTest")

    write_report(found, tmp_path / "out")

    assert names(tmp_path / "out") == set(FILES) - {"mistakes.png"}
    assert "There is no mistake." in text_of(tmp_path / "out/report.html")


@pytest.mark.usefixtures("without_drawing")
def test_an_earlier_report_is_replaced_wholly(found, model, tmp_path):
    out = tmp_path / "out"
    assert write_report(found, out) == (out / "report.html", False)
    again = report(model, faces_that_say([0, 1], [0, 1]), "PublicTest")

    assert write_report(again, out) == (out / "report.html", True)

    # The sheet of mistakes was of the earlier one.
    assert names(out) == set(FILES) - {"mistakes.png"}
    assert json.loads((out / "evaluation.json").read_text())["accuracy"] == 1.0


def test_the_same_report_is_the_same_files(found, folder, tmp_path):
    write_report(found, tmp_path / "again")

    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_folder_with_other_files_is_left_alone(found, tmp_path):
    (tmp_path / "model.keras").write_text("precious")

    with pytest.raises(DataError, match=r"holds other files \(model\.keras\)"):
        write_report(found, tmp_path)
    assert names(tmp_path) == {"model.keras"}


def test_a_file_is_no_folder(found, tmp_path):
    (tmp_path / "out").write_text("precious")

    with pytest.raises(DataError, match="Not a directory"):
        write_report(found, tmp_path / "out")


@pytest.mark.usefixtures("without_drawing")
def test_a_full_disk_leaves_no_folder_that_looks_whole(found, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_report(found, out)
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "roc" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(SinkError, match="No space left on device"):
        write_report(found, out)
    assert "evaluation.json" not in names(out)
    assert names(out) <= set(FILES), "something half-written is left"


# Each case: how many faces, and how many rows of six they fill.
SHEETS = [(1, 1), (6, 1), (7, 2), (24, 4)]


@pytest.mark.parametrize(("count", "rows"), SHEETS)
def test_a_sheet_grows_with_its_faces(count, rows):
    shown = [Shown(a_face(n), "happy", EMOTIONS[n % 7], 0.5, f"a/{n}.jpg") for n in range(count)]

    image = cv2.imdecode(np.frombuffer(png(sheet_figure(shown)), np.uint8), cv2.IMREAD_COLOR)

    assert image is not None
    assert image.shape[1] == 1280
    assert rows * 250 <= image.shape[0] <= rows * 310


def test_right_and_wrong_are_told_apart_without_colour():
    """In grey, the frame of a wrong face is interrupted and that of a right one is not."""
    right, wrong = Shown(a_face(), "sad", "sad", 0.9, "1"), Shown(a_face(), "sad", "fear", 0.9, "1")

    axes = sheet_figure([right, wrong]).axes

    assert axes[0].get_title().startswith("✓ sad")
    assert axes[1].get_title().startswith("✗ fear")
    styles = [item.spines["left"].get_linestyle() for item in axes[:2]]
    assert styles[0] != styles[1]
