"""What goes into a unit: options, files and variables, and what is refused before it is there."""

import re
import sys
from pathlib import Path

import click
import pytest

from fer_edge.edge import config, service, service_plan
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import UsageError
from fer_edge.edge.service import Origin, ServiceUnit, unit_text
from fer_edge.edge.service_plan import (
    Host,
    RunOptions,
    network_of,
    notes,
    plan_unit,
    read_environment,
    read_options,
    this_host,
)

# One that is there, so that `systemd-analyze verify` is content with it.
PROGRAM = (sys.executable, "-m", "fer_edge.edge.cli")
HOST = Host(PROGRAM, groups={"video": 44, "plugdev": 46})


@pytest.fixture(autouse=True)
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the configuration of the system."""
    folder = tmp_path / "etc"
    folder.mkdir()
    for module in (config, service, service_plan):
        if hasattr(module, "SYSTEM_FILE"):
            monkeypatch.setattr(module, "SYSTEM_FILE", folder / "config.toml")
        if hasattr(module, "ENVIRONMENT_FILE"):
            monkeypatch.setattr(module, "ENVIRONMENT_FILE", folder / "environment")
    monkeypatch.chdir(tmp_path)
    return folder


def planned(*arguments: str, host: Host = HOST, **origin) -> ServiceUnit:
    """What ``service install -- ARGUMENTS`` would write."""
    made = Origin(arguments, **origin)
    return plan_unit("fer-edge", made, read_options(cli, "fer-edge", made), host)


def values_of(text: str, key: str) -> list[str]:
    """What a unit says of a key."""
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


# ---------------------------------------------------------------------------------------- options


def test_the_service_reads_its_own_files_and_no_others(etc, monkeypatch):
    (etc / "config.toml").write_text('[run]\nfps = 11\nsmooth = 1\ncamera = "demo"\n')
    (etc / "environment").write_text('# a comment\n\nFER_EDGE_RUN_SMOOTH="0.5"\nOTHER=x y\n')
    (etc / "environment.door").write_text("FER_EDGE_RUN_MIN_FACE=99\n")
    # Of whoever installs it: neither counts later.
    monkeypatch.setenv("FER_EDGE_RUN_FPS", "99")
    config.user_file().parent.mkdir(parents=True, exist_ok=True)
    config.user_file().write_text("[run]\nmax-age = 99\n")
    try:
        values = read_options(cli, "fer-edge", Origin(("--fps", "12"))).values
    finally:
        config.user_file().unlink()

    assert (values["fps"], values["smooth"], values["camera"]) == (12.0, 0.5, "demo")
    assert (values["max_age"], values["min_face"]) == (250.0, 24.0)
    assert read_options(cli, "fer-edge-door", Origin()).values["min_face"] == 99


def test_a_file_of_ones_own_is_read_by_the_service_too(etc, tmp_path):
    own = tmp_path / "door.toml"
    own.write_text("[run]\nfps = 7\n")
    unit = planned(config=str(own))

    assert f"--config {own} run" in values_of(unit_text(unit), "ExecStart")[0]
    # /tmp is another one there.
    assert own in unit.readable


# Each case: the arguments, and what is said. Found before anything is written.
REFUSED = [
    ("--camrea 0", "camrea"),  # a typo
    ("--detect-every 0", "expected 'auto' or a number"),
    ("--window", "no screen"),
    ("--camera -", "no standard input"),
    ("--camera -:yuv420 --size 64x64", "no standard input"),
    ("--camera here.mp4", "Give the full path"),
    ("--model here.mp4", "Give the full path"),
    ("--profile ann", "Give the full path"),
    # The second start would refuse the file.
    ("--jsonl a.jsonl", "Use --append"),
    ("--record a.mp4 --append", "--record-minutes 30"),
    ("--record a.mp4", "--record-minutes 30"),
    # Not in its folder, and closed to it.
    ("--record /nowhere/a.mp4 --overwrite", "may not write into /nowhere"),
    ("--save-faces closed/../closed", "may not write into"),
    # Every user reads a unit.
    ("--serve 0.0.0.0 --serve-token abcdefgh", "FER_EDGE_RUN_SERVE_TOKEN="),
    ("--camera rtsp://me:pw@door/live", "FER_EDGE_RUN_CAMERA="),
    ("--camera http://door/?user=me&password=pw", "FER_EDGE_RUN_CAMERA="),
    ("--serve [::1", "--serve"),
]


@pytest.mark.parametrize(("typed", "said"), REFUSED)
def test_what_cannot_go_well_is_refused(typed, said, tmp_path):
    (tmp_path / "here.mp4").touch()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    arguments = [word.replace("closed/..", str(tmp_path)) for word in typed.split()]

    with pytest.raises((UsageError, click.UsageError)) as caught:
        planned(*arguments)

    error = caught.value
    assert said in (error.format_message() if isinstance(error, click.UsageError) else str(error))
    assert "pw" not in str(error), "the message tells the password"


def test_what_goes_on_from_start_to_start_is_taken(tmp_path):
    taken = (
        "--jsonl - --save-faces faces --record a.mp4 --record-minutes 5",
        "--csv a --overwrite",
    )
    for typed in taken:
        assert planned(*typed.split()).writable == ()
    assert planned("--jsonl", "-").data_to_journal


def test_an_output_elsewhere_is_let_through_where_the_service_may_write(tmp_path):
    open_to_all, of_video = tmp_path / "all", tmp_path / "video"
    for folder, mode in ((open_to_all, 0o777), (of_video, 0o775)):
        folder.mkdir()
        folder.chmod(mode)
    mine = Host(PROGRAM, groups={"video": of_video.stat().st_gid})

    unit = planned(
        "--save-faces", str(of_video), "--csv", f"{open_to_all}/a", "--overwrite", host=mine
    )

    assert unit.writable == (open_to_all, of_video)
    with pytest.raises(UsageError, match="chgrp video"):
        planned("--save-faces", str(of_video))


# Each case: the arguments, how far they reach.
REACHES = [
    ("--camera demo", "none"),
    ("--camera usb:/dev/video0 --tpu off", "none"),
    ("--camera demo --serve localhost:80", "local"),
    ("--camera demo --serve 0.0.0.0", "all"),
    ("--camera rtsp://door/live", "all"),
    ("--camera demo --mqtt mqtt://broker", "all"),
]


@pytest.mark.parametrize(("typed", "reach"), REACHES)
def test_the_network_is_open_where_the_options_need_it(typed, reach):
    assert network_of(read_options(cli, "fer-edge", Origin(tuple(typed.split()))).values) == reach


def test_groups_are_those_that_exist_and_a_coral_needs_its_own():
    assert planned("--tpu", "auto").groups == ("video", "plugdev")
    assert planned("--tpu", "off").groups == ("video",)
    assert planned(host=Host(PROGRAM)).groups == ()


def test_secrets_in_files_go_through_systemd(etc):
    (etc / "config.toml").write_text(
        '[run]\nmqtt = "mqtt://me@b"\nmqtt-password-file = "/etc/pw"\n'
    )
    text = unit_text(planned("--profile", "/home/pi/ann.json"))

    assert values_of(text, "LoadCredential") == [
        "profile:/home/pi/ann.json",
        "mqtt-password-file:/etc/pw",
    ]
    (command,) = values_of(text, "ExecStart")
    assert command.endswith("--profile %d/profile --mqtt-password-file %d/mqtt-password-file")


def test_what_lies_in_hidden_folders_is_let_in(monkeypatch):
    folders = (Path("/home/pi/edge/.venv"), Path("/home/pi/edge"), Path("/opt/python"))
    unit = planned("--model", "/root/m.tflite", host=Host(PROGRAM, folders))

    assert unit.readable == tuple(
        map(Path, ("/home/pi/edge", "/root/m.tflite", "/root/m_edgetpu.tflite"))
    )


def test_this_installation_is_let_in():
    host = this_host({}, 252)

    assert Path(host.program[0]).is_file()
    assert {Path(sys.prefix), Path(sys.base_prefix)} <= set(host.folders)
    assert any(Path(service.__file__).is_relative_to(folder) for folder in host.folders)


def test_a_configuration_that_is_closed_to_the_service(etc):
    (etc / "config.toml").write_text("[run]\nfps = 3\n")
    (etc / "config.toml").chmod(0o600)

    with pytest.raises(UsageError, match="sudo chmod 644"):
        planned()


# Each case: a file of variables, and what is said; nothing of what may be a password.
BAD_ENVIRONMENTS = [
    ("FER_EDGE_RUN_FSP=1", "did you mean FER_EDGE_RUN_FPS"),
    ("FER_EDGE_RUN_FPS=many", "FER_EDGE_RUN_FPS"),
    ("secret", "line 1: expected NAME=value"),
    ("A='secret", "line 1: No closing quotation"),
]


@pytest.mark.parametrize(("text", "said"), BAD_ENVIRONMENTS)
def test_a_bad_file_of_variables_is_named(etc, text, said):
    (etc / "environment").write_text(text)

    with pytest.raises(UsageError) as caught:
        planned()
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_variables_are_read_as_systemd_reads_them(etc):
    path = etc / "environment"
    path.write_text("; no\nA=1\n B = two words \nC=\"a b\"\nD='$x'\nE=\n")

    assert read_environment(path) == {"A": "1", "B": "two words", "C": "a b", "D": "$x", "E": ""}
    assert read_environment(etc / "none") == {}


def test_notes_tell_what_others_can_read_and_what_is_not_read(etc):
    (etc / "config.toml").write_text('[run]\nserve = "0.0.0.0"\nserve-token = "secretsecret"\n')
    (etc / "environment").write_text("")
    (etc / "environment").chmod(0o644)
    own = etc / "own.toml"
    own.write_text("")

    said = notes(read_options(cli, "fer-edge", Origin()), own)

    assert len(said) == 3
    assert "--serve-token" in said[0]
    assert "chmod 600" in said[1]
    assert str(own) in said[2]
    assert "secretsecret" not in " ".join(said)
    assert notes(RunOptions({}), etc / "none.toml") == [said[1]]


def test_a_page_for_others_wants_a_token_that_stays():
    (said,) = notes(read_options(cli, "fer-edge", Origin(("--serve", "0.0.0.0"))))
    assert "another token" in said
    assert notes(read_options(cli, "fer-edge", Origin(("--serve", "127.0.0.1")))) == []
