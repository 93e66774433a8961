"""Recording a neutral face: what is used, what is refused, and the command."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fer_edge.edge import EmotionReader
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.classifier import EmotionClassifier
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import DataError
from fer_edge.edge.personalise import Neutral, NeutralRecorder, make_profile
from fer_edge.edge.profile import load_profile, profile_folder, profile_names
from fer_edge.edge.records import Reading, Result

from ..conftest import EMOTIONS
from .conftest import HANG_S, a_face_at, a_frame, read_as, scores_of

DEMO = DemoCamera(size_wh=(320, 240), lossless=True)
# Of the demo's seven faces the happy one is the one that the model is surest of.
STILL = 42 * 3
FPS = 20


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


# --------------------------------------------------------------------------------------- recorder


def one(number: int = 1) -> Reading:
    return read_as(a_face_at(10, id=number), scores_of("sad", 0.6))


def unread(flaw: str = "blurred", number: int = 1) -> Reading:
    return Reading(a_face_at(10, id=number), 40.0, flaw=flaw)


def play(*scenes: tuple[float, list[Reading]], seconds: float = 4.0) -> Neutral:
    """Scenes of so many seconds at 10 frames a second, given to a recorder."""
    recorder, index = NeutralRecorder(seconds), 0
    for length_s, readings in scenes:
        for _ in range(round(length_s * 10)):
            frame = a_frame(index)
            if recorder.take(Result(frame, readings, frame.captured_ns)):
                return recorder.neutral()
            index += 1
    return recorder.neutral()


# Each case: what the camera sees, and how many frames are used of it.
GOOD = {
    "a face": ([(9, [one()])], 41),
    "a face that is waited for": ([(10, []), (3, [one(), one(2)]), (9, [one(3)])], 41),
    "blurred before it is read": ([(1, [unread()]), (9, [one()])], 41),
    "a mistake of the detector now and then": (
        [(1, [one()]), (0.3, [one(), one(2)]), (9, [one()])],
        38,
    ),
    "missing for a moment": ([(1, [one()]), (0.9, []), (9, [one()])], 32),
    "blurred for a while": ([(1, [one()]), (1.5, [unread()]), (9, [one()])], 26),
}


@pytest.mark.parametrize(("scenes", "used"), GOOD.values(), ids=GOOD)
def test_one_face_is_recorded_for_so_long(scenes, used) -> None:
    neutral = play(*scenes)

    assert neutral.scores.shape == (used, len(EMOTIONS))
    assert neutral.labels == EMOTIONS
    assert set(neutral.blocks) <= set(range(9))
    assert neutral.mean_scores()["sad"] == pytest.approx(0.6)
    assert neutral.mean_scores({"sad": -1.0})["sad"] < 0.6


# Each case: what the camera sees, and what is said of it.
BAD = {
    "nobody": ([(20, [])], "No face was seen for 15 s. Sit in front"),
    "two all the time": ([(20, [one(), one(2)])], "2 faces are in view for 15 s"),
    "too small all the time": ([(20, [unread("small")])], "could not be read (small) for 15 s"),
    "one who leaves": ([(2.5, [one()]), (9, [])], "The face left the picture after 2.4 s"),
    "another who comes": ([(2, [one()]), (9, [one(2)])], "The face left the picture after 1.9 s"),
    "one who joins": (
        [(2, [one()]), (9, [one(), one(2)])],
        "Several faces were in view in 21 of 41 frames",
    ),
    "blurred": (
        [(0.5, [one()]), (2, [unread()]), (2, [unread("cut")])],
        "Only 5 of 41 frames could be read (20 blurred, 16 cut). Come nearer",
    ),
    "a clip that is too short": ([(2, [one()])], "ended after 1.9 s of a face, expected 4 s"),
    "a clip without a face": ([(2, [])], "ended before one face, alone in the"),
    "nothing": ([], "ended before one face, alone in the"),
}


@pytest.mark.parametrize(("scenes", "said"), BAD.values(), ids=BAD)
def test_what_is_no_profile_of_one_face_is_refused(scenes, said) -> None:
    with pytest.raises(DataError) as caught:
        play(*scenes)

    assert said in str(caught.value)


def test_a_probability_of_nothing_is_a_number() -> None:
    scores = np.eye(len(EMOTIONS))[[4, 4]]

    profile = make_profile(
        "anna", Neutral(EMOTIONS, scores, np.arange(2)), EmotionClassifier.open()
    )

    assert np.isfinite(list(profile.offset.values())).all()
    assert profile.frames == 2


# ---------------------------------------------------------------------------------------- command


def clip(path: Path, seconds: float, *, pictures=None) -> Path:
    """A clip in which one of the demo's faces stands still, or of these pictures."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (320, 240))
    assert writer.isOpened()
    for index in range(round(seconds * FPS)):
        writer.write(pictures[index % len(pictures)] if pictures else DEMO.image(STILL))
    writer.release()
    return path


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command in this process."""
    result = CliRunner().invoke(cli, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


HAAR = ("--detector", "haar", "--seconds", 3)


def test_from_a_recording_to_its_use_and_its_end(tmp_path) -> None:
    still = clip(tmp_path / "still.avi", 4)
    (tmp_path / "face.png").write_bytes(cv2.imencode(".png", DEMO.image(STILL))[1].tobytes())
    lines = ("--camera", "face.png", "--detector", "haar", "--jsonl", "-", "--no-window")

    code, out, said = call("personalise", "--camera", still, "--name", "anna", *HAAR)
    assert code == 0
    assert "recording; keep a neutral face for 3 s" in said
    assert "`fer-edge run --profile anna` uses it" in said
    assert "the model took this face for happy" in said
    profile = load_profile("anna")
    assert profile.offset["happy"] < -1
    assert out.splitlines()[3].split() == ["happy", f"{profile.offset['happy']:.2f}"]
    # One small file in the user's folder, and nothing anywhere else.
    assert [path.name for path in profile_folder().iterdir()] == ["anna.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "face.png", "still.avi"]

    code, plain, said = call("run", *lines)
    assert (code, "profile" in said) == (0, False)
    code, personal, said = call("run", *lines, "--profile", "anna")
    assert code == 0
    assert "fer-edge: the profile 'anna' is applied to every face, whoever it is\n" in said
    before, after = (
        json.loads(text.splitlines()[0])["faces"][0]["scores"] for text in (plain, personal)
    )
    assert after["happy"] < before["happy"]
    assert after["neutral"] > before["neutral"]

    code, classified, _ = call(
        "classify", "face.png", "--json", "--profile", "anna", "--detector", "haar"
    )
    (read,) = EmotionReader(detector="haar", profile="anna").read("face.png")
    assert code == 0
    assert json.loads(classified)["faces"][0]["label"] == read.label

    assert call("personalise", "--list")[1].startswith("anna  20")
    code, _, said = call("personalise", "--delete", "anna")
    assert (code, list(profile_folder().iterdir())) == (0, [])
    code, out, said = call("personalise", "--list")
    assert (code, out) == (0, "")
    assert "there are no profiles in" in said


def test_a_name_that_is_taken_is_refused_before_anything_is_recorded(tmp_path) -> None:
    profile_folder().mkdir(parents=True)
    (profile_folder() / "me.json").write_text("precious")

    code, _, said = call("personalise", "--camera", "no-such.mp4")

    assert code == 1
    assert "There is a profile 'me' already" in said
    assert (profile_folder() / "me.json").read_text() == "precious"
    code, out, _ = call("personalise", "--list")
    assert code == 0
    assert "me  The profile" in out
    assert "is damaged" in out


# Each case: what was typed, the exit code, what is said.
MISTAKES = [
    ("personalise --camera no-such.mp4", 3, "'no-such.mp4' does not exist"),
    ("personalise --camera short.avi --detector haar", 1, "expected 10 s"),
    ("personalise --camera wall.avi --detector haar", 1, "ended before one face, alone in the"),
    ("personalise --camera demo --name ../x", 2, "is no name of a profile"),
    ("personalise --camera demo --model no-such", 4, "There is no model 'no-such'"),
    ("personalise --seconds 2", 2, "--seconds"),
    ("personalise --seconds nan", 2, "--seconds"),
    ("personalise --list --delete me", 2, "pass one of them"),
    ("personalise --delete me", 2, "There is no profile 'me': known are none."),
    ("run --camera demo --profile me", 2, "There is no profile 'me'"),
    ("classify wall.png --profile me", 2, "There is no profile 'me'"),
]


@pytest.mark.parametrize(("typed", "code", "said"), MISTAKES)
def test_a_mistake_has_its_exit_code_and_leaves_no_profile(tmp_path, typed, code, said) -> None:
    clip(tmp_path / "short.avi", 1)
    wall = np.full((240, 320, 3), 120, np.uint8)
    clip(tmp_path / "wall.avi", 1, pictures=[wall])
    (tmp_path / "wall.png").write_bytes(cv2.imencode(".png", wall)[1].tobytes())

    found, out, told = call(*typed.split())

    assert (found, out) == (code, "")
    assert said in told
    assert profile_names() == []


def test_a_profile_of_another_model_ends_the_run_before_the_camera_is_opened(tmp_path) -> None:
    still = clip(tmp_path / "still.avi", 4)
    assert call("personalise", "--camera", still, *HAAR, "--model", "fast")[0] == 0

    code, _, said = call("run", "--camera", "no-such.mp4", "--profile", "me")

    assert code == 4
    assert "The profile 'me' was made with the model fast" in said
    assert "`fer-edge personalise --name me --overwrite --model …`" in said


def test_several_faces_make_no_profile(tmp_path) -> None:
    face = cv2.resize(DEMO.image(STILL), (160, 120))
    both = clip(tmp_path / "both.avi", 4, pictures=[np.vstack([np.hstack([face, face])] * 2)])

    code, _, said = call("personalise", "--camera", both, *HAAR)

    assert code == 1
    assert "before one face, alone in the picture, could be read" in said
    assert profile_names() == []


def test_ctrl_c_ends_a_recording_and_keeps_nothing(tmp_path) -> None:
    command = [sys.executable, "-m", "fer_edge.edge.cli", "personalise", "--camera", "demo"]
    with subprocess.Popen(
        [*command, "--seconds", "100", "--detector", "haar"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "recording" in line:
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=HANG_S)

    assert process.returncode == 130
    assert "Traceback" not in said
    assert profile_names() == []
