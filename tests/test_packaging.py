"""What users get: what a command loads, what the wheel holds, and that it runs when installed.

The slow tests build the wheel from a copy of the tree and install it into fresh environments: with
this Python, and with those that the variable FER_EDGE_PYTHONS names (paths joined by colons).
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.sidecar import write_sidecar

from .conftest import a_contract, a_face, rows_of_each, tiny_tflite, write_csv
from .working_tree import ROOT, clean_environment, copy_tree, tracked_files

FOLDERS = ("edge", "convert", "training", "benchmarks")
TRAINING_ONLY = {"tensorflow", "keras", "matplotlib", "sklearn"}
DEMO = ("run", "--camera", "demo", "--no-window")


def loaded_by(
    arguments: list[str], folder: Path, missing: tuple[str, ...] = ()
) -> tuple[int, str, set[str]]:
    """Run a command in a Python of its own: exit code, stderr, top names of what it loaded.

    Packages that are named as missing cannot be imported there.
    """
    listing = folder / "modules.json"
    script = f"""
import json, sys
sys.argv = ["fer-edge", *{arguments!r}]
sys.modules.update(dict.fromkeys({missing!r}))
from fer_edge.edge.cli import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
names = sorted({{name.partition(".")[0] for name, module in sys.modules.items() if module}})
with open({str(listing)!r}, "w") as file:
    json.dump([code, names], file)
"""
    # -I: without the folder that it runs in, which pytest's own process has on its path.
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=folder,
        # What data is parsed into goes where the test ends.
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert listing.exists(), done.stderr
    code, names = json.loads(listing.read_text())
    return code, done.stderr, set(names)


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        # Help must not wait for anything that is big.
        (["--help"], TRAINING_ONLY | {"cv2", "numpy", "ai_edge_litert", "rich"}),
        (["--version"], TRAINING_ONLY | {"cv2", "numpy", "ai_edge_litert", "rich"}),
        (["run", "--help"], TRAINING_ONLY | {"cv2", "numpy", "ai_edge_litert"}),
        # The other folders' too.
        (["train", "--help"], TRAINING_ONLY | {"cv2", "numpy"}),
        (["evaluate", "--help"], TRAINING_ONLY | {"cv2", "numpy"}),
        (["compare", "--help"], TRAINING_ONLY | {"cv2", "numpy"}),
        (["convert", "--help"], TRAINING_ONLY | {"cv2", "numpy"}),
        (["benchmark", "--help"], TRAINING_ONLY | {"cv2", "numpy"}),
        (["models", "--help"], TRAINING_ONLY | {"cv2", "numpy"}),
        (["models", "path", "fast"], TRAINING_ONLY | {"cv2"}),
        # The device never loads what is for training, though it is installed here.
        ([*DEMO, "--frames", "3"], TRAINING_ONLY | {"paho", "psutil"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_command_loads(tmp_path: Path, arguments: list[str], unwanted: set[str]) -> None:
    code, err, loaded = loaded_by(arguments, tmp_path)

    assert code == 0, err
    # It has seen the process at all.
    assert "click" in loaded
    assert loaded & unwanted == set()


def test_the_list_of_loaded_modules_sees_what_is_loaded(tmp_path: Path) -> None:
    _, _, loaded = loaded_by([*DEMO, "--frames", "1"], tmp_path)

    assert {"cv2", "numpy", "ai_edge_litert"} <= loaded


# What each command is given; `prepared` puts the files there.
NEEDING = {
    "convert": ["convert", "x.keras"],
    "train": ["train", "--data", "data.csv", "--out", "run"],
    "evaluate": ["evaluate", "x.keras", "--data", "data.csv"],
    "benchmark": ["benchmark", "report", "figures.json", "-o", "page.html"],
    "evaluate tflite": ["evaluate", "small.tflite", "--data", "data.csv"],
}


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder with models and data that nothing but a missing package is wrong with."""
    model = tmp_path / "x.keras"
    model.write_bytes(b"never read")
    write_sidecar(model, a_contract())
    (tmp_path / "small.tflite").write_bytes(embed_contract(tiny_tflite(), a_contract()))
    write_csv(tmp_path / "data.csv", rows_of_each(Training=2, PublicTest=1))
    labels = np.repeat(np.arange(7), 80)
    faces = np.stack([a_face(seed) for seed in range(len(labels))])
    np.savez(tmp_path / "x.calibration.npz", images=faces, labels=labels)
    (figures,) = (ROOT / "docs/results").glob("loop-*-again.json")
    shutil.copy(figures, tmp_path / "figures.json")
    clip = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    for seed in range(3):
        clip.write(cv2.cvtColor(a_face(seed, (64, 48)), cv2.COLOR_GRAY2BGR))
    clip.release()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        ("benchmark", ("matplotlib",), "report"),
        ("convert", ("tensorflow", "keras"), "train"),
        ("train", ("tensorflow", "keras"), "train"),
        # [report] is enough for a .tflite, and not for a .keras.
        ("evaluate tflite", ("sklearn",), "report"),
        ("evaluate", ("tensorflow", "keras"), "train"),
    ],
)
def test_the_extra_that_is_named_has_what_is_missing(
    prepared: Path, command: str, missing: tuple[str, ...], extra: str
) -> None:
    code, err, _ = loaded_by(NEEDING[command], prepared, missing)

    assert code == 1, err
    assert f'pip install "fer-edge[{extra}]"' in err


def test_the_version_is_the_distributions(tmp_path: Path) -> None:
    script = (
        "from importlib.metadata import version\n"
        "from fer_edge.edge.version import __version__\n"
        "print(__version__, version('fer-edge'))"
    )
    printed = subprocess.check_output([sys.executable, "-I", "-c", script], cwd=tmp_path, text=True)
    ours, distributions = printed.split()

    assert ours == distributions


# The wheel -----------------------------------------------------------------------------------


def pythons() -> list:
    """This Python and the further ones on offer."""
    others = [path for path in os.environ.get("FER_EDGE_PYTHONS", "").split(os.pathsep) if path]
    none = pytest.mark.skip(reason="FER_EDGE_PYTHONS names no further Python")
    return [
        pytest.param(sys.executable, id="this"),
        *(pytest.param(path, id=Path(path).name) for path in others),
        *([] if others else [pytest.param("", id="others", marks=none)]),
    ]


@dataclass(frozen=True)
class Installed:
    """A fresh environment with the wheel in it."""

    folder: Path

    def python(self, script: str) -> str:
        """Run a script in it and return what it prints."""
        return self._run("python", "-I", "-c", script, cwd=self.folder).stdout.strip()

    def fer_edge(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the installed command, from a folder that is not the repository."""
        return self._run("fer-edge", *arguments, cwd=cwd)

    def _run(self, name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "bin" / name, *arguments],
            cwd=cwd,
            env=clean_environment(XDG_CACHE_HOME=str(self.folder / "cache")),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def install(python: str, folder: Path, *requirements: str) -> Installed:
    """Make an environment and install into it, one after the other, as a user would."""
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "-qq"]
    for command in (
        [python, "-I", "-m", "venv", str(folder)],
        *([*pip, requirement] for requirement in requirements),
    ):
        done = subprocess.run(
            command,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}"
    return Installed(folder)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From a copy, because setuptools leaves a build folder in the tree.
    tree = copy_tree(tmp_path_factory.mktemp("tree"))
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(tree)],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session", params=pythons())
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    return install(request.param, tmp_path_factory.mktemp("base") / "env", str(wheel))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_the_wheel_holds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    ours = {name for name in names if name.startswith("fer_edge/")}
    info = {name.partition("/")[2] for name in names - ours}

    # Nothing of ours lies where it could meet another project's `training` or `convert`.
    roots = {name.partition("/")[0] for name in names - ours}
    assert len(roots) == 1
    assert roots.pop().endswith(".dist-info")
    assert {"licenses/LICENSE", "licenses/LICENSE-WEIGHTS.md", "entry_points.txt"} <= info

    in_tree = [path for path in tracked_files() if path.parts[0] in FOLDERS]
    for suffix in (".py", ".tflite"):
        expected = {f"fer_edge/{path}" for path in in_tree if path.suffix == suffix}
        assert expected
        assert {name for name in ours if name.endswith(suffix)} == expected
    demo = {f"fer_edge/{path}" for path in in_tree if path.parent == Path("edge/assets")}
    assert {Path(name).suffix for name in demo} >= {".png", ".json"}
    assert demo <= ours
    assert {f"fer_edge/{folder}/py.typed" for folder in FOLDERS} <= ours
    # The float masters stay in the repository: they are for training, and big.
    assert [name for name in ours if name.endswith(".keras")] == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_wheel_runs_in_a_fresh_environment(installed: Installed, tmp_path: Path) -> None:
    shown = installed.fer_edge("--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "run" in shown.stdout

    played = installed.fer_edge(*DEMO, "--frames", "20", "--jsonl", "-", cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    # Nothing but data on stdout.
    assert len([json.loads(line) for line in played.stdout.splitlines()]) == 20

    # It ran without all that, and from what was installed.
    present = installed.python(
        "from importlib.util import find_spec\n"
        f"print([name for name in {sorted(TRAINING_ONLY)} if find_spec(name)])"
    )
    assert present == "[]"
    place = installed.python("import fer_edge.edge; print(fer_edge.edge.__file__)")
    assert Path(place).is_relative_to(installed.folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("benchmark", "report"),
        ("convert", "train"),
        ("train", "train"),
        ("evaluate tflite", "report"),
    ],
)
def test_a_missing_extra_is_named(
    installed: Installed, prepared: Path, command: str, extra: str
) -> None:
    arguments = NEEDING[command]

    helped = installed.fer_edge(arguments[0], "--help", cwd=prepared)
    assert helped.returncode == 0, helped.stderr

    refused = installed.fer_edge(*arguments, cwd=prepared)
    assert refused.returncode == 1, refused.stderr
    assert f'pip install "fer-edge[{extra}]"' in refused.stderr
    assert "Traceback" not in refused.stderr


# The numpy of Raspberry Pi OS, by the Python of its release.
SYSTEMS_NUMPY = {"3.11": "1.24.2", "3.13": "2.2.4"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("python", pythons())
def test_the_systems_numpy_stays(wheel: Path, tmp_path: Path, python: str) -> None:
    # Its picamera2 is built against this numpy and may die with another one, so no requirement,
    # nor one of a requirement, may replace it.
    asked = [python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    version = subprocess.check_output(asked, text=True).strip()
    if version not in SYSTEMS_NUMPY:
        pytest.skip(f"no release of Raspberry Pi OS has Python {version}")
    numpy = SYSTEMS_NUMPY[version]

    installed = install(python, tmp_path / "env", f"numpy=={numpy}", str(wheel))
    assert installed.python("import numpy; print(numpy.__version__)") == numpy

    played = installed.fer_edge(*DEMO, "--frames", "5", "--jsonl", "-", cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    assert len(played.stdout.splitlines()) == 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime ends at Python 3.11")
def test_the_tflite_runtime_runs(wheel: Path, tmp_path: Path) -> None:
    # It dies with numpy 2, so its extra must keep that out.
    installed = install(sys.executable, tmp_path / "env", f"{wheel}[tflite-runtime]")
    assert installed.python("import numpy; print(numpy.__version__)").startswith("1.")

    played = installed.fer_edge(
        *DEMO, "--frames", "5", "--runtime", "tflite", "--jsonl", "-", cwd=tmp_path
    )

    assert played.returncode == 0, played.stderr
    assert len(played.stdout.splitlines()) == 5
