"""Comparing the loop with the tutorial: the arithmetic, and the order of runs."""

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks import versus
from fer_edge.benchmarks.clips import RepeatedClip, enough_loops, read_clip
from fer_edge.benchmarks.contenders import CONTENDERS, OURS, TUTORIAL, play
from fer_edge.benchmarks.protocol import Request, Run
from fer_edge.benchmarks.versus import Versus, measure_versus, summarise
from fer_edge.edge.errors import CameraError, FerEdgeError, ModelError, UsageError
from fer_edge.edge.sidecar import write_sidecar

from ..conftest import a_contract
from .conftest import a_run, write_clip


@pytest.fixture
def keras(tmp_path: Path) -> Path:
    """A file that passes for a .keras model as long as nobody loads it."""
    path = tmp_path / "model.keras"
    path.write_bytes(b"weights")
    write_sidecar(path, a_contract())
    return path


@pytest.fixture
def plan(clip: Path, keras: Path, tiny_model: Path) -> Callable[..., Versus]:
    """A plan with these fields changed."""

    def build(**changes) -> Versus:
        fields = {"clip": clip, "keras": keras, "model": str(tiny_model), "cores": 1}
        return Versus(**{**fields, **changes})

    return build


def fake_play(request: Request) -> Run:
    """Ours is five times as fast; the steps lie between."""
    fps = {TUTORIAL: 10.0, OURS: 50.0}.get(request.contender, 20.0)
    return a_run(request.contender, fps)


# ---------------------------------------------------------------------------------- summarise


@pytest.mark.parametrize(
    ("tutorial", "ours", "ratio", "smallest", "largest"),
    [
        # One run of each.
        ([10], [40], 4.0, 4.0, 4.0),
        # The medians of an odd and an even number of runs.
        ([10, 20, 10], [60, 50, 40], 5.0, 2.5, 6.0),
        ([10, 20], [45, 60], 3.5, 3.0, 4.5),
        # One bad run of each is outvoted, but seen in the spread.
        ([10, 10, 2], [50, 25, 50], 5.0, 2.5, 25.0),
        # Slower.
        ([10], [5], 0.5, 0.5, 0.5),
    ],
)
def test_ratios(tutorial, ours, ratio: float, smallest: float, largest: float) -> None:
    runs = [
        a_run(name, fps)
        for pair in zip(tutorial, ours, strict=True)
        for name, fps in zip((TUTORIAL, OURS), pair, strict=True)
    ]

    found = summarise(runs)

    assert found.ratio == pytest.approx(ratio)
    assert found.ratio_smallest == pytest.approx(smallest)
    assert found.ratio_largest == pytest.approx(largest)


_rates = st.floats(0.1, 1000.0)


@given(st.lists(st.tuples(_rates, _rates), min_size=1, max_size=9))
def test_the_ratio_of_medians_lies_between_the_pairs(pairs: list[tuple[float, float]]) -> None:
    runs = [a_run(*run) for pair in pairs for run in zip((TUTORIAL, OURS), pair, strict=True)]

    found = summarise(runs)

    rounding = 1 + 1e-9
    assert found.ratio_smallest <= found.ratio * rounding
    assert found.ratio <= found.ratio_largest * rounding
    for score, rates in zip(found.scores, zip(*pairs, strict=True), strict=True):
        assert score.median_fps == pytest.approx(median(rates))
        assert min(score.fps) <= score.median_fps <= max(score.fps)


@given(st.permutations([10.0, 20.0, 30.0]), st.permutations([40.0, 50.0, 90.0]))
def test_medians_do_not_depend_on_the_order(tutorial: list[float], ours: list[float]) -> None:
    runs = [a_run(TUTORIAL, fps) for fps in tutorial] + [a_run(OURS, fps) for fps in ours]

    assert summarise(runs).ratio == pytest.approx(2.5)


def test_scores() -> None:
    runs = [
        a_run(TUTORIAL, 10.0),
        a_run("one-thread", 20.0, faces=70),
        a_run(OURS, 40.0, faces=80),
        a_run(TUTORIAL, 20.0),
        a_run("one-thread", 40.0, faces=70),
        a_run(OURS, 80.0, faces=80),
    ]

    scores = summarise(runs).scores

    # The baseline first, ours last.
    assert [score.contender for score in scores] == [TUTORIAL, "one-thread", OURS]
    assert [score.fps for score in scores] == [(10, 20), (20, 40), (40, 80)]
    assert [score.faces for score in scores] == [90, 70, 80]
    assert [score.gain for score in scores] == pytest.approx([1, 2, 4])
    assert [(score.gain_smallest, score.gain_largest) for score in scores] == [
        (1, 1),
        (2, 2),
        (4, 4),
    ]
    # Each builds 1.5 s of CPU time into a second: 150 ms at 10 frames/s, 75 at 20.
    assert scores[0].cpu_ms_per_frame == pytest.approx(112.5)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "equally many runs of tutorial and fer-edge"),
        ([a_run(TUTORIAL)], "equally many runs"),
        ([a_run(OURS)], "equally many runs"),
        ([a_run(TUTORIAL), a_run(OURS), a_run(OURS)], "'tutorial': 1, 'fer-edge': 2"),
        # A decoder that gives up half way would look fast.
        (
            [a_run(TUTORIAL), a_run(OURS, frames=50)],
            "not played the same frames: {'tutorial': 100, 'fer-edge': 50}",
        ),
    ],
)
def test_runs_that_cannot_be_compared(runs: list[Run], message: str) -> None:
    with pytest.raises(FerEdgeError, match=message):
        summarise(runs)


# ------------------------------------------------------------------------------------ measure


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (False, [TUTORIAL, OURS] * 2),
        # With the steps between: all of them in each round.
        (True, [*CONTENDERS] * 2),
    ],
)
def test_contenders_alternate(plan, parts: bool, expected: list[str]) -> None:
    asked: list[Request] = []
    told: list[str] = []

    def noting(request: Request) -> Run:
        asked.append(request)
        return fake_play(request)

    measure_versus(plan(repeat=2, parts=parts), play=noting, progress=told.append)

    assert [request.contender for request in asked] == expected
    # All else is the same for everybody.
    assert len({(r.clip, r.keras, r.model, r.loops, r.cores) for r in asked}) == 1
    assert len(asked[0].cores) == 1
    # 300 frames a run: thirty times the ten of the clip.
    assert asked[0].loops == 30
    assert told[0] == "run 1 of 2: tutorial"
    assert told[-1] == "run 2 of 2: fer-edge"


def test_models_know_whether_they_are_the_same(keras: Path, tmp_path: Path) -> None:
    from fer_edge.edge.contract_file import embed_contract
    from fer_edge.edge.sidecar import read_sidecar

    from ..conftest import tiny_tflite

    for name, parent, same in (
        ("converted", read_sidecar(keras).content_sha256, True),
        ("other", "0" * 64, False),
        ("unknown", "", False),
    ):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(embed_contract(tiny_tflite(), a_contract(parent_sha256=parent)))

        assert versus.read_models(keras, str(path)).same is same


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"cores": 10_000}, UsageError, "--cores 10000"),
        ({"clip": Path("missing.mp4")}, CameraError, r"no clip missing\.mp4"),
        # A file of another kind.
        ({"clip": Path(__file__)}, CameraError, "is no video"),
        ({"keras": Path("missing.keras")}, ModelError, r"no model missing\.keras"),
        ({"model": "missing.tflite"}, ModelError, "There is no model"),
    ],
)
def test_what_cannot_be_measured_is_told_before_a_run(plan, changes, kind, message: str) -> None:
    with pytest.raises(kind, match=message):
        measure_versus(plan(**changes), play=lambda request: pytest.fail("a run was started"))


def test_a_model_for_colours_is_refused(plan, keras: Path) -> None:
    write_sidecar(keras, a_contract(input_channels=3))

    with pytest.raises(ModelError, match="takes 3 channels"):
        measure_versus(plan(), play=fake_play)


@pytest.mark.parametrize("missing", ["tensorflow", "keras"])
def test_missing_tensorflow_is_noticed_without_loading_it(
    plan, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(versus, "find_spec", lambda name: None if name == missing else object())

    with pytest.raises(ModuleNotFoundError) as caught:
        measure_versus(plan(), play=fake_play)

    # The command line makes its pip line from the name.
    assert caught.value.name == missing


# -------------------------------------------------------------------------------------- clips


@pytest.mark.parametrize(
    ("frames", "loops"), [(1, 300), (77, 4), (299, 2), (300, 1), (301, 1), (100_000, 1)]
)
def test_enough_loops(frames: int, loops: int) -> None:
    assert enough_loops(frames) == loops


@pytest.mark.parametrize(("frames", "loops"), [(1, 1), (1, 3), (4, 1), (4, 3)])
def test_a_repeated_clip_is_one_stream(tmp_path: Path, frames: int, loops: int) -> None:
    path = write_clip(tmp_path / "short.avi", frames, (64, 64))

    with RepeatedClip(path, loops) as camera:
        read = list(iter(camera.read, None))
        assert camera.read() is None

    assert [frame.index for frame in read] == list(range(frames * loops))
    # One stream of time, too, at the clip's 30 frames a second.
    assert [frame.time_ns for frame in read] == [round(k * 1e9 / 30) for k in range(len(read))]
    # It begins anew each time.
    assert all((read[k].image == read[k % frames].image).all() for k in range(len(read)))
    assert read_clip(path).frames == frames


# --------------------------------------------------------------------------------- contenders


@pytest.mark.parametrize("contender", ["tutorial-int8", "one-thread", OURS])
def test_contenders_without_keras(clip: Path, tiny_model: Path, contender: str) -> None:
    cores = tuple(sorted(os.sched_getaffinity(0)))
    request = Request(contender, str(clip), "none.keras", str(tiny_model), 2, cores)

    run = play(request)

    assert run.contender == contender
    assert run.frames == 20
    assert 16 <= run.faces <= 24
    assert run.seconds > 0
    assert run.cpu_seconds > 0
    assert {"python", "numpy", "opencv", "litert"} <= run.versions.keys()
