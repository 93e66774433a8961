"""Fetching FER-2013 and the FER+ votes: whole or not at all, and with advice where it fails.

Nothing here reaches a network: kagglehub is a stand-in that raises the real one's errors, and the
votes come from a server on this machine.
"""

import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fer_edge.edge.errors import DataError
from fer_edge.training import dataset_get, datasets

from ..conftest import image_tree, rows_of_each, write_csv, write_folder, write_zip
from ..web import serving

kagglehub = pytest.importorskip("kagglehub", reason="needs the extra [train]")

SECRET = "s3cret-token"


def use_kaggle(monkeypatch, gives: Path | Exception) -> list[tuple]:
    """Put a stand-in for kagglehub in place; returns the list of what it was asked for."""
    asked = []

    def download(*args, **kwargs):
        asked.append((*args, kwargs.get("path")))
        print("Downloading ...")  # as the real one does
        if isinstance(gives, Exception):
            raise gives
        return str(gives)

    fake = SimpleNamespace(
        competition_download=download,
        dataset_download=download,
        exceptions=kagglehub.exceptions,
    )
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    return asked


def an_archive(folder: Path, rows=None, name: str = "fer2013/fer2013.csv") -> Path:
    """Kaggle's ``fer2013.tar.gz``."""
    path = folder / "fer2013.tar.gz"
    source = write_csv(folder / "in.csv", rows or rows_of_each(Training=1, PrivateTest=1))
    with tarfile.open(path, "w:gz") as archive:
        for member, content in (("fer2013/README", b"read me"), (name, source.read_bytes())):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ----------------------------------------------------------------------------------- from Kaggle


def test_the_csv_of_the_competition_is_unpacked_and_can_be_read(tmp_path, monkeypatch, capsys):
    asked = use_kaggle(monkeypatch, an_archive(tmp_path))
    out = tmp_path / "new" / "out"

    fetched = dataset_get.fetch_competition(out)

    assert asked == [(dataset_get.COMPETITION, "fer2013.tar.gz")]
    assert fetched.path == out / "fer2013.csv"
    assert fetched.kept == tmp_path / "fer2013.tar.gz"
    assert fetched.sha256 == hashlib.sha256(fetched.path.read_bytes()).hexdigest()
    assert names(out) == ["fer2013.csv"]
    data = datasets.load(fetched.path, cache=False)
    assert data.counts() == {"Training": 7, "PrivateTest": 7}
    # Kaggle's progress does not mix with our answer.
    assert capsys.readouterr().out == ""


def test_an_unpacked_csv_is_taken_as_well(tmp_path, monkeypatch):
    folder = tmp_path / "kept" / "fer2013"
    folder.mkdir(parents=True)
    write_csv(folder / "fer2013.csv", rows_of_each(Training=1))
    use_kaggle(monkeypatch, tmp_path / "kept")

    fetched = dataset_get.fetch_competition(tmp_path / "out")

    assert fetched.path.read_bytes() == (folder / "fer2013.csv").read_bytes()


def test_the_folders_of_msambare_are_copied_and_can_be_read(tmp_path, monkeypatch):
    tree = image_tree("train/*/Training_1.jpg", "test/*/PublicTest_1.jpg")
    asked = use_kaggle(monkeypatch, write_folder(tmp_path / "kept", tree))
    out = tmp_path / "new" / "out"

    fetched = dataset_get.fetch_msambare(out)

    assert asked == [("msambare/fer2013", None)]
    assert fetched.path == out / "images"
    assert names(out) == ["images"]
    data = datasets.load(fetched.path, cache=False)
    assert data.counts() == {"Training": 7, "PublicTest": 7}
    # What kagglehub keeps stays its own.
    assert names(tmp_path / "kept") == ["test", "train"]


FETCH = {"competition": dataset_get.fetch_competition, "msambare": dataset_get.fetch_msambare}
TARGETS = {"competition": "fer2013.csv", "msambare": "images"}


@pytest.mark.parametrize("source", FETCH)
def test_what_is_there_is_not_replaced_and_kaggle_not_asked(tmp_path, monkeypatch, source):
    asked = use_kaggle(monkeypatch, tmp_path)
    (tmp_path / TARGETS[source]).write_text("precious")

    with pytest.raises(DataError, match=r"is there already and is not replaced\. Use it with"):
        FETCH[source](tmp_path)
    assert (tmp_path / TARGETS[source]).read_text() == "precious"
    assert asked == []


def answered(status: int) -> Exception:
    """The real library's error for an answer with this status; its text holds a secret."""
    response = SimpleNamespace(status_code=status)
    return kagglehub.exceptions.KaggleApiHTTPError(f"see ?token={SECRET}", response=response)


def offline(name: str) -> Exception:
    """The error that requests raises, which kagglehub passes on; its text holds a secret."""
    import requests

    return getattr(requests.exceptions, name)(f"Max retries exceeded with url: ?token={SECRET}")


# Each case: what kagglehub raises, what is said of it.
REFUSALS = {
    "no credentials": (
        kagglehub.exceptions.UnauthenticatedError(),
        "no Kaggle credentials were found",
    ),
    "wrong credentials": (answered(401), "does not know these credentials"),
    "rules not accepted": (answered(403), "refused (403): the rules are not accepted"),
    "gone": (answered(404), "the status 404"),
    "too often": (answered(429), "the status 429"),
    "offline": (offline("ConnectionError"), "www.kaggle.com cannot be reached"),
    "too slow": (offline("ReadTimeout"), "www.kaggle.com cannot be reached"),
    "an intruder": (offline("SSLError"), "not trusted (TLS)"),
    "damaged on its way": (
        kagglehub.exceptions.DataCorruptionError(SECRET),
        "damaged on its way",
    ),
    "a bad kaggle.json": (ValueError(f"in {SECRET}"), "(kaggle.json) cannot be used"),
    "a full disk": (OSError(28, "No space left on device", "/home/x"), "No space left on device"),
    "anything": (RuntimeError(SECRET), "RuntimeError"),
}


@pytest.mark.parametrize("source", FETCH)
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_where_to_click_and_where_to_put_the_file(
    tmp_path, monkeypatch, case, source
):
    raised, said = REFUSALS[case]
    use_kaggle(monkeypatch, raised)

    with pytest.raises(DataError, match=re.escape(said)) as caught:
        FETCH[source](tmp_path / "out")

    text = str(caught.value)
    assert "https://www.kaggle.com/settings/api" in text
    assert "Or by hand: open https://www.kaggle.com/" in text
    assert str(tmp_path / "out" / TARGETS[source]) in text
    assert SECRET not in text
    if source == "competition":
        assert f"/competitions/{dataset_get.COMPETITION}/rules" in text
    assert names(tmp_path / "out") == []


def no_csv(folder: Path) -> Path:
    return an_archive(folder, name="other.csv")


def cut_off(folder: Path) -> Path:
    path = an_archive(folder)
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def no_archive(folder: Path) -> Path:
    (folder / "fer2013.tar.gz").write_text("<html>")
    return folder / "fer2013.tar.gz"


def another_csv(folder: Path) -> Path:
    (folder / "fer2013.csv").write_text("<html>")
    return folder / "fer2013.csv"


def empty_csv(folder: Path) -> Path:
    (folder / "fer2013.csv").write_text("")
    return folder / "fer2013.csv"


def nothing(folder: Path) -> Path:
    (folder / "kept").mkdir()
    return folder / "kept"


# Each case: what Kaggle sent, what the error says.
DAMAGED = {
    "no csv inside": (no_csv, "it holds no fer2013.csv"),
    "cut off": (cut_off, "is not the archive expected"),
    "no archive": (no_archive, "is not the archive expected"),
    "a page": (another_csv, "it begins with b'<html>', not 'emotion,pixels,Usage'"),
    "empty": (empty_csv, "it is empty"),
    "an empty folder": (nothing, "neither fer2013.csv nor fer2013.tar.gz"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_download_leaves_nothing_behind(tmp_path, monkeypatch, case):
    make, said = DAMAGED[case]
    use_kaggle(monkeypatch, make(tmp_path))

    with pytest.raises(DataError, match=re.escape(said)):
        dataset_get.fetch_competition(tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_a_folder_without_the_classes_is_refused(tmp_path, monkeypatch):
    use_kaggle(monkeypatch, write_folder(tmp_path / "kept", {"train/cats/1.jpg": b"x"}))

    with pytest.raises(DataError, match="no train folder with seven classes"):
        dataset_get.fetch_msambare(tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    tree = image_tree("train/*/a.jpg", "test/*/a.jpg")
    use_kaggle(monkeypatch, write_folder(tmp_path / "kept", tree))
    real = dataset_get.shutil.copytree

    def fill_the_disk(source, target, *options):
        if Path(source).name == "test":
            raise OSError(28, "No space left on device")
        return real(source, target, *options)

    monkeypatch.setattr(dataset_get.shutil, "copytree", fill_the_disk)

    with pytest.raises(DataError, match="No space left on device"):
        dataset_get.fetch_msambare(tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_without_kagglehub_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)

    with pytest.raises(ModuleNotFoundError, match="kagglehub"):
        dataset_get.fetch_msambare(tmp_path / "out")


def test_the_default_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert dataset_get.default_folder().parts[-2:] == ("fer-edge", "fer2013")


# -------------------------------------------------------------------------- the competition's own


# Each case: how the competition's other csv reaches the reader.
@pytest.mark.parametrize("name", ["icml_face_data.csv", "challenges.zip"])
def test_the_competitions_other_csv_is_read_with_its_columns_and_spaces(tmp_path, name):
    rows = rows_of_each(Training=1, PublicTest=1)
    usual = datasets.load(write_csv(tmp_path / "fer2013.csv", rows), cache=False)
    swapped = [[emotion, usage, pixels] for emotion, pixels, usage in rows]
    path = write_csv(tmp_path / "icml_face_data.csv", swapped, ("emotion", " Usage", " pixels"))
    if name.endswith(".zip"):
        members = {"train.csv": b"emotion,pixels\n", path.name: path.read_bytes()}
        path = write_zip(tmp_path / name, members)

    data = datasets.load(path, cache=False)

    np.testing.assert_array_equal(data.images, usual.images)
    assert data.labels.tolist() == usual.labels.tolist()
    assert data.splits.tolist() == usual.splits.tolist()


# ----------------------------------------------------------------------------------- the votes

VOTES = b"Usage,Image name,neutral\nTraining,fer0000000.png,10\n"


def a_server(content: bytes = VOTES, **options):
    """A web server on this machine that gives one answer; yields its address."""
    return serving(content, "fer2013new.csv", **options)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_the_votes_are_fetched_whole(tmp_path):
    with a_server() as url:
        fetched = dataset_get.fetch_votes(tmp_path / "new", url=url)

    assert fetched.path == tmp_path / "new" / "fer2013new.csv"
    assert fetched.path.read_bytes() == VOTES
    assert fetched.sha256 == hashlib.sha256(VOTES).hexdigest()


# Each case: the server's answer, what the error says.
BAD_ANSWERS = {
    "gone": ({"status": 404}, "answered 404 Not Found"),
    "a page": ({"content": b"<html>"}, "no file of FER+ votes: it begins with b'<html>'"),
    "empty": ({"content": b""}, "it is empty"),
    "broken off": ({"announced": 10_000}, f"it broke off after {len(VOTES)} of 10000 bytes"),
    "far too long": ({"content": VOTES + b"x" * (17 << 20)}, "it is larger than 16 MiB"),
    "endless": ({"content": VOTES + b"x" * (17 << 20), "announced": -1}, "larger than 16 MiB"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_bad_answer_leaves_nothing_behind_and_says_what_to_do(tmp_path, case):
    answer, said = BAD_ANSWERS[case]

    with a_server(**answer) as url, pytest.raises(DataError, match=re.escape(said)) as caught:
        dataset_get.fetch_votes(tmp_path / "out", url=url)

    assert f"save it as {tmp_path / 'out' / 'fer2013new.csv'}" in str(caught.value)
    assert names(tmp_path / "out") == []


def test_a_server_that_is_not_there_is_said(tmp_path):
    with a_server() as url:
        pass

    with pytest.raises(DataError, match=r"Cannot fetch http.*Connection refused"):
        dataset_get.fetch_votes(tmp_path, url=url)


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        with pytest.raises(DataError, match=r"Cannot fetch http.*timed out"):
            dataset_get.fetch_votes(tmp_path, url=url, timeout_s=0.2)


def test_votes_that_are_there_are_not_replaced(tmp_path):
    (tmp_path / "fer2013new.csv").write_text("precious")

    with pytest.raises(DataError, match=r"fer2013new\.csv is there already"):
        dataset_get.fetch_votes(tmp_path, url="http://127.0.0.1:9/")
    assert (tmp_path / "fer2013new.csv").read_text() == "precious"
