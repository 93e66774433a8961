"""The unit: its text, what is refused before it is written, and what systemd says of it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge import config, service, service_plan
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import UsageError
from fer_edge.edge.service import Origin, ServiceUnit, origin_of, quoted, unit_name, unit_text
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
from fer_edge.edge.systemd import state_from

# One that is there, so that `systemd-analyze verify` is content with it.
PROGRAM = (sys.executable, "-m", "fer_edge.edge.cli")
HOST = Host(PROGRAM, groups={"video": 44, "plugdev": 46})
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd (.ci/run installs it)"
)


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


def a_unit(**changes) -> ServiceUnit:
    """A service of the demo, with these fields changed."""
    fields = {"name": "fer-edge", "program": PROGRAM, "origin": Origin(("--camera", "demo"))}
    return ServiceUnit(**{**fields, **changes})


def planned(*arguments: str, host: Host = HOST, **origin) -> ServiceUnit:
    """What ``service install -- ARGUMENTS`` would write."""
    made = Origin(arguments, **origin)
    return plan_unit("fer-edge", made, read_options(cli, "fer-edge", made), host)


def values_of(text: str, key: str) -> list[str]:
    """What a unit says of a key."""
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


# ------------------------------------------------------------------------------------------- text

# Each case: a unit, and lines that only it has. All of them are looked at by systemd as well.
UNITS = {
    "plain": (a_unit(), []),
    "page": (a_unit(network="local"), ["IPAddressAllow=localhost"]),
    "network": (a_unit(network="all"), ["After=network-online.target"]),
    "coral": (a_unit(coral=True), ["DeviceAllow=char-usb_device rw"]),
    "groups": (a_unit(groups=("video", "plugdev")), ["SupplementaryGroups=video plugdev"]),
    # Its folders are its own.
    "second": (
        a_unit(name="fer-edge-door"),
        [
            "StateDirectory=fer-edge-door",
            "Environment=HOME=%S/fer-edge-door XDG_CACHE_HOME=%C/fer-edge-door",
            "CacheDirectory=fer-edge-door/fer-edge",
        ],
    ),
    # A home is hidden but for what is read there, even where it is closed to others.
    "home": (
        a_unit(
            readable=(Path("/home/pi/my edge"),),
            writable=(Path("/home/pi/out"), Path("/mnt/usb")),
            origin=Origin(models="/home/pi/.cache/fer-edge/models"),
        ),
        [
            'BindReadOnlyPaths=-"/home/pi/my edge"',
            "BindReadOnlyPaths=-/home/pi/.cache/fer-edge/models:%C/fer-edge/models",
            "BindPaths=/home/pi/out",
            "ReadWritePaths=/mnt/usb",
            "RequiresMountsFor=/mnt/usb",
        ],
    ),
    # systemd hands the file over, and the option that comes last wins.
    "secret": (
        a_unit(credentials=(("mqtt-password-file", Path("/etc/fer-edge/pw")),)),
        ["LoadCredential=mqtt-password-file:/etc/fer-edge/pw"],
    ),
}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_its_lines_and_the_plain_one_has_not(name):
    unit, lines = UNITS[name]

    assert set(lines) <= set(unit_text(unit).splitlines())
    assert not set(lines) & set(unit_text(a_unit()).splitlines())


def test_nobody_needs_to_be_asked_for_the_rest():
    lines = unit_text(a_unit()).splitlines()

    for line in ("DynamicUser=yes", "ProtectSystem=strict", "ProtectHome=tmpfs", "MemoryMax=512M"):
        assert line in lines
    assert {"IPAddressDeny=any", "LogRateLimitBurst=300"} <= set(lines)


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit_and_finds_it_closed(name, tmp_path):
    unit, _ = UNITS[name]
    path = tmp_path / f"{unit.name}.service"
    path.write_text(unit_text(unit))

    checked = analyse("verify", path)
    rated = analyse("security", "--offline=true", "--threshold=40", path)

    # A word of its own is a complaint of another unit of this machine.
    assert (checked.returncode, [x for x in checked.stderr.splitlines() if unit.name in x]) == (
        0,
        [],
    )
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]
    assert "Overall exposure level" in rated.stdout


@needs_systemd
def test_systemd_would_find_a_fault(tmp_path):
    """The checks above can fail."""
    path = tmp_path / "fer-edge.service"
    path.write_text(unit_text(a_unit()).replace("ProtectClock=", "ProtectClok="))
    assert "ProtectClok" in analyse("verify", path).stderr
    path.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyse("security", "--offline=true", "--threshold=40", path).returncode != 0


def analyse(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_back_off_is_left_to_a_systemd_that_knows_it():
    assert values_of(unit_text(a_unit(systemd=252)), "RestartSteps") == []
    assert values_of(unit_text(a_unit(systemd=254)), "RestartSteps") == ["5"]
    for version in (252, 257):
        assert values_of(unit_text(a_unit(systemd=version)), "RestartSec") == ["5"]


def test_the_watchdog_waits_longer_than_the_loop_helps_itself():
    from fer_edge.edge.keeper import _JITTER, _LONGEST_S
    from fer_edge.edge.stages import LoopSettings
    from fer_edge.edge.worker import _MOST_GIVEN_UP

    (limit,) = map(int, values_of(unit_text(a_unit()), "WatchdogSec"))
    stuck_s = LoopSettings().stuck_s
    # A stuck thread is replaced, a camera that came back is opened again; and a loop that hangs
    # again and again says so by its exit code.
    assert limit > stuck_s + _LONGEST_S * (1 + _JITTER)
    assert limit > _MOST_GIVEN_UP * stuck_s


def test_codes_that_no_start_cures_are_those_of_usage_and_model():
    from fer_edge.edge.errors import CameraError, ModelError, StuckError

    (codes,) = values_of(unit_text(a_unit()), "RestartPreventExitStatus")
    assert set(codes.split()) == {str(UsageError.exit_code), str(ModelError.exit_code)}
    assert not {str(CameraError.exit_code), str(StuckError.exit_code)} & set(codes.split())


def test_results_in_the_journal_are_not_cut():
    assert values_of(unit_text(a_unit(data_to_journal=True)), "LogRateLimitBurst") == []


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Zl", "Zp", "Zs")) | st.just(" "))))
def test_words_come_back_as_they_were(words):
    line = " ".join(map(quoted, words))

    # What systemd does first; its quotes are those of a shell then.
    assert shlex.split(line.replace("%%", "%").replace("$$", "$")) == words
    assert re.search(r"(?<!%)(%%)*%(?!%)", line) is None, "a specifier"
    assert re.search(r"(?<!\$)(\$\$)*\$(?!\$)", line) is None, "a variable"


@given(st.lists(st.text(max_size=20)), st.text(max_size=20), st.text(max_size=20))
def test_a_unit_tells_what_it_was_made_from(arguments, folder, models):
    origin = Origin(tuple(arguments), folder, models)
    try:
        text = unit_text(a_unit(origin=origin))
    except UsageError:
        return
    assert origin_of(text) == origin


@pytest.mark.parametrize("text", ["", "[Unit]\n", "# fer-edge service, made from {]\n"])
def test_a_unit_of_others_is_not_ours(text):
    assert origin_of(text) is None


@pytest.mark.parametrize("word", ["a\nExecStart=/bin/sh", "\x1b[2J", "\0"])
def test_nothing_breaks_out_of_its_line(word):
    with pytest.raises(UsageError, match="control character"):
        unit_text(a_unit(origin=Origin((word,))))


# Each case: a name, and the unit's; None is refused.
NAMES = [
    ("", "fer-edge"),
    ("door", "fer-edge-door"),
    ("cam-2", "fer-edge-cam-2"),
    ("Door", None),
    ("../x", None),
    ("door-", None),
    ("a" * 33, None),
    ("a@b", None),
]


@pytest.mark.parametrize(("name", "unit"), NAMES)
def test_names_of_services(name, unit):
    if unit is None:
        with pytest.raises(UsageError, match="--name"):
            unit_name(name)
    else:
        assert unit_name(name) == unit


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


# ------------------------------------------------------------------------------------------ state

# Each case: what `systemctl show` says, what is read from it.
STATES = [
    (
        {"ActiveState": "active", "ActiveEnterTimestamp": "@1795276479", "MemoryCurrent": "99"},
        {"runs": True, "since_unix_s": 1795276479, "memory_bytes": 99, "uncapped": False},
    ),
    # A Raspberry Pi's kernel, as it comes, keeps no account of memory.
    ({"ActiveState": "active", "MemoryCurrent": "[not set]"}, {"uncapped": True}),
    ({"ActiveState": "inactive", "MemoryCurrent": "[not set]"}, {"runs": False, "uncapped": False}),
    ({"Result": "exit-code", "ExecMainStatus": "3"}, {"trouble": "it ended with exit code 3"}),
    ({"Result": "oom-kill"}, {"trouble": "it wanted more memory than it may have"}),
    ({"Result": "of-tomorrow"}, {"trouble": "of-tomorrow"}),
    ({"MemoryMax": "infinity", "NRestarts": "7"}, {"memory_max_bytes": None, "restarts": 7}),
    ({"UnitFileState": "enabled"}, {"enabled": True}),
    ({}, {"active": "inactive", "enabled": False, "since_unix_s": None, "trouble": ""}),
]


@pytest.mark.parametrize(("told", "read"), STATES)
def test_what_systemd_says_is_read(told, read):
    state = state_from(told)

    assert {key: getattr(state, key) for key in read} == read


def test_the_origin_is_json_in_a_comment():
    head = unit_text(a_unit()).partition("\n")[0]
    assert json.loads(head.partition("from ")[2])["arguments"] == ["--camera", "demo"]
