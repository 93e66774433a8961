"""Walks the imports of the four folders, and finds the arrows that the design does not have.

The rules are data at the top; ``test_arrows.py`` tests `walk` and the functions under it on made-up
sources, so that each rule is known to be able to fail, and then asks them of the tree as it is.
"""

import ast
import configparser
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("edge", "convert", "training", "benchmarks")
MAX_LINES = 420

# What reads the data, scores the answers and draws the reports: of training, convert may use this
# much, and none of it may load TensorFlow.
LIGHT_TRAINING = (
    "datasets",
    "dataset_readers",
    "dataset_cache",
    "metrics",
    "temperature",
    "plots",
    "pages",
    "markdown",
    "detector.found",
    "detector.scenes",
    "detector.score",
)

# Which of our folders a folder may import; a tuple of module names narrows it down.
OURS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "edge": {},
    "convert": {"edge": None, "training": LIGHT_TRAINING},
    "training": {"edge": None},
    "benchmarks": {"edge": None, "convert": None, "training": None},
}

# What a folder may import beside the standard library, anywhere in a module.
_EDGE = {
    "numpy",
    "cv2",
    "ai_edge_litert",
    "tflite_runtime",
    "flatbuffers",
    "click",
    "rich",
    "platformdirs",
}
ANYWHERE = {
    "edge": _EDGE,
    "convert": _EDGE,
    "training": _EDGE | {"keras", "sklearn", "scipy", "matplotlib", "jinja2"},
    "benchmarks": _EDGE | {"matplotlib", "keras", "tensorflow", "psutil"},
}
# What it may import in addition, but only in a function: it is big, or there on some machines only.
LAZILY = {
    "edge": {"picamera2", "libcamera"},
    "convert": {"tensorflow", "keras"},
    "training": {"kagglehub", "pydot", "torch"},
    "benchmarks": {"fer"},
}
# What one package of a folder may import in addition; others reach it in functions only.
IN_PACKAGE = {
    "fer_edge.edge.mqtt": {"paho"},
    "fer_edge.edge.web": {"prometheus_client", "starlette", "uvicorn"},
}
# What importing a cli.py may load, at its top and at the top of what of ours it imports there.
CLI_TOP = {"click"}


@dataclass(frozen=True)
class Import:
    """One imported module: its full name, where, and at what time it is imported."""

    target: str
    line: int
    lazy: bool = False
    typing_only: bool = False
    absolute_ours: bool = False

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One source file, under the name that users import it by."""

    name: str
    source: str
    is_package: bool = False

    @property
    def folder(self) -> str:
        return self.name.split(".")[1]

    @property
    def is_cli(self) -> bool:
        last = self.name.rpartition(".")[2]
        return last == "cli" or last.endswith("_cli")


Tree = Mapping[str, Module]


def read_tree(root: Path) -> dict[str, Module]:
    """All modules of the four folders, by name."""
    tree = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            name = ".".join(["fer_edge", *(parts[:-1] if is_package else parts)])
            tree[name] = Module(name, path.read_text(encoding="utf-8"), is_package)
    return tree


def walk(module: Module, tree: Tree) -> list[Import]:
    """All imports of a module, relative ones resolved, with those in functions and strings."""
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool, typing_only: bool) -> None:
        for target, absolute in _targets(node, module, tree):
            line = getattr(node, "lineno", 0)
            found.append(Import(target, line, lazy, typing_only, absolute))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            # Decorators and defaults run at the top, but an import cannot stand there.
            lazy = True
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            for child in node.body:
                visit(child, lazy, True)
            for child in node.orelse:
                visit(child, lazy, typing_only)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, lazy, typing_only)

    visit(ast.parse(module.source), lazy=False, typing_only=False)
    return found


def _targets(node: ast.AST, module: Module, tree: Tree) -> Iterable[tuple[str, bool]]:
    """The modules that one node imports, each with whether it names one of ours absolutely."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, _is_absolute_ours(alias.name)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.name.split(".")
            # One dot is the package that the module lies in; a package lies in itself.
            up = node.level - 1 if module.is_package else node.level
            base = ".".join([*parts[: len(parts) - up], *([base] if base else [])])
        for alias in node.names:
            full = f"{base}.{alias.name}"
            absolute = not node.level and _is_absolute_ours(base)
            yield (full if full in tree else base), absolute
    elif (
        isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("import_module", "importlib.import_module", "__import__")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
        and not node.args[0].value.startswith(".")
        # It names the commands of the other folders as strings and imports them when called.
        and module.name != "fer_edge.edge.cli"
    ):
        yield node.args[0].value, _is_absolute_ours(node.args[0].value)


def _is_absolute_ours(name: str) -> bool:
    return name.partition(".")[0] in ("fer_edge", *FOLDERS)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def wrong_arrows(module: Module, tree: Tree) -> list[str]:
    """Imports that the design's table does not have, as ``name:line: what``."""
    found = []
    for item in walk(module, tree):
        problem = None
        if item.absolute_ours:
            problem = f"imports {item.target} absolutely; import relatively"
        elif item.top == "fer_edge":
            problem = _wrong_of_ours(module, item)
        elif item.top not in sys.stdlib_module_names and not item.typing_only:
            if item.top in ANYWHERE[module.folder] | _of_package(module.name):
                continue
            if item.top in LAZILY[module.folder]:
                problem = None if item.lazy else f"imports {item.top} at the top, not in a function"
            else:
                problem = f"imports {item.top}"
        if problem:
            found.append(f"{module.name}:{item.line}: {problem}")
    return found


def _of_package(name: str) -> set[str]:
    """What a module may import because of the package that it lies in."""
    return set().union(*(names for within, names in IN_PACKAGE.items() if name.startswith(within)))


def _wrong_of_ours(module: Module, item: Import) -> str | None:
    folder, _, rest = item.target.removeprefix("fer_edge").lstrip(".").partition(".")
    if folder == module.folder:
        return None
    allowed = OURS[module.folder]
    if folder not in allowed:
        return f"{module.folder} imports {folder or 'fer_edge'}"
    narrowed = allowed[folder]
    if narrowed is not None and rest not in narrowed:
        return f"{module.folder} imports {item.target}, of which it may only {', '.join(narrowed)}"
    return None


def reached(start: str, tree: Tree, *, lazy: bool) -> dict[str, str]:
    """Foreign modules (top names) that importing a module of ours leads to, and through which.

    With ``lazy`` also what its functions import when they are called.
    """
    foreign: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in tree:
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        # Importing a module runs the __init__ of the packages that it lies in, too.
        waiting.append(parent)
        for item in walk(tree[name], tree):
            if item.typing_only or (item.lazy and not lazy):
                continue
            if item.top == "fer_edge":
                waiting.append(item.target)
            elif item.top not in sys.stdlib_module_names:
                foreign.setdefault(item.top, name)
    return foreign


def heavy_light_modules(tree: Tree) -> list[str]:
    """Modules of training that must know no TensorFlow, and lead to it."""
    found = []
    for name in tree:
        folder, _, rest = name.removeprefix("fer_edge.").partition(".")
        if folder == "training" and (rest in LIGHT_TRAINING or rest.startswith("dataset_")):
            bad = {"keras", "tensorflow"} & reached(name, tree, lazy=True).keys()
            found += [f"{name}: leads to {foreign}" for foreign in sorted(bad)]
    return found


def heavy_clis(tree: Tree) -> list[str]:
    """Files cli.py whose import loads more than click."""
    return [
        f"{name}: its top loads {foreign} (through {through})"
        for name, module in tree.items()
        if module.is_cli
        for foreign, through in reached(name, tree, lazy=False).items()
        if foreign not in CLI_TOP
    ]


def bad_statements(module: Module) -> list[str]:
    """``assert`` and ``raise Exception``, which say nothing to a user and vanish under ``-O``."""
    found = []
    for node in ast.walk(ast.parse(module.source)):
        if isinstance(node, ast.Assert):
            found.append(f"{module.name}:{node.lineno}: assert")
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(raised, ast.Name) and raised.id in ("Exception", "BaseException"):
                found.append(f"{module.name}:{node.lineno}: raise {raised.id}")
    return found


def bad_shape(module: Module) -> list[str]:
    """A module that is too long to be read in one go, or does not say what it is for."""
    found = []
    lines = module.source.count("\n")
    if lines > MAX_LINES:
        found.append(f"{module.name}: {lines} lines, more than {MAX_LINES}")
    if not (ast.get_docstring(ast.parse(module.source)) or "").strip():
        found.append(f"{module.name}: no docstring")
    return found


def bad_packages(root: Path) -> list[str]:
    """Differences between the packages on disk and those that setup.cfg puts into the wheel."""
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    listed = config["options"]["packages"].split()
    mapped = dict(
        line.replace(" ", "").split("=")
        for line in config["options"]["package_dir"].strip().splitlines()
    )
    on_disk = {
        ".".join(["fer_edge", *path.parent.relative_to(root).parts])
        for folder in FOLDERS
        for path in (root / folder).rglob("*.py")
    }
    found = [f"{name} is listed twice" for name in sorted(set(listed)) if listed.count(name) > 1]
    found += [f"{name} is not listed: the wheel lacks it" for name in sorted(on_disk - set(listed))]
    for name in sorted(set(listed)):
        # A folder without a file is in no clone, and then nothing can be installed.
        if not (root / Path(*name.split(".")[1:]) / "__init__.py").is_file():
            found.append(f"{name} is listed and has no __init__.py")
    if mapped != {f"fer_edge.{folder}": folder for folder in FOLDERS}:
        found.append(f"package_dir is {mapped}")
    return found
