"""What is read once is not parsed again, and nothing about the cache can spoil a run."""

import os
import resource

import numpy as np
import pytest

from fer_edge.edge.errors import DataError
from fer_edge.training import dataset_cache, datasets

from ..conftest import a_row, image_tree, rows_of_each, write_csv, write_folder

ROWS = rows_of_each(Training=1, PublicTest=1)


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "f.csv", ROWS)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def parsed(monkeypatch):
    """The sources that were really parsed, in order."""
    seen = []
    for name in ("read_csv", "read_images"):
        real = getattr(datasets, name)
        monkeypatch.setattr(
            datasets, name, lambda path, real=real: seen.append(path.name) or real(path)
        )
    return seen


def assert_equal(one: datasets.Dataset, other: datasets.Dataset) -> None:
    for name in ("images", "labels", "splits", "origins"):
        before, after = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype
    if one.votes is None:
        assert other.votes is None
    else:
        np.testing.assert_array_equal(one.votes, other.votes)
    assert (one.name, one.digest, one.skipped) == (other.name, other.digest, other.skipped)


def write_votes(path, first: int):
    header = "Usage,Image name," + ",".join("abcdefghij")
    lines = [f"{row[2]},x,{first},0,0,0,0,0,0,0,0,0" for row in ROWS]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_the_second_read_does_not_parse(source, cache, parsed):
    first = datasets.load(source, cache=cache)
    second = datasets.load(source, cache=cache)

    assert parsed == ["f.csv"]
    assert_equal(first, second)
    assert [path.suffix for path in cache.iterdir()] == [".npz"], "something was left behind"


def test_a_folder_is_kept_too(tmp_path, cache, parsed):
    source = write_folder(tmp_path / "f", image_tree("train/*/a.png"))

    assert_equal(datasets.load(source, cache=cache), datasets.load(source, cache=cache))

    assert parsed == ["f"]


def test_votes_and_skipped_rows_are_kept(tmp_path, cache, parsed):
    source = write_csv(tmp_path / "f.csv", [*ROWS, a_row(9)])
    votes = write_votes(tmp_path / "votes.csv", first=5)

    first = datasets.load(source, cache=cache, votes=votes, skip_bad=True)
    second = datasets.load(source, cache=cache, votes=votes, skip_bad=True)

    assert len(parsed) == 1
    assert (second.skipped, second.votes[0, 0]) == (1, 5)
    assert_equal(first, second)


def test_a_copy_of_the_source_is_the_same_data_under_its_own_name(source, cache, parsed):
    datasets.load(source, cache=cache)
    copy = source.with_name("copy.csv")
    copy.write_bytes(source.read_bytes())

    assert datasets.load(copy, cache=cache).name == "copy.csv"
    assert parsed == ["f.csv"]


def test_a_changed_source_is_read_again(source, cache, parsed):
    datasets.load(source, cache=cache)
    kept = source.stat()
    write_csv(source, [*ROWS[:-1], a_row(5, "PublicTest", seed=99)])
    os.utime(source, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # not seen by its time

    changed = datasets.load(source, cache=cache)

    assert parsed == ["f.csv", "f.csv"]
    assert changed.labels[-1] == 5


def test_a_changed_folder_is_read_again(tmp_path, cache, parsed):
    source = write_folder(tmp_path / "f", image_tree("train/*/a.png"))
    datasets.load(source, cache=cache)
    (source / "train/sad/a.png").rename(source / "train/sad/PublicTest_a.png")
    write_folder(source, {"train/sad/b.png": (source / "train/fear/a.png").read_bytes()})

    assert datasets.load(source, cache=cache).counts() == {"Training": 7, "PublicTest": 1}
    assert len(parsed) == 2


def test_other_votes_are_read_again(tmp_path, source, cache, parsed):
    votes = tmp_path / "votes.csv"

    assert datasets.load(source, cache=cache).votes is None
    assert datasets.load(source, cache=cache, votes=write_votes(votes, 1)).votes[0, 0] == 1
    assert datasets.load(source, cache=cache, votes=write_votes(votes, 2)).votes[0, 0] == 2
    assert len(parsed) == 3


def test_what_was_left_out_once_is_still_refused_without_skip_bad(tmp_path, cache):
    source = write_csv(tmp_path / "f.csv", [*ROWS, a_row(9)])
    datasets.load(source, cache=cache, skip_bad=True)

    with pytest.raises(DataError, match="row 15: unknown emotion"):
        datasets.load(source, cache=cache)


def test_a_refused_source_leaves_nothing_in_the_cache(tmp_path, cache):
    source = write_csv(tmp_path / "f.csv", [*ROWS, a_row(9)])

    for _ in range(2):
        with pytest.raises(DataError, match="row 15"):
            datasets.load(source, cache=cache)
    assert not cache.exists() or list(cache.iterdir()) == []


# --------------------------------------------------------------------------------- damaged files


def replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content, "the case does not damage anything"
    return content.replace(old, new)


# Each case: what became of the bytes of the kept file.
DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "something else": lambda content: b"hello",
    "an array": lambda content: b"\x93NUMPY" + content[6:],
    "a flipped pixel": lambda content: content[:5000] + b"\x55\xaa" + content[5002:],
    "a lost field": lambda content: replaced(content, b"origins.npy", b"oranges.npy"),
    "encrypted": lambda content: replaced(content, b"PK\x01\x02\x2d\x03\x2d\x00\x00",
                                          b"PK\x01\x02\x2d\x03\x2d\x00\x01"),
    "unknown packing": lambda content: replaced(content, b"PK\x01\x02\x2d\x03\x2d\x00\x00\x00\x00",
                                                b"PK\x01\x02\x2d\x03\x2d\x00\x00\x00\x63"),
    # In the large field: zipfile compares the checksums of small ones before NumPy parses them.
    "an open bracket": lambda content: replaced(content, b"(14, 48, 48)", b"(14, 48, 48 "),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_read_again_and_mended(source, cache, parsed, damage):
    first = datasets.load(source, cache=cache)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(DAMAGES[damage](whole))

    again = datasets.load(source, cache=cache)

    assert len(parsed) == 2
    assert_equal(first, again)
    assert_equal(first, datasets.load(source, cache=cache))
    assert len(parsed) == 2, "the damaged file was not replaced"


def test_no_flipped_bit_changes_what_is_read(tmp_path):
    """A kept file gives its own values or none at all, and never an error."""
    fields = {
        "images": np.arange(64, dtype=np.uint8).reshape(1, 8, 8), "labels": np.array([3]),
        "splits": np.array(["Training"]), "origins": np.array(["1"]), "votes": None, "skipped": 2,
    }  # fmt: skip
    dataset_cache.write(tmp_path, "key", fields)
    kept = tmp_path / "key.npz"
    whole = kept.read_bytes()
    assert dataset_cache.read(tmp_path, "key")["skipped"] == 2

    for place in range(len(whole)):
        bit = 1 << place % 8
        kept.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        found = dataset_cache.read(tmp_path, "key")
        if found is not None:
            assert found.keys() == fields.keys()
            for name, value in fields.items():
                np.testing.assert_array_equal(found[name], value, err_msg=f"byte {place}: {name}")


# --------------------------------------------------------------------- folders that cannot be used


def test_a_cache_that_cannot_be_made_costs_nothing_but_time(source, parsed):
    below_a_file = source / "cache"

    assert len(datasets.load(source, cache=below_a_file)) == 14
    assert len(datasets.load(source, cache=below_a_file)) == 14
    assert len(parsed) == 2


def test_a_file_in_the_place_of_the_cache_is_left_alone(source, cache):
    cache.write_text("mine")

    assert len(datasets.load(source, cache=cache)) == 14
    assert cache.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_cache_costs_nothing_but_time(source, cache):
    cache.mkdir(mode=0o500)

    assert len(datasets.load(source, cache=cache)) == 14
    assert list(cache.iterdir()) == []


def test_a_full_disk_costs_nothing_but_time(source, cache):
    # A real refusal in the middle of the file: this process may write no file above 8 KB.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        data = datasets.load(source, cache=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert len(data) == 14
    assert list(cache.iterdir()) == [], "half a file was left behind"


# ------------------------------------------------------------------------------- where it is kept


def test_the_user_s_own_cache_folder_is_the_default(source, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    datasets.load(source)

    assert len(list((tmp_path / "home/fer-edge/datasets").glob("*.npz"))) == 1


def test_no_cache_writes_nothing(source, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    datasets.load(source, cache=False)

    assert [path.name for path in tmp_path.iterdir()] == ["f.csv"]
