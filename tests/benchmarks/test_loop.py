"""The real loop on clips and on demo faces: what is counted, and what is said of it."""

from pathlib import Path

import pytest

from fer_edge.benchmarks import loop
from fer_edge.benchmarks.clips import PacedClip, read_film
from fer_edge.benchmarks.crowd import MOST_FACES, write_crowd
from fer_edge.benchmarks.loop import LoopPlan, TimedClip, measure_loop, run_once
from fer_edge.benchmarks.rules import Effort
from fer_edge.benchmarks.session import Session
from fer_edge.benchmarks.versus import Found, Models, summarise
from fer_edge.edge.detectors import open_detector
from fer_edge.edge.errors import CameraError, SinkError, UsageError

from ..conftest import a_contract
from ..edge.conftest import ScriptedClassifier, ScriptedDetector
from .conftest import a_run, write_clip

BRIEF = Effort(repeats=2, seconds=0.05, warmup_s=0.0, quick=True)


# -------------------------------------------------------------------------------------- crowd


@pytest.mark.parametrize("faces", [0, 1, 3, MOST_FACES])
def test_a_crowd_has_as_many_faces_as_it_says(tmp_path: Path, faces: int) -> None:
    film = read_film(write_crowd(tmp_path / "crowd.avi", faces))
    detector = open_detector("haar")

    found = [len(detector.detect(film.pictures[index])) for index in range(0, 120, 10)]

    assert len(film.pictures) == 120
    # Haar overlooks every fourth; it must not see one where there is none.
    assert max(found) <= faces
    assert sum(found) >= 0.6 * faces * len(found)


@pytest.mark.parametrize("faces", [-1, MOST_FACES + 1])
def test_no_other_crowd(tmp_path: Path, faces: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 8 faces"):
        write_crowd(tmp_path / "crowd.avi", faces)


def test_a_crowd_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="does its folder exist"):
        write_crowd(tmp_path / "no folder" / "crowd.avi", 1)


# ------------------------------------------------------------------------------------ one run


def test_a_timed_clip_goes_on_over_the_end_of_its_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "short.avi", 3, (64, 64))

    with TimedClip(path, 0.3) as camera:
        frames = list(iter(camera.read, None))
        assert camera.read() is None

    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len(frames) > 3


def test_as_fast_as_it_goes_nothing_is_dropped(clip: Path) -> None:
    with TimedClip(clip, 0.2) as camera:
        found = run_once(camera, ScriptedDetector(), ScriptedClassifier(), paced=False)

    assert found["fps"] == found["capture_fps"] == found["classify_fps"]
    assert 0 < found["unique_labelled"] <= found["fps"]
    assert found["faces_found"] > 0
    assert not {"dropped", "age_p95"} & found.keys()


def test_what_a_camera_would_see(clip: Path) -> None:
    slow = ScriptedClassifier(pause_s=0.02)

    with PacedClip(clip, 2, 200.0) as camera:
        found = run_once(camera, ScriptedDetector(), slow, paced=True)

    # The classifier makes at most 50 of the 200 frames a second.
    assert found["dropped"] > 40
    assert found["age_p50"] <= found["age_p95"] <= found["age_p99"]
    assert found["age_p50"] >= 20
    assert found["processor_share"] > 0
    assert found["memory"] > 10


def test_a_frame_counts_once_and_only_with_a_name(clip: Path) -> None:
    with TimedClip(clip, 0.1) as camera:
        found = run_once(camera, ScriptedDetector(lambda _: []), ScriptedClassifier(), paced=False)

    assert found["unique_labelled"] == 0
    assert found["faces_found"] == 0


# -------------------------------------------------------------------------------- the section


def figures_of(session: Session, metric: str) -> list[tuple[object, object]]:
    """Faces and rate of each figure of a metric."""
    return [
        (figure.of.get("faces"), figure.of["rate"])
        for figure in session.document().figures
        if figure.metric == metric
    ]


def test_capacity_by_faces_and_rates_of_the_demo(tiny_model: Path) -> None:
    session = Session("fer-edge benchmark loop", BRIEF)

    measure_loop(
        session, LoopPlan(rates=(60, 120), faces=(0, 2), detector="haar", model=str(tiny_model))
    )

    assert figures_of(session, "fps") == [(0, 0), (2, 0), (1, 60), (1, 120)]
    assert figures_of(session, "age_p95") == [(1, 60), (1, 120)]
    document = session.document()
    assert all(len(figure.values) == 2 for figure in document.figures)
    assert {figure.section for figure in document.figures} == {"loop"}
    assert [model.name for model in document.models] == ["tiny"]
    assert document.missing == {
        "the usual tutorial": "it needs --keras FILE, the float model that it runs"
    }


def test_the_settings_take_turns_and_an_interruption_keeps_what_was_finished(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, played, said = loop.run_once, [], []

    def run_thrice(camera, *arguments, paced: bool) -> dict[str, float]:
        if len(played) == 3:
            raise KeyboardInterrupt
        played.append(paced)
        return once(camera, *arguments, paced=paced)

    monkeypatch.setattr(loop, "run_once", run_thrice)
    session = Session("fer-edge benchmark loop", BRIEF, say=said.append)
    plan = LoopPlan(rates=(120,), faces=(0,), detector="haar", model=str(tiny_model))

    with pytest.raises(KeyboardInterrupt):
        measure_loop(session, plan)

    assert played == [False, True, False]
    assert said == [
        "loop: 2 settings in turn, 2 times, about 1 min",
        "loop: 1 of 2: 0 faces, as fast as it goes",
        "loop: 1 of 2: 1 face, 120 frames/s",
        "loop: 2 of 2: 0 faces, as fast as it goes",
        "loop: 2 of 2: 1 face, 120 frames/s",
    ]
    document = session.document()
    assert document.state == "interrupted"
    counts = [len(figure.values) for figure in document.figures if figure.metric == "fps"]
    assert counts == [2, 1]


def test_a_clip_of_the_user_is_measured_as_it_is(clip: Path, tiny_model: Path) -> None:
    session = Session("fer-edge benchmark loop", BRIEF)

    measure_loop(session, LoopPlan(clip, rates=(60,), detector="haar", model=str(tiny_model)))

    assert figures_of(session, "fps") == [(None, 0), (None, 60)]
    of = session.document().figures[0].of
    assert of["clip"] == "faces.avi"
    assert str(clip.parent) not in str(of)


def test_a_clip_without_faces_is_measured_and_has_no_labels(
    tmp_path: Path, tiny_model: Path
) -> None:
    nobody = write_crowd(tmp_path / "nobody.avi", 0)
    session = Session("fer-edge benchmark loop", BRIEF)

    measure_loop(session, LoopPlan(nobody, rates=(), detector="haar", model=str(tiny_model)))

    values = {figure.metric: figure.median for figure in session.document().figures}
    assert values["fps"] > 0
    assert values["unique_labelled"] == values["faces_found"] == 0


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"cores": 10_000}, UsageError, "--cores 10000"),
        ({"clip": Path("missing.mp4")}, CameraError, r"no clip missing\.mp4"),
        ({"detector": "none"}, UsageError, "no detector 'none'"),
    ],
)
def test_what_cannot_be_measured(tiny_model: Path, changes, kind, message: str) -> None:
    session = Session("fer-edge benchmark loop", BRIEF)

    with pytest.raises(kind, match=message):
        measure_loop(session, LoopPlan(**{"model": str(tiny_model), "detector": "haar", **changes}))
    assert session.document().figures == ()


def test_the_tutorial_beside_it(
    clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = tmp_path / "float.keras"
    keras.write_bytes(b"weights")
    runs = [a_run("tutorial", 10), a_run("fer-edge", 50), a_run("tutorial", 20)]
    runs.append(a_run("fer-edge", 60, others_cores=0.5))
    models = Models(("float.keras", "a"), ("tiny.tflite", "b"), same=False)
    found = Found(models, tuple(runs), summarise(runs))
    monkeypatch.setattr(loop, "read_models", lambda *_: models)
    monkeypatch.setattr(loop, "measure_versus", lambda asked, progress: found)
    session = Session("fer-edge benchmark loop", BRIEF)
    plan = LoopPlan(clip, rates=(), detector="fer-face", model=str(tiny_model), keras=keras)

    measure_loop(session, plan)

    document = session.document()
    ratios = {
        figure.of["contender"]: figure.values
        for figure in document.figures
        if figure.metric == "ratio_to_tutorial"
    }
    # Each run against the one that stood beside it.
    assert ratios == {"tutorial": (1, 1), "fer-edge": (5, 3)}
    detectors = {f.of["detector"] for f in document.figures if "contender" in f.of}
    assert detectors == {"haar"}, "both find faces as the tutorial does"
    assert any("other processes used 0.5 cores" in each for each in document.invalid)
    assert "was not converted from float.keras" in document.notes[0]
    assert document.missing == {}


def test_without_tensorflow_the_tutorial_is_missing_and_the_rest_is_there(
    clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_edge.benchmarks import versus
    from fer_edge.edge.sidecar import write_sidecar

    keras = tmp_path / "float.keras"
    keras.write_bytes(b"weights")
    write_sidecar(keras, a_contract())
    monkeypatch.setattr(versus, "find_spec", lambda name: None)
    session = Session("fer-edge benchmark loop", BRIEF)
    plan = LoopPlan(clip, rates=(), detector="haar", model=str(tiny_model), keras=keras)

    measure_loop(session, plan)

    assert 'pip install "fer-edge[train]"' in session.document().missing["the usual tutorial"]
    assert figures_of(session, "fps") == [(None, 0)]
