"""One model from several of the same network: the mean of their weights.

Runs that went on from the same weights end in the same valley, so that their mean is a model as
well, often about as good as the best of them, and costs a face nothing (Wortsman et al., "Model
soups", ICML 2022, arXiv:2203.05482; with the model that they started from as one of them, "Robust
fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903). Runs from different weights do not
mix: their mean knows nothing. What it was worth here: docs/decisions/0020-mean-of-runs.md.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.contract import ModelContract
from ..edge.errors import UsageError
from ..edge.sidecar import file_sha256
from .architectures import build_network
from .checkpoints import RunState, write_whole
from .datasets import Dataset
from .earlier import load_same
from .finish import Words, finish, training_part
from .mirror import check_symmetric, settle, tie
from .norms import drawn, measure_norms
from .recipes import Recipe, check

_NORM_IMAGES = 6400


def average(
    data: Dataset, out: Path, recipe: Recipe, models: Sequence[Path], licence: str = ""
) -> ModelContract:
    """Save the mean of several models' weights, as a run folder like that of a training.

    Args:
        data: With Training rows, for batch norm's statistics, and those it is measured on.
        out: The run folder; it must be new or empty.
        recipe: Of the network of all models; its name is that of the mean. Batch norm's statistics
            are measured over so many images as its ``norm_images`` says; where that is 0, 6,400.
        models: ``.keras`` files, two at least, all different.
        licence: Terms of the weights, for the contract.

    Returns:
        The contract of ``out/model.keras``.

    Raises:
        UsageError: Fewer than two models, the same one twice, one that is not symmetric where the
            recipe says ``mirror``, or ``out`` holds something.
        ModelError: A model is missing, damaged or of another network.
        DataError: The data has no Training rows.
    """
    check(recipe)
    digests = [file_sha256(path) for path in models]
    _check_different(models, digests)
    data, choose_on = data.with_validation(seed=recipe.seed)
    network = build_network(recipe)
    if recipe.mirror:
        tie(network.layers)
    weights = [_weights(network, path) for path in models]
    _make_folder(out, {"recipe": recipe.to_dict(), "averaged": digests})
    network.set_weights(
        [np.mean(each, axis=0, dtype=np.float64) for each in zip(*weights, strict=True)]
    )
    images = training_part(data, recipe).images
    # Those of the models are of other weights; of their mean they say little.
    measure_norms(network, drawn(images, recipe.norm_images or _NORM_IMAGES, recipe.seed))
    settle(network)
    made_from = {"left_out_sha256": "", "averaged": digests}
    words = Words(variant=f"mean of {len(models)} models", licence=licence)
    return finish(out, network, recipe, RunState([]), data, choose_on, made_from, words)


def _weights(network: Any, path: Path) -> list[np.ndarray]:
    weights = load_same(network, path, "model").get_weights()
    network.set_weights(weights)
    check_symmetric(network, f"The model {path}")
    return weights


def _check_different(models: Sequence[Path], digests: Sequence[str]) -> None:
    if len(models) < 2:
        raise UsageError(f"Expected two models or more to average, got {len(models)}.")
    for number, digest in enumerate(digests):
        first = digests.index(digest)
        if first != number:
            raise UsageError(
                f"{models[number]} is the same model as {models[first]}; expected different ones. "
                f"Name each once."
            )


def _make_folder(out: Path, about: Mapping[str, Any]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UsageError(f"{out} is not empty: pass another --out.")
    except OSError as exc:
        raise UsageError(f"Cannot make the run folder {out}: {exc.strerror}.") from exc
    text = json.dumps(about, indent=1) + "\n"
    write_whole(out / "recipe.json", lambda path: path.write_text(text))
