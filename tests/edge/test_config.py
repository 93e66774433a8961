"""Options from files and the environment: who wins, what is refused, and the commands for it."""

import contextlib
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge import config
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import UsageError

RUN = ("run",)
ROOT = cli


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of nobody else, and an empty folder to be in."""
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "etc.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def call(*arguments: object, **options) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def shown(*arguments: object, words: tuple[str, ...] = RUN, **options) -> dict[str, tuple]:
    """Value and source of each option, as ``config show`` has them."""
    done = call(*arguments, "config", "show", *words, **options)
    assert done.exit_code == 0, done.output
    rows = (re.split(r"\s{2,}", line, maxsplit=2) for line in done.stdout.splitlines())
    return {key: (value, source) for key, value, source in rows}


def test_the_stronger_source_wins(tmp_path: Path) -> None:
    write(config.SYSTEM_FILE, "[run]\nfps = 1\nsmooth = 1\nmin-face = 1\nmax-age = 1\n")
    write(config.user_file(), "version = 1\n[run]\nsmooth = 2\nmin-face = 2\nmax-age = 2\n")
    extra = write(tmp_path / "extra.toml", "[run]\nmin_face = 3.5\nmax-age = 3\n")

    rows = shown("--config", extra, env={"FER_EDGE_RUN_MAX_AGE": "4"})

    assert rows["fps"] == ('"1"', str(config.SYSTEM_FILE))
    assert rows["smooth"] == ('"2"', str(config.user_file()))
    assert rows["min-face"] == ('"3.5"', str(extra))
    assert rows["max-age"] == ('"4"', "FER_EDGE_RUN_MAX_AGE")
    assert rows["camera"] == ('"0"', "default")
    assert rows["record"] == ("-", "default")


def test_a_run_takes_them_and_the_command_line_is_the_strongest(tmp_path: Path) -> None:
    write(
        tmp_path / "c.toml",
        '[run]\ncamera = "demo"\nframes = 2\nrotate = 90\nmirror = true\ndetector = "fer-face"\n'
        'window = false\njsonl = "out.jsonl"\n',
    )

    done = call("--config", "c.toml", "run", env={"FER_EDGE_RUN_FPS": "1000"})
    again = call("--config", "c.toml", "run", "--frames", "3", "--overwrite")

    assert (done.exit_code, again.exit_code) == (0, 0), done.output + again.output
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert lines[0]["size_wh"] == [480, 640]


def test_required_options_and_lists_may_come_from_there_too(tmp_path: Path) -> None:
    write(tmp_path / "c.toml", '[train]\ndata = "none.csv"\nset = ["epochs=3", "seed=2"]\n')

    rows = shown("--config", "c.toml", words=("train",))
    done = call("--config", "c.toml", "train", "--out", "run")

    assert rows["set"] == ('["epochs=3", "seed=2"]', "c.toml")
    assert done.exit_code == 1
    assert "There is no data at none.csv" in done.stderr
    rows = shown(words=("train",), env={"FER_EDGE_TRAIN_SET": "epochs=3 'recipe=a b'"})
    assert rows["set"][0] == '["epochs=3", "recipe=a b"]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\ndetect-evry = 3\n", "detect-evry is no option of `fer-edge run`; did you mean de"),
        ("[run]\nzzz = 3\n", "zzz is no option of `fer-edge run`."),
        (
            "[run]\nno-align = true\n",
            "no-align is no option of `fer-edge run`; did you mean align?",
        ),
        ("[rum]\nfps = 3\n", "[rum] is no command of fer-edge; did you mean run?"),
        ("[benchmark.lop]\nclip = 3\n", "[benchmark.lop] is no command of fer-edge; did you mean"),
        ("camera = 0\n", "camera is no command of fer-edge; did you mean cameras?"),
        ("run = 3\n", "run is 3; expected a table [run]"),
        ("version = 2\n", "is of version 2; this fer-edge reads version 1."),
        ("[run\n", "is no TOML"),
        ("[run]\nfps = 'fast'\n", "fps of `fer-edge run`: 'fast' is not a valid float"),
        ("[run]\nfps = 0\n", "fps of `fer-edge run`: 0"),
        ("[run]\nfps = [1]\n", "fps of `fer-edge run`: expected one value"),
        ("[run]\nfps = true\n", "fps of `fer-edge run`: expected a value, got true or false"),
        ("[run]\nmirror = 3\n", "mirror of `fer-edge run`: "),
        ("[run]\nmirror = 'perhaps'\n", "mirror of `fer-edge run`: 'perhaps'"),
        ("[run]\ncamera = {a = 1}\n", "camera of `fer-edge run`: expected text, a number"),
        ("[run]\ncamera = 2026-11-21\n", "camera of `fer-edge run`: expected text, a number"),
        ("[run]\ndetector = 'yolo'\n", "detector of `fer-edge run`: 'yolo' is not one of"),
        ("[train]\nset = 'a=1'\n", "set of `fer-edge train`: expected a list"),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(tmp_path: Path, text, message) -> None:
    path = write(tmp_path / "bad.toml", text)

    checked = call("config", "check", path)

    assert checked.exit_code == 2
    assert f"{path}" in checked.stderr
    assert message in checked.stderr


def test_a_fault_in_another_command_s_table_stops_none_but_that_one(tmp_path: Path) -> None:
    write(tmp_path / "c.toml", "[run]\nfps = 'fast'\n")

    assert call("--config", "c.toml", "models", "list").exit_code == 0
    assert call("--config", "c.toml", "run", "--camera", "demo").exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FER_EDGE_RUN_FSP", "3", "is no option of `fer-edge run`; did you mean FER_EDGE_RUN_FPS?"),
        ("FER_EDGE_RUN_FPS", "x", "FER_EDGE_RUN_FPS: fps of `fer-edge run`: 'x'"),
        ("FER_EDGE_TRAIN_SET", "'a", "No closing quotation"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(name, value, message) -> None:
    command = name.split("_")[2].lower()

    done = call(command, env={name: value})
    assert call(command, "--help", env={name: value}).exit_code == 0
    checked = call("config", "check", env={name: value})

    assert (done.exit_code, checked.exit_code) == (2, 2)
    assert name in done.stderr
    assert message in done.stderr
    assert message in checked.stderr


def test_a_file_that_was_asked_for_has_to_be_there(tmp_path: Path) -> None:
    done = call("--config", tmp_path / "gone.toml", "cameras")

    assert done.exit_code == 2
    assert "gone.toml: No such file or directory" in done.stderr


def test_the_written_file_fits_and_tells_every_default(tmp_path: Path) -> None:
    done = call("config", "init")

    assert done.exit_code == 0
    text = config.user_file().read_text()
    assert call("config", "check").stdout == f"{config.user_file()}: good, 0 options\n"
    again = call("config", "init")
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert config.user_file().read_text() == text
    for word in ("run", "classify"):
        ((_, command),) = config.leaves(ROOT, (word,))
        table = text.partition(f"[{word}]\n")[2].partition("\n[")[0]
        keys = re.findall(r"^#([\w-]+) = ", table, re.MULTILINE)
        assert keys == [key for key in config.options_of(command) if key != "help"]
    # With the defaults in force nothing is another than without.
    context = click.Context(cli)
    ((_, command),) = config.leaves(ROOT, RUN)
    known = {
        key
        for key, option in config.options_of(command).items()
        if config.default_of(option, context) is not None
    }
    lines = (
        line.removeprefix("#")
        if (match := re.match(r"#([\w-]+) = ", line)) and match[1] in known
        else line
        for line in text.partition("[classify]")[0].splitlines()
    )
    path = write(tmp_path / "all.toml", "\n".join(lines))
    assert call("config", "check", path).stdout.endswith(f"good, {len(known)} options\n")


def test_shells_complete_commands_and_options() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_FER_EDGE_COMPLETE" in call("completion", shell).stdout
    for words, at, expected in (
        ("fer-edge cla", 1, "classify"),
        ("fer-edge run --detect-e", 2, "--detect-every"),
        ("fer-edge benchmark pee", 2, "peers"),
    ):
        done = call(
            env={
                "_FER_EDGE_COMPLETE": "bash_complete",
                "COMP_WORDS": words,
                "COMP_CWORD": str(at),
            },
            prog_name="fer-edge",
        )
        assert f"plain,{expected}" in done.stdout.splitlines()


def test_a_command_that_is_none_has_no_options() -> None:
    done = call("config", "show", "rum")

    assert done.exit_code == 2
    assert "rum is no command of fer-edge" in done.stderr


VALUES = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab:=/'\\ \n", max_size=6),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from(["fps", "mirror", "camera", "detect-every", "size", "rotate", "x"]), VALUES)
def test_whatever_a_table_holds_is_settings_or_one_sentence(key, value) -> None:
    table = {"run": {key: value}}
    with contextlib.suppress(UsageError):
        (setting,) = config._walk(table, ROOT, click.Context(ROOT), "c.toml", (), RUN)
        assert config.default_map([setting], ROOT)["run"].keys() == {key.replace("-", "_")}


def test_each_variable_is_of_one_option() -> None:
    names = [
        config.variable(words, key)
        for words, command in config.leaves(ROOT, ())
        for key in config.options_of(command)
    ]

    assert len(names) == len(set(names))
    assert config.variable(RUN, "detect-every") == "FER_EDGE_RUN_DETECT_EVERY"
