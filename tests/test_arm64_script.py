"""scripts/test-arm64 on a played host, and the script that compares logits.

Stand-ins for what needs root, the network and an emulator write down what they are asked to do.
"""

import importlib.util
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fer_edge.edge.models import shipped_detectors

from .working_tree import ROOT, clean_environment

TOOLS = """
    bash basename cat chmod cp cut date dirname env flock git grep head install ln ls mkdir mv nproc
    readlink realpath rm sed seq tail tar tee touch tr wc
"""

# $FAIL is a text in the arguments of what fails in the root. The roots are no roots: a folder with
# what the script looks at.
STAND_INS = {
    "uname": 'echo "${MACHINE:-x86_64}"',
    "id": 'echo "${FAKE_UID:-0}"',
    "df": 'printf "Avail\\n %s\\n" "${FREE_MB:-20000}"',
    "du": "echo 250 x",
    "unshare": 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"',
    "mount": 'echo "mount $*" >>"$LOG"',
    "update-binfmts": 'echo "update-binfmts $*" >>"$LOG"',
    "qemu-aarch64-static": "echo qemu-aarch64 version 7.2",
    "debootstrap": """echo "debootstrap $*" >>"$LOG"
        folder=${*: -2:1}
        mkdir -p "$folder"/{bin,srv,proc,etc,opt/fer-edge} && touch "$folder/bin/sh"
        [[ ${FAIL:-} != debootstrap ]] || exit 1
        chmod +x "$folder/bin/sh" && echo 12.1 >"$folder/etc/debian_version" """,
    "chroot": """root=$1; shift
        [[ $* != "uname -m" ]] || { echo aarch64; exit; }
        echo "${root##*/}: $*" >>"$LOG"
        [[ -z ${FAIL:-} || $* != *"$FAIL"* ]] || exit 7
        case $* in
            *version_info*) echo 3.11 ;;
            *pytest*) echo "= 3 passed in 1 s =" ;;
            *" demo "*) seq 30 >"$root/srv/demo.jsonl" ;;
            *" answer "*) echo "$*" | grep -o 'srv/cortex[^ ]*' |
                { read -r file; touch "$root/$file"; } ;;
        esac""",
    # Also the python of the environment that it makes.
    "python3": """case $* in
        *"import ensurepip"*) echo "${VERSION:-3.11} ${VENV:-venv} $(readlink -f "$0")" ;;
        *" -m venv "*)
            mkdir -p "${*: -1}/bin" && ln -s "$(readlink -f "$0")" "${*: -1}/bin/python"
            ;;
        *" wheel "*) out=${*: -2:1}; mkdir -p "$out" && touch "$out/fer_edge-1-py3-none-any.whl" ;;
        *" faces "*) touch "${*: -1}" ;;
        *" compare "*) echo "| equal |"; [[ ${FAIL:-} != compare ]] ;;
    esac""",
}


class Host:
    """A Debian on x86-64."""

    def __init__(self, folder: Path) -> None:
        self.fakes, self.work, self.binfmt = folder / "fakes", folder / "work", folder / "binfmt"
        self.fakes.mkdir()
        self.binfmt.mkdir()
        (self.binfmt / "register").touch()
        (self.binfmt / "qemu-aarch64").write_text("enabled\nflags: PF\n")
        for name in TOOLS.split():
            (self.fakes / name).symlink_to(str(shutil.which(name)))
        for name, text in STAND_INS.items():
            path = self.fakes / name
            path.write_text(f"#!/usr/bin/env bash\n{text}\n")
            path.chmod(0o755)

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Run the script to its end: exit code, the result, and what it said."""
        done = subprocess.run(
            [ROOT / "scripts" / "test-arm64", "--work", self.work, *arguments],
            env={
                **clean_environment(),
                "PATH": str(self.fakes),
                "LOG": str(self.fakes / "log"),
                "FER_EDGE_BINFMT": str(self.binfmt),
                **variables,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    def log(self) -> list[str]:
        """What was done."""
        log = self.fakes / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("script", ["scripts/test-arm64", "scripts/_root.sh"])
def test_scripts_are_well_formed(script: str) -> None:
    path = ROOT / script
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
    # What is only sourced is no program.
    assert bool(path.stat().st_mode & stat.S_IXUSR) == (path.suffix == "")


def test_help_tells_every_option(host: Host) -> None:
    code, shown, _ = host.run("--help")

    assert code == 0
    assert all(option in shown for option in ("--release", "--work", "--faces", "--help", "-- "))
    assert (host.log(), host.work.exists()) == ([], False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--fast"], "no option --fast"),
        (["trixie"], "no option trixie"),
        (["--release", "sid"], "sid is neither"),
        (["--release"], "--release needs a value"),
        (["--work", "--release"], "--work needs a value"),
        (["--faces", "/no/faces.npy"], "no file /no/faces.npy"),
    ],
)
def test_wrong_arguments(host: Host, arguments: list[str], expected: str) -> None:
    code, shown, said = host.run(*arguments)

    assert (code, shown, host.log()) == (2, "", [])
    assert expected in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "missing", "expected"),
    [
        ({"FAKE_UID": "1000"}, [], "needs root. Run: sudo"),
        # On the very board there is nothing to compare with.
        ({"MACHINE": "aarch64"}, [], "this machine is aarch64"),
        ({}, ["debootstrap"], "apt-get install debootstrap\n"),
        (
            {},
            ["debootstrap", "qemu-aarch64-static", "git"],
            "apt-get install debootstrap git qemu-user-static\n",
        ),
        ({"VERSION": "3.10"}, [], "python3 is 3.10"),
        ({"VENV": "none"}, [], "sudo apt install python3-venv"),
        ({"FREE_MB": "100"}, [], "has 100 MB free"),
    ],
)
def test_an_unfit_host_is_refused_at_once(
    host: Host, variables: Mapping[str, str], missing: list[str], expected: str
) -> None:
    for name in missing:
        (host.fakes / name).unlink()
    # Or the next one is this machine's own.
    for name in ("python3.11", "python3.12", "python3.13"):
        (host.fakes / name).symlink_to(os.devnull)

    code, shown, said = host.run(**variables)

    assert (code, shown, host.log()) == (1, "", []), said
    assert expected in said
    assert said.count("\n") == 1


def test_an_emulator_that_the_kernel_does_not_know(host: Host) -> None:
    (host.binfmt / "qemu-aarch64").unlink()

    # What enables it is missing too, and is named.
    (host.fakes / "update-binfmts").rename(host.fakes / "away")
    assert "apt-get install binfmt-support\n" in host.run()[2]
    assert host.log() == []

    # It is enabled. Here that does not help, and it is not taken for granted.
    (host.fakes / "away").rename(host.fakes / "update-binfmts")
    code, shown, said = host.run()
    assert (code, shown) == (1, "")
    assert host.log() == ["update-binfmts --enable qemu-aarch64"]
    assert "without flag F" in said


def test_both_releases_and_then_one_again(host: Host) -> None:
    code, result, said = host.run()

    assert code == 0, said
    log = host.log()
    assert sum(line.startswith("debootstrap ") for line in log) == 2
    named = {word for line in log for word in line.split() if word.startswith("tests/edge/")}
    assert len(named) > 30
    assert all((ROOT / name).is_file() for name in named)
    for release in ("bookworm", "trixie"):
        mine = [line for line in log if line.startswith(f"{release}: ")]
        # In this order; the tests are of what is installed, without the sources beside them.
        words = "pi-setup --yes", "fer-edge doctor", "--camera demo", "-m pytest", "answer"
        found = [next(n for n, line in enumerate(mine) if word in line) for word in words]
        assert found == sorted(found)
        assert not (host.work / release / "srv/fer-edge/edge").exists()
        assert (host.work / release / "srv/fer-edge/tests/conftest.py").exists()
        assert f"## {release}\n" in result
        # Each board's processor, as its emulator plays it.
        answers = [line for line in mine if " answer " in line]
        for name, line in zip(("cortex-a72", "cortex-a53", "cortex-a76"), answers, strict=True):
            assert f"QEMU_CPU={name} " in line
            assert f"/srv/{name}.npz" in line
    assert result.count(" 3 passed in 1 s ") == 2
    assert "exit code" not in result

    # The bare root is used again, and what the last run left is not.
    (host.work / "trixie/srv/left").touch()
    (host.fakes / "log").unlink()
    code, result, said = host.run("--release", "trixie", "--", "tests/edge/test_sinks.py", "-x")
    assert code == 0, said
    assert not any(line.startswith(("debootstrap ", "bookworm: ")) for line in host.log())
    assert not (host.work / "trixie/srv/left").exists()
    assert "## bookworm" not in result
    (tests,) = [line for line in host.log() if "-m pytest" in line]
    assert tests.endswith(" tests/edge/test_sinks.py -x")


@pytest.mark.parametrize(
    ("fails", "row", "goes_on"),
    [
        ("debootstrap", "| root (debootstrap) | **exit code 1**", False),
        ("pi-setup --yes", "| pi-setup, the wheel with web and mqtt | **exit code 7**", False),
        ("-m pytest", "| the device's tests | **exit code 7**", True),
        ("compare", "equal to this machine's | **exit code 1**", True),
    ],
)
def test_what_fails_is_in_the_result(host: Host, fails: str, row: str, goes_on: bool) -> None:
    code, result, said = host.run("--release", "bookworm", FAIL=fails)

    assert code == 1
    assert row in result
    assert f"see {host.work}/bookworm.log" in said
    assert ("| equal |" in result) == goes_on
    # Only a whole root is kept.
    assert (host.work / "bare-bookworm").exists() == (fails != "debootstrap")


# The logits ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("logits", ROOT / "scripts/arm64_logits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_faces_vary_and_are_the_same_each_time(logits: ModuleType) -> None:
    faces = logits.made_faces()

    assert (faces.shape, faces.dtype) == ((500, 48, 48), np.uint8)
    assert len(np.unique(faces.reshape(500, -1), axis=0)) == 500
    assert (faces == logits.made_faces()).all()
    # Dark and bright ones, flat and contrasted ones.
    assert np.ptp(faces.mean(axis=(1, 2))) > 100
    assert np.ptp(faces.std(axis=(1, 2))) > 30


def test_the_answers_are_the_classifiers(logits: ModuleType, tmp_path: Path) -> None:
    faces = tmp_path / "faces.npy"
    np.save(faces, logits.made_faces()[:5])
    logits.main(["answer", str(faces), str(tmp_path / "here.npz"), "4", "2"])
    found = dict(np.load(tmp_path / "here.npz"))

    detectors = {path.stem for path in shipped_detectors().values()}
    named = {key.partition("/")[0] for key in found}
    assert named == {"accurate", "fast", "faces", *detectors}
    for name in ("accurate", "fast"):
        shipped = found[f"{name}/{logits.SHIPPED}"]
        assert (shipped.shape, shipped.dtype) == ((4, 7), np.int8)
        for kernels in logits.KERNELS:
            few = found[f"{name}/{kernels}"]
            assert few.shape == (2, 7)
            # Another rounding, the same network.
            assert np.abs(few.astype(int) - shipped[:2]).max() <= 16


def test_the_pictures_of_detectors_vary_and_depend_on_the_faces_alone(logits: ModuleType) -> None:
    faces = logits.made_faces()[:22]

    pictures = logits.made_pictures(faces, (96, 64))

    assert (pictures.shape, pictures.dtype) == ((5, 64, 96), np.uint8)
    assert (pictures == logits.made_pictures(faces, (96, 64))).all()
    # What a slower processor sees is the beginning of the same.
    few = logits.made_pictures(faces[:5], (96, 64))
    assert (few == pictures[:1]).all()
    assert len(np.unique(pictures.reshape(5, -1), axis=0)) == 5
    assert (pictures != logits.made_pictures(255 - faces, (96, 64))).any(axis=(1, 2)).all()


def save(path: Path, tables: dict[str, list[list[int]]], faces: str = "abc") -> str:
    arrays: dict[str, Any] = {key: np.array(rows, np.int8) for key, rows in tables.items()}
    np.savez(path, faces=np.array(faces), **arrays)
    return str(path)


@pytest.mark.parametrize(
    ("name", "other", "code", "cell"),
    [
        ("fast", [[1, 2], [4, 3]], 0, "equal (2 faces)"),
        # Fewer faces on the slow side.
        ("fast", [[1, 2]], 0, "equal (1 faces)"),
        ("fast", [[1, 2], [4, 1]], 1, "1 of 4 logits differ, by 2 steps at most; 0 of 2 labels"),
        (
            "fast",
            [[127, 2], [-128, 3]],
            1,
            "2 of 4 logits differ, by 132 steps at most; 2 of 2 labels",
        ),
        ("a detector", [[1, 2], [4, 3]], 0, "equal (2 pictures)"),
        (
            "a detector",
            [[127, 2], [-128, 3]],
            1,
            "2 of 4 numbers of 2 pictures differ, by 132 steps at most",
        ),
    ],
)
def test_comparing(
    logits: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    other: list[list[int]],
    code: int,
    cell: str,
) -> None:
    key = f"{name}/{logits.SHIPPED}"
    fast = {f"fast/{logits.SHIPPED}": [[1, 2]]} | {key: [[1, 2], [4, 3]]}
    here = save(tmp_path / "here.npz", {**fast, "fast/reference": [[1, 2]]})
    there = save(tmp_path / "there.npz", {**fast, key: other, "fast/reference": [[9, 9]]})

    with pytest.raises(SystemExit) as ended:
        logits.main(["compare", here, there])

    shown = capsys.readouterr().out
    # What does not ship may differ.
    assert ended.value.code == code
    assert f"| {name}, {logits.SHIPPED} | {cell} |" in shown
    assert "| fast, reference | 2 of 2 logits differ" in shown


def test_answers_for_other_faces_are_not_compared(logits: ModuleType, tmp_path: Path) -> None:
    key = f"fast/{logits.SHIPPED}"
    here = save(tmp_path / "here.npz", {key: [[1, 2]]})
    there = save(tmp_path / "there.npz", {key: [[1, 2]]}, faces="other")

    with pytest.raises(SystemExit, match="other faces"):
        logits.main(["compare", here, there])
