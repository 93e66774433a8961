"""Models that can be fetched: right and whole, or not there at all. No network: a server here."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fer_edge.edge import download as downloading
from fer_edge.edge.cli import cli
from fer_edge.edge.download import Expected, UnreachableError, download, write_checked
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import catalogue, listing, model_path, shipped_models

from ..conftest import a_contract, files_in
from ..web import serving

CONTENT = bytes(range(256)) * 64
MODEL = replace(
    catalogue.YUNET, sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT)
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder of the test's own, and the way past proxies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["models", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# ---------------------------------------------------------------------------- from the web


def test_the_file_is_fetched_whole(cache):
    with serving(CONTENT) as url:
        path, fetched = catalogue.get(MODEL, url=url)

    assert fetched
    assert path == cache / "fer-edge" / "models" / MODEL.file_name
    assert path.read_bytes() == CONTENT
    assert catalogue.checked_place(MODEL) == path
    assert files_in(cache) == {f"fer-edge/models/{MODEL.file_name}"}


def test_a_redirection_is_followed():
    with serving(CONTENT, moved_to="/elsewhere") as url:
        path, _ = catalogue.get(MODEL, url=url)

    assert path.read_bytes() == CONTENT


# Each case: what the server does, what the error says.
BAD_ANSWERS = {
    "another file": ({"content": CONTENT[::-1]}, "its SHA-256 is "),
    "a Git LFS pointer": ({"content": b"version https://git-lfs.github.com/"}, "its SHA-256 is "),
    "cut off": ({"content": CONTENT[:9000], "announced": len(CONTENT)}, "it broke off after 9000"),
    "cut off without a word": ({"content": CONTENT[:9000], "announced": -1}, "its SHA-256 is "),
    "empty": ({"content": b""}, "it is empty"),
    "gone": ({"content": b"<html>", "status": 404}, "answered 404 Not Found"),
    "broken": ({"content": b"", "status": 503}, "answered 503"),
    "too large": ({"content": CONTENT + b"x"}, f"it is larger than {len(CONTENT)} bytes"),
    "huge and endless": ({"content": CONTENT * 400, "announced": -1}, "it is larger than"),
    "moved to another protocol": ({"content": b"", "moved_to": "ftp://127.0.0.1/x"}, "to ftp"),
    "moved to a file of ours": ({"content": b"", "moved_to": "file:///etc/passwd"}, "not allowed"),
    "moved in a circle": ({"content": b"", "moved_to": "/file"}, "answered 302"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_what_is_not_the_file_is_not_kept(cache, case):
    answer, said = BAD_ANSWERS[case]

    with serving(**answer) as url, pytest.raises(ModelError) as caught:
        catalogue.get(MODEL, url=url)

    text = str(caught.value)
    assert said in text
    assert f"Without a network here: fetch it elsewhere from {url}" in text
    assert "`fer-edge models get yunet --from FILE`" in text
    assert files_in(cache) == set()


def test_a_server_that_is_not_there_is_said(cache):
    with serving(CONTENT) as url:
        pass

    with pytest.raises(ModelError, match=r"Cannot fetch http.*Connection refused.*--from FILE"):
        catalogue.get(MODEL, url=url)
    assert files_in(cache) == set()


def test_a_server_that_says_nothing_is_not_waited_for(cache):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        with pytest.raises(ModelError, match=r"Cannot fetch http.*timed out"):
            catalogue.get(MODEL, url=url, timeout_s=0.2)


def test_a_server_that_drips_is_not_waited_for(tmp_path):
    """Each byte comes in time, and the file would take a day."""
    target = tmp_path / "file"
    with serving(CONTENT, pause_s=0.05) as url, pytest.raises(UnreachableError, match="too slowly"):
        download(url, target, Expected(1 << 20), timeout_s=1.0, whole_s=0.2)

    assert not target.exists()


def test_a_disk_that_is_full_is_said(cache, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloading.Path, "open", full)

    with serving(CONTENT) as url, pytest.raises(ModelError, match="No space left on device"):
        catalogue.get(MODEL, url=url)


# ----------------------------------------------------------------------- nothing is replaced


def test_what_is_there_and_right_stays_and_nothing_is_fetched():
    with serving(CONTENT) as url:
        catalogue.get(MODEL, url=url)

    path, fetched = catalogue.get(MODEL, url="http://127.0.0.1:9/")

    assert not fetched
    assert path.read_bytes() == CONTENT


# Each case: what stands in the place of the model.
@pytest.mark.parametrize("thing", ["another file", "folder", "dangling link"])
def test_what_is_there_and_something_else_is_not_replaced(thing):
    place = catalogue.place_of(MODEL)
    place.parent.mkdir(parents=True)
    if thing == "another file":
        place.write_bytes(b"precious")
    elif thing == "folder":
        place.mkdir()
    else:
        place.symlink_to("nowhere")

    with serving(CONTENT) as url, pytest.raises(ModelError, match="it is not replaced"):
        catalogue.get(MODEL, url=url)
    assert place.is_symlink() or place.is_dir() or place.read_bytes() == b"precious"


# ------------------------------------------------------------------------------ from a copy


def test_a_copy_is_taken_where_it_is_the_known_file(tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(CONTENT)

    path, fetched = catalogue.get(MODEL, source=copy)

    assert fetched
    assert path.read_bytes() == copy.read_bytes() == CONTENT


# Each case: what the file of --from is.
BAD_COPIES = {
    "another file": (lambda path: path.write_bytes(CONTENT[::-1]), "its SHA-256 is"),
    "larger": (lambda path: path.write_bytes(CONTENT * 2), "it is larger than"),
    "empty": (lambda path: path.touch(), "it is empty"),
    "missing": (lambda _: None, "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
}


@pytest.mark.parametrize("case", BAD_COPIES)
def test_a_copy_that_is_not_the_known_file_is_not_taken(cache, tmp_path, case):
    make, said = BAD_COPIES[case]
    copy = tmp_path / "copy.onnx"
    make(copy)

    with pytest.raises(ModelError, match=said) as caught:
        catalogue.get(MODEL, source=copy)
    assert str(copy) in str(caught.value)
    assert files_in(cache) == set()


def test_a_yunet_of_unknown_origin_is_not_taken_for_the_known_one(yunet_file):
    with pytest.raises(
        ModelError, match=r"is not face_detection_yunet_2023mar\.onnx as it is known"
    ):
        catalogue.get(catalogue.YUNET, source=yunet_file)


@pytest.mark.parametrize("starts", [(), (CONTENT[:4],)])
def test_the_digest_of_what_was_written_is_returned(tmp_path, starts):
    source = tmp_path / "source"
    source.write_bytes(CONTENT)

    with source.open("rb") as file:
        digest = write_checked(file, tmp_path / "out", Expected(1 << 20, starts=starts))

    assert digest == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == MODEL.sha256


# ---------------------------------------------------------------------------- the catalogue


def test_what_is_known_of_yunet():
    """As FACTS of the project has it; a commit in full, because a branch may move."""
    yunet = catalogue.FETCHABLE["yunet"]

    assert yunet.url.startswith("https://media.githubusercontent.com/media/opencv/opencv_zoo/")
    assert len(yunet.url.split("/opencv_zoo/")[1].split("/")[0]) == 40
    assert yunet.url.endswith("/" + yunet.file_name)
    assert yunet.sha256.startswith("8f2383e4dd3cfbb4")
    assert len(yunet.sha256) == 64
    assert (yunet.size_bytes, yunet.licence) == (232_589, "MIT")


def test_a_damaged_file_is_noticed_and_not_used():
    place = catalogue.place_of(MODEL)
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT[:-1] + b"?")

    assert catalogue.state_of(MODEL) == "damaged"
    with pytest.raises(ModelError, match=r"Delete it and run `fer-edge models get yunet`"):
        catalogue.checked_place(MODEL)


# ---------------------------------------------------------------------- the command line


@pytest.fixture
def known(monkeypatch) -> None:
    """The small file of these tests, in place of YuNet."""
    monkeypatch.setitem(catalogue.FETCHABLE, "yunet", MODEL)


def test_get_fetches_and_says_where_and_under_what_licence(known, monkeypatch):
    with serving(CONTENT) as url:
        monkeypatch.setitem(catalogue.FETCHABLE, "yunet", replace(MODEL, url=url))
        first, second = call("get", "yunet"), call("get", "yunet")

    assert (first.exit_code, second.exit_code) == (0, 0)
    place = str(catalogue.place_of(MODEL))
    assert first.stdout == f"{place}  fetched; licence: MIT\n"
    assert second.stdout == f"{place}  was there already; licence: MIT\n"


def test_get_takes_a_copy(known, tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(CONTENT)

    result = call("get", "yunet", "--from", copy)

    assert result.exit_code == 0
    assert "  copied; licence: MIT" in result.stdout


@pytest.mark.parametrize("name", ["fast", "yolo"])
def test_get_of_what_cannot_be_fetched_names_what_can(name):
    result = call("get", name)

    assert result.exit_code == 2
    assert f"There is no model '{name}' to fetch: valid names are yunet." in result.stderr


def test_a_copy_that_does_not_match_ends_with_the_code_of_models(tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(b"no model")

    result = call("get", "yunet", "--from", copy)

    assert result.exit_code == 4
    assert result.stderr.startswith("fer-edge: ")
    assert result.stdout == ""


def test_path_prints_where_a_model_is(known):
    assert call("path", "fast").stdout.strip() == str(model_path("fast"))
    missing = call("path", "yunet")
    assert (missing.exit_code, missing.stdout) == (4, "")
    assert "`fer-edge models get yunet` fetches it" in missing.stderr

    place = catalogue.place_of(MODEL)
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert call("path", "yunet").stdout.strip() == str(place)


def test_list_shows_what_ships_and_what_can_be_fetched(known):
    rows = json.loads(call("list", "--json").stdout)
    lines = call("list").stdout.splitlines()

    detectors = ["fer_face_320x240", "fer_face_192x144"]
    assert [row["name"] for row in rows] == [*shipped_models(), *detectors, "yunet"]
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]
    by_name = {row["name"]: row for row in rows}
    fast, yunet = by_name["fast"], by_name["yunet"]
    assert fast["kind"] == "emotion-classifier"
    assert Path(fast["path"]).stat().st_size == fast["size_bytes"]
    # The accuracy is the contract's, and says on what.
    (accuracy,) = [
        metric
        for metric in fast["metrics"]
        if (metric["name"], metric["of"]) == ("accuracy", "int8")
    ]
    (line,) = [line for line in lines if line.startswith("fast ")]
    assert f"{100 * accuracy['value']:.1f} % of 3589 in PublicTest (int8)" in line
    assert [row["state"] for row in rows].count("default") == 1
    assert (yunet["state"], yunet["licence"]) == ("missing", "MIT")
    assert "`fer-edge models get yunet` fetches it" in lines[-1]


@pytest.mark.parametrize(("content", "state"), [(CONTENT, "there"), (b"damaged", "damaged")])
def test_list_says_whether_a_model_is_there(known, content, state):
    place = catalogue.place_of(MODEL)
    place.parent.mkdir(parents=True)
    place.write_bytes(content)

    assert json.loads(call("list", "--json").stdout)[-1]["state"] == state
    assert state in call("list").stdout.splitlines()[-1].split()


def test_list_prefers_the_figure_of_the_file_itself_to_its_parents():
    both = tuple(
        {"name": "accuracy", "value": value, "split": "PublicTest", "count": 9, "of": of}
        for of, value in (("float", 0.7), ("int8", 0.69))
    )

    assert listing._about(a_contract(metrics=both)).endswith("69.0 % of 9 in PublicTest (int8)")
    assert "%" not in listing._about(a_contract(metrics=({"name": "loss", "value": 1.0},)))


def test_list_shows_a_shipped_model_that_is_damaged(known, tmp_path, monkeypatch):
    bad = tmp_path / "bad_int8.tflite"
    bad.write_bytes(b"damaged")
    monkeypatch.setattr("fer_edge.edge.models.listing.shipped_models", lambda: {"bad": bad})

    result = call("list")

    assert result.exit_code == 0
    assert "is no TFLite model" in result.stdout.splitlines()[0]
