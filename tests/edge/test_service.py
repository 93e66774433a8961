"""The unit: its text, and what systemd says of it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import UsageError
from fer_edge.edge.service import Origin, ServiceUnit, origin_of, quoted, unit_name, unit_text
from fer_edge.edge.systemd import state_from

# One that is there, so that `systemd-analyze verify` is content with it.
PROGRAM = (sys.executable, "-m", "fer_edge.edge.cli")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd (.ci/run installs it)"
)


def a_unit(**changes) -> ServiceUnit:
    """A service of the demo, with these fields changed."""
    fields = {"name": "fer-edge", "program": PROGRAM, "origin": Origin(("--camera", "demo"))}
    return ServiceUnit(**{**fields, **changes})


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
