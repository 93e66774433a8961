"""Packages: NumPy, OpenCV, those that are pure Python, and the extras; why an import fails."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, requires, version

from .child import Heard, Outcome
from .finding import MORE_TIME, NOTE, OK, PROBLEM, WARNING, Finding, describe
from .interpreter import Interpreter, see_system_packages

#: Installed by pip, and nothing native comes with them: they are loaded here, in no child.
PURE = ("click", "platformdirs", "rich")
_OPENCVS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "ai_edge_litert": "ai-edge-litert"}
# How foreign code tells that it and NumPy were not built for each other.
_ABI = re.compile(
    r"numpy\.dtype size changed|_ARRAY_API not found|multiarray failed to import"
    r"|binary incompatibility|compiled using NumPy 1|Importing the numpy C-extensions failed"
)
_SCREEN = re.compile(r"\b(lib(?:GL|EGL|xcb|X|SM|ICE|gthread|glib)[\w.+-]*\.so[.\d]*)")


def explain(said: str, python: Interpreter, package: str) -> tuple[str, str]:
    """The cause of a failed import in a few words, and its cure. Pure.

    Args:
        said: What was raised, with what the process wrote before it ended.
        python: Where it is installed.
        package: For pip, where nothing better is known.
    """
    if _ABI.search(said):
        return (
            "it was built for another NumPy",
            python.pip(f"install {python.numpy} {python.opencv}"),
        )
    if missing := _SCREEN.search(said):
        return (
            f"the OpenCV with a window needs {missing[1]} of a desktop",
            python.pip("uninstall -y opencv-python opencv-contrib-python")
            + " && "
            + python.pip(f"install --force-reinstall --no-deps {python.opencv}"),
        )
    if re.search(r"No module named '(libcamera|pykms|prctl|kms)", said):
        apt = "sudo apt install -y python3-picamera2"
        # One from PyPI hides apt's.
        return "libcamera comes from apt only", (
            f"{python.pip('uninstall -y picamera2')}\n{apt}"
            + ("" if python.system_packages else f"\n{see_system_packages(python)}")
        )
    if missing := re.search(r"No module named '(\w+)", said):
        name = _DISTRIBUTIONS.get(missing[1], missing[1])
        return f"{name} is not installed", python.pip(f"install {_wanted(name, python)}")
    if "GLIBC" in said:
        return (
            "its wheel needs a newer system",
            "# write the present Raspberry Pi OS (64-bit) to the card with Raspberry Pi Imager",
        )
    return "", python.pip(f"install --force-reinstall {_wanted(package, python)}")


def _wanted(package: str, python: Interpreter) -> str:
    return python.opencv if package == "opencv-python-headless" else package


def failed(name: str, package: str, outcome: Outcome, heard: Heard, python: Interpreter) -> Finding:
    """The finding of a package that does not load, or did not within its time."""
    if outcome.late_s:
        return Finding(WARNING, name, f"loads slowly or never: {outcome.why}", MORE_TIME)
    cause, cure = explain(f"{outcome.why} {heard.said}", python, package)
    return Finding(PROBLEM, name, f"{cause}: {outcome.why}" if cause else outcome.why, cure)


# NumPy and OpenCV, as the child tells of them ------------------------------------------------


def judge_native(heard: Heard, python: Interpreter, twins: Iterable[str]) -> Iterator[Finding]:
    """NumPy, OpenCV and its window.

    Args:
        heard: The steps ``numpy``, ``OpenCV`` and ``window`` of :mod:`.vision`.
        python: Where they are installed.
        twins: Distributions of OpenCV that lie in one folder.
    """
    for name, package in (("numpy", "numpy"), ("OpenCV", "opencv-python-headless")):
        outcome = heard.get(name)
        if outcome is None:
            # The child did not even start, or NumPy is broken: OpenCV fails with it.
            if name == "numpy":
                why = heard.lost or heard.said or "nothing was told"
                yield failed(name, package, Outcome(why=why, late_s=heard.late), heard, python)
            return
        if outcome.why:
            yield failed(name, package, outcome, heard, python)
            return
        if name == "numpy":
            yield Finding(OK, name, f"{outcome.value['version']}, {outcome.value['path']}")
    yield from _judge_opencv(heard.value("OpenCV"), python, list(twins))
    yield _judge_window(heard.get("window"), heard.value("OpenCV"), python)


def _judge_opencv(opencv: dict, python: Interpreter, twins: list[str]) -> Iterator[Finding]:
    here = f"{opencv['version']}, {opencv['path']}"
    install = python.pip(f"install {python.opencv}")
    if not opencv["cascade"]:
        # As from 5 on; only who asks for haar by name misses it.
        what = "it has no cascades, so no detector haar; fer-face and yunet need none"
        yield Finding(NOTE, "OpenCV", f"{here}: {what}", python.pip(f"install {python.opencv_4}"))
    elif not opencv["yunet"]:
        what = "older than 4.8.1, which the detector yunet needs"
        yield Finding(WARNING, "OpenCV", f"{here}: {what}", install)
    elif len(twins) > 1:
        yield Finding(
            WARNING,
            "OpenCV",
            f"{here}: {' and '.join(twins)} share one folder, and each overwrites the other",
            f"{python.pip('uninstall -y ' + ' '.join(twins))} && {install}",
        )
    else:
        yield Finding(OK, "OpenCV", here)


def _judge_window(window: Outcome | None, opencv: dict, python: Interpreter) -> Finding:
    if window is not None and not window.why and window.value is None:
        return Finding(OK, "window", "OpenCV has window code, and there is a screen")
    why = "was not looked at" if window is None else window.why or str(window.value)
    # The commands in it are the cure.
    found = why.partition(" On a desktop:")[0]
    if "no window code" in why:
        series = ".".join(str(opencv["version"]).split(".")[:3])
        return Finding(
            NOTE,
            "window",
            found,
            python.pip("uninstall -y opencv-python-headless")
            + " && "
            + python.pip(f'install "opencv-python=={series}.*"'),
        )
    return Finding(NOTE, "window", found, "fer-edge run --camera 0 --serve")


def opencv_twins() -> list[str]:
    """Distributions of OpenCV that lie in one folder and so own the same ``cv2/``."""
    folders: dict[str, set[str]] = defaultdict(set)
    for name in _OPENCVS:
        with suppress(PackageNotFoundError):
            folders[str(distribution(name).locate_file(""))].add(name)
    return sorted(max(folders.values(), key=len, default=set()))


# Pure Python, and the extras -----------------------------------------------------------------


def look(
    python: Interpreter,
    _limit_s: float,
    load: Callable[[str], object] = import_module,
    names: Iterable[str] = PURE,
) -> Iterator[Finding]:
    """The check of what is pure Python, and of the extras."""
    broken = []
    for name in names:
        try:
            load(name)
        except Exception as exc:
            broken.append(name)
            yield Finding(
                PROBLEM,
                name,
                f"does not load: {describe(exc)}",
                python.pip(f"install --force-reinstall {name}"),
            )
    if not broken:
        yield Finding(OK, "packages", f"{', '.join(names)} load")
    yield judge_extras(_requirements(), _is_installed)


def judge_extras(requirements: Iterable[str], is_installed: Callable[[str], bool]) -> Finding:
    """Which extras are whole, as information.

    Args:
        requirements: As ``importlib.metadata.requires`` tells them.
        is_installed: By the name of a distribution.
    """
    wanted: dict[str, list[str]] = defaultdict(list)
    for requirement in requirements:
        if extra := re.search(r"""extra == ['"]([\w-]+)""", requirement):
            name = re.match(r"[\w.-]+", requirement)
            if extra[1] not in ("dev", "tflite-runtime") and name:
                wanted[extra[1]].append(name[0])
    there = [extra for extra, names in wanted.items() if all(map(is_installed, names))]
    absent = [extra for extra in wanted if extra not in there]
    found = "; ".join(
        f"{what}: {', '.join(which)}"
        for what, which in (("installed", there), ("not installed", absent))
        if which
    )
    return Finding(OK, "extras", found or "none is known here")


def _requirements() -> list[str]:
    try:
        return requires("fer-edge") or []
    except PackageNotFoundError:
        return []


def _is_installed(name: str) -> bool:
    return version_of(name) != ""


def version_of(name: str) -> str:
    """The version of a distribution, or an empty text; told without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
