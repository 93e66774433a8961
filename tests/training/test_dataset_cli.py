"""``fer-edge dataset``: what it prints, and that no mistake ends in a traceback."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fer_edge.edge.cli import cli
from fer_edge.edge.errors import DataError
from fer_edge.training import dataset_get
from fer_edge.training.dataset_cli import get
from fer_edge.training.explore_page import OWN_FILES

from ..conftest import a_row, rows_of_each, write_csv


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Neither the user's cache nor the user's data are touched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["dataset", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def data(tmp_path) -> Path:
    return write_csv(tmp_path / "fer2013.csv", rows_of_each(Training=2, PublicTest=1))


# ------------------------------------------------------------------------------------------ get


@pytest.fixture
def fetched(monkeypatch) -> list[tuple[str, Path]]:
    """Stand-ins for the three fetches: what was asked for, and where it should go."""
    asked = []
    for name, file in (("competition", "fer2013.csv"), ("msambare", "images"), ("votes", "v.csv")):

        def fetch(out, name=name, file=file):
            asked.append((name, out))
            return dataset_get.Fetched(out / file, "ab" * 32 if file.endswith(".csv") else "")

        monkeypatch.setattr(dataset_get, f"fetch_{name}", fetch)
    return asked


def test_the_choices_are_those_of_the_module():
    (option,) = (option for option in get.params if option.name == "source")

    assert tuple(option.type.choices) == dataset_get.SOURCES
    assert option.default == dataset_get.SOURCES[0]


# Each case: the options, what is fetched, the arguments that are printed for the next command.
GETS = {
    "nothing said": ([], ["msambare"], "--data {out}/images "),
    "the csv": (["--source", "competition"], ["competition"], "--data {out}/fer2013.csv "),
    "with votes": (
        ["--source", "competition", "--votes"],
        ["competition", "votes"],
        "--data {out}/fer2013.csv --votes {out}/v.csv ",
    ),
    "votes alone": (
        ["--source", "none", "--votes"],
        ["votes"],
        "--data fer2013.csv --votes {out}/v.csv ",
    ),
}


@pytest.mark.parametrize("case", GETS)
def test_get_fetches_and_says_what_to_do_next(tmp_path, fetched, case):
    options, names, following = GETS[case]

    result = call("get", *options, "--out", tmp_path / "out")

    assert result.exit_code == 0
    assert fetched == [(name, tmp_path / "out") for name in names]
    assert f"dataset explore {following.format(out=tmp_path / 'out')}--out" in result.stdout
    assert ("sha256 abab" in result.stdout) == (case != "nothing said")


def test_get_goes_to_the_users_data_folder(tmp_path, fetched):
    call("get")

    assert fetched == [("msambare", dataset_get.default_folder())]


# Each case: the options, what is said.
CONTRADICTIONS = {
    "votes for folders": (["--votes"], "take --source competition, or --source none"),
    "nothing at all": (["--source", "none"], "fetches nothing without --votes"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_get_refuses_what_does_not_go_together(fetched, case):
    options, said = CONTRADICTIONS[case]

    result = call("get", *options)

    assert result.exit_code == 2
    assert said in result.stderr
    assert fetched == []


def test_what_was_fetched_is_reported_although_the_votes_fail(tmp_path, fetched, monkeypatch):
    def fail(_out):
        raise DataError("Cannot fetch them.")

    monkeypatch.setattr(dataset_get, "fetch_votes", fail)

    result = call("get", "--source", "competition", "--votes", "--out", tmp_path)

    assert result.exit_code == 1
    assert str(tmp_path / "fer2013.csv") in result.stdout
    assert result.stderr == "fer-edge: Cannot fetch them.\n"


# -------------------------------------------------------------------------------------- explore


def test_explore_writes_its_folder_and_the_list(tmp_path, data):
    out, clean = tmp_path / "out", tmp_path / "clean.csv"

    result = call("explore", "--data", data, "--out", out, "--clean", clean)

    assert result.exit_code == 0
    assert {path.name for path in out.iterdir()} < OWN_FILES
    assert json.loads((out / "explore.json").read_text())["images"] == 21
    assert clean.read_text().startswith("origin,split,class,reason\ndata,,,sha256:")
    assert "0 training images to leave out" in result.stdout


@pytest.mark.usefixtures("undrawn")
def test_explore_counts_the_reasons(tmp_path):
    rows = rows_of_each(Training=2)
    data = write_csv(tmp_path / "f.csv", [*rows, rows[0]])

    result = call("explore", "--data", data, "--out", tmp_path / "o", "--clean", tmp_path / "l")

    assert "     1  duplicate of training\n" in result.stdout
    assert "15,Training,angry,duplicate of training row 1\n" in (tmp_path / "l").read_text()


@pytest.mark.usefixtures("undrawn")
def test_the_list_may_lie_in_the_folder_and_both_be_renewed(tmp_path, data):
    arguments = ("--data", data, "--out", tmp_path / "o", "--clean", tmp_path / "o" / "clean.csv")

    assert call("explore", *arguments).exit_code == 0
    again = call("explore", *arguments)
    assert (again.exit_code, "--overwrite replaces it" in again.stderr) == (1, True)
    assert call("explore", *arguments, "--overwrite").exit_code == 0


@pytest.mark.usefixtures("undrawn")
def test_bad_rows_are_counted_on_standard_error(tmp_path):
    data = write_csv(tmp_path / "f.csv", [*rows_of_each(Training=1), a_row(9)])

    refused = call("explore", "--data", data, "--out", tmp_path / "o")
    assert refused.exit_code == 1
    assert not (tmp_path / "o").exists()

    result = call("explore", "--data", data, "--out", tmp_path / "o", "--skip-bad")
    assert result.exit_code == 0
    assert result.stderr == f"1 bad rows left out of {data}\n"


# Each case: what lies there already, the error.
IN_THE_WAY = {
    "a file of others": ("o/thesis.tex", "holds other files (thesis.tex)"),
    "an exploration": ("o/explore.json", "holds an earlier exploration; --overwrite"),
    "a list": ("clean.csv", "clean.csv is there already; --overwrite"),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_nothing_is_overwritten_and_nothing_read_before_that_is_known(tmp_path, case):
    name, said = IN_THE_WAY[case]
    (tmp_path / "o").mkdir()
    (tmp_path / name).write_text("precious")
    options = ("--out", tmp_path / "o", "--clean", tmp_path / "clean.csv")

    result = call("explore", "--data", tmp_path / "missing.csv", *options)

    assert result.exit_code == 1
    assert said in result.stderr
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.slow
def test_the_whole_of_fer2013_in_a_minute(tmp_path, real_data):
    from time import process_time

    started = process_time()
    result = call(
        "explore",
        *("--data", real_data / "fer2013.csv.gz", "--votes", real_data / "fer2013new.csv"),
        *("--out", tmp_path / "o", "--clean", tmp_path / "clean.csv"),
    )

    assert result.exit_code == 0
    assert process_time() - started < 60
    assert {path.name for path in (tmp_path / "o").iterdir()} == OWN_FILES
