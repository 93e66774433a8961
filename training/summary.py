"""The architecture of a model in words, and as a diagram where Graphviz is installed."""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import keras

from .checkpoints import write_whole
from .costs import multiply_adds


def write_summary(model: Path, out: Path) -> list[Path]:
    """Write ``architecture.txt``, and ``architecture.png`` where Graphviz's ``dot`` is found.

    Args:
        model: A ``.keras`` file of ours.
        out: The folder.

    Returns:
        The files that were written.
    """
    network: Any = keras.saving.load_model(model, safe_mode=True, compile=False)
    text = io.StringIO()
    network.summary(line_length=100, print_fn=lambda line, **_: text.write(line + "\n"))
    text.write(f"{multiply_adds(network):,} multiply-adds an image\n")
    written = [out / "architecture.txt"]
    write_whole(written[0], lambda path: path.write_text(text.getvalue()))
    if shutil.which("dot") is None:
        print("no diagram: Graphviz (`dot`) is not installed", file=sys.stderr)
        return written
    try:
        import pydot  # noqa: F401  # type: ignore[import-not-found]
    except ImportError:
        print("no diagram: pip install pydot", file=sys.stderr)
        return written
    picture = out / "architecture.png"
    keras.utils.plot_model(
        network, to_file=str(picture), show_shapes=True, show_layer_names=True, dpi=96
    )
    return [*written, picture]
