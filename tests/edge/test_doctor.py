"""The doctor as a whole: it never falls over; its forms; the command. The rest lies beside it."""

import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cli import cli
from fer_edge.edge.doctor import checks, examine, interpreter
from fer_edge.edge.doctor.child import Heard, Outcome, ask, attempt, understand
from fer_edge.edge.doctor.examine import Check
from fer_edge.edge.doctor.finding import STATES, Finding, describe, document, exit_code
from fer_edge.edge.doctor.interpreter import Interpreter
from fer_edge.edge.doctor.show import lines

from .conftest import HANG_S

ROOT = Path(__file__).resolve().parents[2]
GOOD = Finding("ok", "good", "is good")


# ------------------------------------------------------------------------ it never falls over


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


ERRORS = st.one_of(
    st.builds(
        lambda kind, text: kind(text),
        st.sampled_from(
            [
                ValueError,
                OSError,
                ImportError,
                ModuleNotFoundError,
                KeyError,
                MemoryError,
                RecursionError,
                SystemExit,
                KeyboardInterrupt,
                GeneratorExit,
                StopIteration,
                UnprintableError,
                ExceptionGroup,
            ]
        ).map(lambda kind: kind if kind is not ExceptionGroup else lambda t: kind(t, [OSError()])),
        st.text(),
    ),
    st.just(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")),
)


@given(error=ERRORS, late=st.booleans())
def test_whatever_a_check_raises_is_a_finding(error, late):
    def look(limit_s):
        if late:
            yield GOOD
        raise error

    found = examine.examine([Check("bad", look), Check("good", lambda _: [GOOD])], HANG_S)

    # A StopIteration out of a generator is a RuntimeError; still a finding.
    assert [finding.name for finding in found] == ["bad", "good"]
    assert (found[0].state, found[1]) == ("warning", GOOD)
    assert found[0].found.startswith("could not be looked at: ")
    assert found[0].cure
    assert "\n" not in found[0].found
    json.dumps(document(found, 1.0))


def test_a_check_that_hangs_is_left_behind_and_the_others_are_told():
    let_go = threading.Event()

    def hangs(limit_s):
        let_go.wait(HANG_S)
        return [GOOD]

    found = examine.examine([Check("stuck", hangs), Check("good", lambda _: [GOOD])], limit_s=0.3)
    let_go.set()

    assert [(f.state, f.name) for f in found] == [("warning", "stuck"), ("ok", "good")]
    assert "within 0.3 s" in found[0].found


def test_without_a_thread_to_be_had_there_are_findings_all_the_same(monkeypatch):
    def no_thread(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)

    (finding,) = examine.examine([Check("bad", lambda _: [GOOD])], HANG_S)

    assert "can't start new thread" in finding.found


def test_an_import_that_fails_in_a_check_names_the_package():
    def look(limit_s):
        raise ModuleNotFoundError("No module named 'platformdirs'", name="platformdirs")

    (finding,) = examine.examine([Check("cache", look)], HANG_S)

    assert finding.cure.endswith("pip install --force-reinstall platformdirs")


# ------------------------------------------------------------------------------- the child


def steps(tell, how: str) -> None:
    """What the children of these tests do."""
    attempt(tell, "first", lambda: {"a": 1})
    attempt(tell, "second", lambda: 1 / 0)
    attempt(tell, "third", HOW[how])


def _ends() -> None:
    import os

    print("last words", file=sys.stderr, flush=True)
    os._exit(3)


def _crashes() -> None:
    import os

    os.abort()


def _hangs() -> None:
    import time

    time.sleep(600)


def _prints() -> str:
    print('{"step": "forged", "ended": "well"}', flush=True)
    return "done"


HOW = {"ends": _ends, "crashes": _crashes, "hangs": _hangs, "prints": _prints}


@pytest.mark.parametrize(
    ("how", "why"),
    [("ends", "it ended its process (code 3): last words"), ("crashes", "(SIGABRT)")],
)
def test_a_child_that_dies_has_told_its_steps(how, why):
    heard = ask(steps, how, limit_s=HANG_S)

    assert heard.value("first") == {"a": 1}
    assert heard.get("second") == Outcome(
        why="ZeroDivisionError: division by zero", kind="ZeroDivisionError"
    )
    assert why in heard.get("third").why
    assert heard.get("fourth") is None


def test_a_child_that_hangs_is_stopped():
    # On a busy machine the time may be up before the third step.
    for limit_s in (1.0, 5.0, HANG_S):
        heard = ask(steps, "hangs", limit_s=limit_s)
        if heard.get("third"):
            break

    assert heard.value("first") == {"a": 1}
    assert heard.get("third").why == f"it did not come back within {limit_s:.1f} s"
    assert 0 < heard.get("third").late_s < limit_s
    assert heard.get("second").late_s == 0


def test_what_is_printed_in_a_child_is_no_step():
    heard = ask(steps, "prints", limit_s=HANG_S)

    assert heard.value("third") == "done"
    assert heard.get("forged") is None


@given(told=st.binary(), said=st.binary(), lost=st.text())
def test_whatever_a_child_tells_is_understood(told, said, lost):
    assert isinstance(understand(told, said, lost), Heard)


@given(document=st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_lines_of_another_form_are_left_out(document):
    assert understand(json.dumps(document).encode(), b"", "").steps == {}


# ------------------------------------------------------------------------------- findings


def test_a_finding_is_one_line_without_passwords():
    finding = Finding("ok", "a", "see\n rtsp://user:p@ss/w@host/live?x=secret\tand \x1b[31mred")

    assert finding.found == "see rtsp://host/live and  [31mred"
    assert Finding("ok", "a", "http://door/user=a&password=b now").found == "http://door/… now"
    assert len(Finding("ok", "a", "x" * 5000).found) < 500


def test_numpy_s_page_of_advice_is_left_out():
    text = "\n\nIMPORTANT: PLEASE READ THIS\n\n" * 20 + "Original error was: no _multiarray_umath\n"

    assert describe(ImportError(text)) == "ImportError: no _multiarray_umath"


@pytest.mark.parametrize("state", STATES)
def test_only_a_problem_ends_with_a_code(state):
    assert exit_code([GOOD, Finding(state, "a", "b", "true")]) == (state == "problem")


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "fer_edge", "exit_code", "took_s", "findings"],
    "properties": {
        "version": {"const": 1},
        "fer_edge": {"type": "string"},
        "exit_code": {"enum": [0, 1]},
        "took_s": {"type": "number", "minimum": 0},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["state", "name", "found", "cure"],
                "properties": {
                    "state": {"enum": list(STATES)},
                    "name": {"type": "string", "minLength": 1},
                    "found": {"type": "string", "minLength": 1},
                    "cure": {"type": "string"},
                },
                # What is not well has a cure.
                "if": {"properties": {"state": {"not": {"const": "ok"}}}},
                "then": {"properties": {"cure": {"minLength": 1}}},
            },
        },
    },
}


def test_the_document_has_its_documented_form():
    made = document([GOOD, Finding("problem", "a", "b", "true\nfalse")], 1.23456)

    jsonschema.validate(made, SCHEMA)
    assert (made["exit_code"], made["took_s"]) == (1, 1.235)
    text = (ROOT / "docs/troubleshooting.md").read_text()
    fields = [*SCHEMA["required"], *SCHEMA["properties"]["findings"]["items"]["required"]]
    assert [name for name in fields if f"`{name}`" not in text] == []


def test_the_lines_for_people():
    found = [GOOD, Finding("problem", "a", "b", "# first\ntrue"), Finding("note", "c", "d", "true")]

    assert [f"{state}|{text}" for state, text in lines(found, 1.26)] == [
        "ok|good: is good",
        "problem|a: b",
        "|cure: # first",
        "|      true",
        "note|c: d",
        "|cure: true",
        "|1 problem, 1 note, 1 ok; 1.3 s",
    ]


# ------------------------------------------------------------------------------ the command


@pytest.fixture
def told(monkeypatch):
    """Has the command find what the test says, and notes what it asked for."""

    def tell(*findings: Finding) -> list:
        asked = []

        def diagnose(command, **options):
            asked.append(options)
            return list(findings)

        monkeypatch.setattr(checks, "diagnose", diagnose)
        return asked

    return tell


def test_the_command_prints_and_ends_with_its_code(told):
    asked = told(GOOD, Finding("problem", "a", "b", "true"))

    result = CliRunner().invoke(cli, ["--config", "no/such.toml", "doctor", "--camera", "demo"])

    assert result.exit_code == 1
    assert result.stdout.splitlines()[:3] == [
        "ok       good: is good",
        "problem  a: b",
        "         cure: true",
    ]
    assert asked == [{"config": Path("no/such.toml"), "source": "demo", "limit_s": 4.0}]


def test_the_command_prints_a_document(told):
    told(GOOD)

    result = CliRunner().invoke(cli, ["doctor", "--json"])

    jsonschema.validate(json.loads(result.stdout), SCHEMA)
    assert result.exit_code == 0


def test_on_a_terminal_there_are_colours_and_cures_stay_in_one_line(monkeypatch, capsys):
    from fer_edge.edge.doctor.show import show

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    cure = "sudo " + "very " * 30 + "long"

    show([Finding("problem", "a", "b [bold]c", cure)], 1.0)

    out = capsys.readouterr().out
    assert "\x1b[1;31mproblem" in out
    assert "[bold]c" in out
    assert cure in out


def test_a_32_bit_system_is_told_at_once_and_alone(monkeypatch):
    python = Interpreter(bits=32, machine="aarch64")
    monkeypatch.setattr(interpreter, "read_interpreter", lambda root: python)
    monkeypatch.setattr(checks, "examine", lambda *_: pytest.fail("it looked further"))

    (finding,) = checks.diagnose(click.Group(), limit_s=HANG_S)

    assert finding.state == "problem"
    assert "32 bits on aarch64 (the kernel has 64, its programs have not)" in finding.found
    assert "64-bit" in finding.cure


def test_this_machine_is_diagnosed():
    """The real thing: every subject has a finding, and every cure is what a shell takes."""
    found = checks.diagnose(cli, limit_s=HANG_S)

    made = document(found, 1.0)
    jsonschema.validate(made, SCHEMA)
    names = {finding.name for finding in found}
    assert {"Python", "numpy", "OpenCV", "window", "runtime", "model fast", "Coral"} <= names
    assert {"packages", "extras", "picamera2", "configuration", "model yunet"} <= names
    assert any(name.startswith("camera") for name in names)
    assert any(name.startswith("disk") for name in names)
    assert [
        f for f in found if f.name in ("numpy", "runtime", "packages") and f.state != "ok"
    ] == []
    for finding in found:
        assert is_shell(finding.cure)


def is_shell(text: str) -> bool:
    return subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_looking_loads_nothing_native():
    script = (
        "import sys\n"
        "from fer_edge.edge.cli import cli\n"
        "from fer_edge.edge.doctor import checks, show\n"
        "checks.diagnose(cli, limit_s=20.0)\n"
        "print({'cv2', 'numpy', 'ai_edge_litert', 'flatbuffers', 'picamera2'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


def test_a_bad_configuration_does_not_stop_it(tmp_path, told):
    told(GOOD)
    (tmp_path / "bad.toml").write_text("[run]\nno-such = 1\n")

    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "bad.toml"), "doctor"])

    assert result.exit_code == 0


def test_the_configuration_is_checked(tmp_path, monkeypatch):
    bad = tmp_path / "bad.toml"
    bad.write_text('[run]\ncamera = ["rtsp://user:secret@door/live"]\n')
    monkeypatch.setenv("FER_EDGE_RUN_SMOOTHE", "1")

    found = checks._look_at_settings(cli, bad, 1.0)

    assert [(f.state, f.cure) for f in found] == [("problem", "fer-edge config check")] * 2
    assert "camera of `fer-edge run`" in found[0].found
    assert "secret" not in found[0].found
    assert "FER_EDGE_RUN_SMOOTHE is no option" in found[1].found
    good = tmp_path / "good.toml"
    good.write_text("[run]\nmirror = true\n")
    monkeypatch.delenv("FER_EDGE_RUN_SMOOTHE")
    (finding,) = checks._look_at_settings(cli, good, 1.0)
    assert (finding.state, finding.found) == ("ok", str(good))


def test_cures_quote_what_needs_it():
    python = Interpreter(executable="/home/me/my env/bin/python")

    assert shlex.split(python.pip("install x"))[0] == "/home/me/my env/bin/python"
