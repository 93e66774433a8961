"""What a finished run leaves: the model, its contract, its faces and what it reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from ..edge.contract import ModelContract
from ..edge.errors import UsageError
from ..edge.framing import FER2013
from ..edge.sidecar import write_sidecar
from .card import classifier_card
from .checkpoints import RunState, write_npz, write_whole
from .datasets import EMOTIONS, SIDE_PX, Dataset, balanced_indices
from .measure import measure
from .recipes import Recipe
from .result import write_result


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a run and has no part in it.

    Attributes:
        name: Of the model, in its contract; the recipe's if it is empty.
        variant: What was changed in the recipe, for tables.
        licence: Terms of the weights, for the contract.
    """

    name: str = ""
    variant: str = ""
    licence: str = ""


def training_part(data: Dataset, recipe: Recipe) -> Dataset:
    """The training images that a recipe uses.

    Raises:
        UsageError: Its share is not above 0 and at most 1.
    """
    if not 0 < recipe.share <= 1:
        raise UsageError(f"share is {recipe.share}; expected above 0 and at most 1.")
    training = data.split("Training")
    return training if recipe.share == 1 else training.sampled(recipe.share, seed=recipe.seed)


def finish(
    out: Path,
    network: keras.Model,
    recipe: Recipe,
    state: RunState,
    data: Dataset,
    choose_on: str,
    made_from: Mapping[str, Any],
    words: Words,
) -> ModelContract:
    """Write what a run folder holds at its end, ``result.json`` last.

    Args:
        out: The run folder.
        network: Float32, as it is to be saved.
        recipe: It was made by.
        state: Of the run; of one without epochs, an empty one.
        data: With Training and ``choose_on``.
        choose_on: The split that it was chosen on.
        made_from: Beside the data: fields of the contract's ``training_data``.
        words: For the contract and for tables.

    Returns:
        The contract of ``out/model.keras``.
    """
    target = out / "model.keras"
    write_whole(target, lambda path: network.save(path))
    training = training_part(data, recipe)
    rows = balanced_indices(
        training.labels, per_class=recipe.calibration_per_class, seed=recipe.seed
    )
    write_calibration(out / "model.calibration.npz", training.take(rows))
    validation = data.split(choose_on)
    result = measure(network, target, recipe, words.variant, state, training, validation, choose_on)
    contract = ModelContract(
        name=words.name or recipe.name,
        labels=EMOTIONS,
        input_size_wh=(SIDE_PX, SIDE_PX),
        framing=FER2013,
        output="logits",
        training_data={
            "name": data.name,
            "sha256": data.digest,
            "counts": data.counts(),
            "skipped": data.skipped,
            "ferplus": recipe.targets.ferplus,
            **made_from,
            "chosen_on": choose_on,
        },
        recipe={**recipe.to_dict(), "best_epoch": state.best_epoch},
        metrics=(
            {
                "name": "accuracy",
                "value": round(result.accuracy, 5),
                "split": choose_on,
                "count": result.count,
                "of": "float",
            },
        ),
        card=classifier_card(parameters=result.parameters, multiply_adds=result.multiply_adds),
        licence=words.licence,
    )
    written = write_sidecar(target, contract)
    # Last, because it says that the run is finished.
    write_result(out / "result.json", result)
    return written


def write_calibration(path: Path, faces: Dataset) -> None:
    """Write the faces that the int8 conversion takes its ranges from."""
    write_npz(path, {"images": faces.images, "labels": faces.labels}, compressed=True)
