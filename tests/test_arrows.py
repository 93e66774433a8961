"""The arrows between the four folders are those of the design; see ``arrows.py``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .arrows import (
    FOLDERS,
    MAX_LINES,
    ROOT,
    Module,
    Tree,
    bad_packages,
    bad_shape,
    bad_statements,
    heavy_clis,
    heavy_light_modules,
    read_tree,
    wrong_arrows,
)

# The tree as it is ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree() -> dict[str, Module]:
    found = read_tree(ROOT)
    assert {module.folder for module in found.values()} == set(FOLDERS)
    return found


def over_all(check: Callable[..., list[str]], tree: Tree, *further: object) -> str:
    """What a check finds in all modules, a line each, for a readable failure."""
    return "\n".join(line for module in tree.values() for line in check(module, *further))


def test_imports_follow_the_design(tree: Tree) -> None:
    assert over_all(wrong_arrows, tree, tree) == ""


def test_data_and_metrics_know_no_tensorflow(tree: Tree) -> None:
    assert "\n".join(heavy_light_modules(tree)) == ""


def test_command_lines_load_only_click(tree: Tree) -> None:
    assert "\n".join(heavy_clis(tree)) == ""


def test_no_assert_and_no_bare_exception(tree: Tree) -> None:
    assert over_all(bad_statements, tree) == ""


def test_modules_are_short_and_say_what_they_are_for(tree: Tree) -> None:
    assert over_all(bad_shape, tree) == ""


def test_setup_cfg_lists_every_package() -> None:
    assert "\n".join(bad_packages(ROOT)) == ""


# The walker itself: each rule can fail -------------------------------------------------------


def made_up(**sources: str) -> dict[str, Module]:
    """A tree from sources, the dots in the names as ``__``; a name's folder is its package."""
    packages = [Module(f"fer_edge.{folder}", '"""."""', True) for folder in FOLDERS]
    modules = [
        Module(f"fer_edge.{name.replace('__', '.')}", source) for name, source in sources.items()
    ]
    return {module.name: module for module in [*packages, *modules]}


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        # What the table allows.
        ("edge__a", "import numpy as np, os.path", None),
        ("edge__a", "from .records import Box", None),
        ("edge__cameras__a", "from ..records import Box", None),
        ("convert__a", "from ..edge.records import Box", None),
        ("convert__a", "from ..training import datasets", None),
        ("convert__a", "from ..training.metrics import accuracy", None),
        ("convert__a", "def f():\n    import tensorflow as tf", None),
        ("training__a", "import keras", None),
        ("benchmarks__a", "from ..training import train\nfrom ..convert.gate import x", None),
        # Each arrow that it does not have.
        ("edge__a", "from ..training import metrics", "edge imports training"),
        ("edge__a", "def f():\n    from ..convert import gate", "a:2: edge imports convert"),
        ("edge__cameras__a", "from ...benchmarks.loop import x", "edge imports benchmarks"),
        ("edge__a", "from ..training.nowhere import x", "edge imports training"),
        ("edge__a", "from .. import training", "edge imports training"),
        ("convert__a", "from ..training import train", "of which it may only datasets"),
        ("convert__a", "from ..training.architectures import x", "of which it may only datasets"),
        ("convert__a", "from ..benchmarks import loop", "convert imports benchmarks"),
        ("training__a", "from ..convert.gate import x", "training imports convert"),
        # Foreign packages.
        ("edge__a", "import tensorflow as tf", "imports tensorflow"),
        ("edge__a", "def f():\n    import keras.layers", "imports keras"),
        ("edge__a", "try:\n    import psutil\nexcept ImportError:\n    pass", "imports psutil"),
        ("edge__a", "class A:\n    from scipy import signal", "imports scipy"),
        ("convert__a", "import tensorflow", "imports tensorflow at the top"),
        ("convert__a", "import sklearn", "imports sklearn"),
        ("training__a", "import tensorflow", "imports tensorflow"),
        ("benchmarks__a", "import pandas", "imports pandas"),
        # Some only in a function, or for the type checker.
        ("edge__a", "import picamera2", "imports picamera2 at the top"),
        ("edge__a", "class A:\n    import libcamera", "imports libcamera at the top"),
        ("edge__a", "def f():\n    from picamera2 import Picamera2", None),
        ("edge__a", "async def f():\n    import libcamera", None),
        ("edge__a", "if TYPE_CHECKING:\n    import picamera2", None),
        ("edge__a", "if typing.TYPE_CHECKING:\n    import keras", None),
        ("edge__a", "if TYPE_CHECKING:\n    pass\nelse:\n    import keras", "imports keras"),
        # The type checker's imports of ours are arrows too.
        ("edge__a", "if TYPE_CHECKING:\n    from ..training import train", "imports training"),
        # Absolute names would make a second module object.
        ("edge__a", "import edge.records", "imports edge.records absolutely"),
        ("edge__a", "from edge.records import Box", "imports edge.records absolutely"),
        ("edge__a", "from fer_edge.edge.records import Box", "absolutely"),
        ("training__a", "def f():\n    import benchmarks", "imports benchmarks absolutely"),
        # Imports in strings, which only edge/cli.py may have.
        ("edge__a", "import_module('keras')", "imports keras"),
        ("edge__a", "importlib.import_module('fer_edge.training.train')", "absolutely"),
        ("edge__a", "__import__('tensorflow')", "imports tensorflow"),
        ("edge__a", "importlib.import_module(name)", None),
        ("edge__cli", "importlib.import_module('fer_edge.training.cli')", None),
    ],
)
def test_arrow_rules(name: str, source: str, expected: str | None) -> None:
    tree = made_up(
        edge__records="Box = 1",
        training__train="import keras",
        training__datasets="",
        training__metrics="",
        training__plots="",
        convert__gate="",
        benchmarks__loop="",
        **{name: source},
    )
    module = tree[f"fer_edge.{name.replace('__', '.')}"]

    found = wrong_arrows(module, tree)

    assert (found == []) if expected is None else (len(found) > 0 and expected in found[0])


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        # Only numpy: fine.
        ({"datasets": "import numpy"}, []),
        # Directly, and in a function.
        ({"metrics": "def f():\n    import keras"}, ["fer_edge.training.metrics: leads to keras"]),
        # Through a module of ours.
        (
            {"datasets": "from . import helper", "helper": "import tensorflow"},
            ["fer_edge.training.datasets: leads to tensorflow"],
        ),
        # A reader that is added later falls under the rule by its name.
        ({"dataset_new": "import keras"}, ["fer_edge.training.dataset_new: leads to keras"]),
        # Whoever trains may.
        ({"train": "import keras"}, []),
    ],
)
def test_light_training_rule(sources: dict[str, str], expected: list[str]) -> None:
    tree = made_up(**{f"training__{name}": source for name, source in sources.items()})

    assert heavy_light_modules(tree) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # The standard library, click, and what of ours is as light.
        ("import sys\nimport click\nfrom .errors import FerEdgeError", []),
        # Heavy ones belong into the command that needs them.
        ("def run():\n    import numpy\n    from . import records", []),
        ("import numpy", ["fer_edge.edge.cli: its top loads numpy (through fer_edge.edge.cli)"]),
        (
            "from . import records",
            ["fer_edge.edge.cli: its top loads numpy (through fer_edge.edge.records)"],
        ),
        ("from rich import print", ["fer_edge.edge.cli: its top loads rich (through f"]),
    ],
)
def test_command_line_rule(source: str, expected: list[str]) -> None:
    tree = made_up(edge__cli=source, edge__errors="", edge__records="import numpy")

    found = heavy_clis(tree)

    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_init_of_a_package_counts_for_its_modules() -> None:
    tree = made_up(training__datasets="")
    tree["fer_edge.training"] = Module("fer_edge.training", "from . import train", True)
    tree["fer_edge.training.train"] = Module("fer_edge.training.train", "import keras")

    assert heavy_light_modules(tree) == ["fer_edge.training.datasets: leads to keras"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a):\n    assert a", "a:2: assert"),
        ("raise Exception('no')", "a:1: raise Exception"),
        ("raise BaseException", "a:1: raise BaseException"),
        # Passing one on, and exact ones, are fine.
        ("try:\n    pass\nexcept OSError:\n    raise", None),
        ("raise ValueError('no')", None),
    ],
)
def test_statement_rule(source: str, expected: str | None) -> None:
    found = bad_statements(Module("fer_edge.edge.a", source))

    assert found == ([] if expected is None else [f"fer_edge.edge.{expected}"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""What."""\n' + "a = 1\n" * (MAX_LINES - 1), []),
        ('"""What."""\n' + "a = 1\n" * MAX_LINES, ["fer_edge.edge.a: 421 lines, more than 420"]),
        ("a = 1\n", ["fer_edge.edge.a: no docstring"]),
        ("", ["fer_edge.edge.a: no docstring"]),
        ('"""  """\n', ["fer_edge.edge.a: no docstring"]),
    ],
)
def test_shape_rule(source: str, expected: list[str]) -> None:
    assert bad_shape(Module("fer_edge.edge.a", source)) == expected


@pytest.mark.parametrize(
    ("listed", "files", "expected"),
    [
        ("edge convert training benchmarks", [], []),
        # A sub-package that an editable install would find and the wheel would lack.
        (
            "edge convert training benchmarks",
            ["edge/cameras/__init__.py"],
            ["fer_edge.edge.cameras is not listed: the wheel lacks it"],
        ),
        # Modules without an __init__.py are left out as silently.
        (
            "edge convert training benchmarks",
            ["training/detector/boxes.py"],
            ["fer_edge.training.detector is not listed: the wheel lacks it"],
        ),
        # Stale, or a folder that no clone has.
        (
            "edge edge.sinks convert training benchmarks",
            [],
            ["fer_edge.edge.sinks is listed and has no __init__.py"],
        ),
        ("edge edge convert training benchmarks", [], ["fer_edge.edge is listed twice"]),
    ],
)
def test_package_rule(tmp_path: Path, listed: str, files: list[str], expected: list[str]) -> None:
    for name in [*(f"{folder}/__init__.py" for folder in FOLDERS), *files]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "setup.cfg").write_text(
        "[options]\npackage_dir =\n"
        + "".join(f"    fer_edge.{folder} = {folder}\n" for folder in FOLDERS)
        + "packages =\n"
        + "".join(f"    fer_edge.{name}\n" for name in listed.split())
    )

    assert bad_packages(tmp_path) == expected


def test_read_tree_names_modules_as_users_import_them(tmp_path: Path) -> None:
    (tmp_path / "edge" / "cameras").mkdir(parents=True)
    (tmp_path / "edge" / "cameras" / "__init__.py").write_text('"""a"""')
    (tmp_path / "edge" / "cameras" / "demo.py").write_text('"""b"""')

    assert read_tree(tmp_path) == {
        "fer_edge.edge.cameras": Module("fer_edge.edge.cameras", '"""a"""', True),
        "fer_edge.edge.cameras.demo": Module("fer_edge.edge.cameras.demo", '"""b"""'),
    }
