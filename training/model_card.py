"""The model card as a page of Markdown: what a contract says and what an evaluation measured.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019 (arXiv:1810.03993). Every figure
in it comes from the two; what nobody measured is not in it.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..edge.contract import ModelContract
from ..edge.errors import DataError
from ..edge.files import replacing
from .evaluate import Report
from .markdown import table
from .metrics import Evaluation, percent, percent_interval
from .recipe_book import RECIPES

# Of neutral faces, as a face at rest is the one most often wronged: told from this share on.
_TELLING = 0.05


def require_writable(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a path that :func:`write_card` would refuse, before the work is done.

    Raises:
        DataError: As :func:`write_card`.
    """
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists. Pass --overwrite to replace it, or another --card.")
    if not path.parent.is_dir():
        raise DataError(f"Cannot write {path}: the folder {path.parent} does not exist.")


def write_card(path: Path, report: Report, size_bytes: int, *, overwrite: bool = False) -> None:
    """Write :func:`model_card` to a file, whole or not at all.

    Args:
        path: Where to.
        report: Of the model.
        size_bytes: Of its file.
        overwrite: Replace a file that is there.

    Raises:
        DataError: It exists and may not be replaced, or cannot be written.
    """
    require_writable(path, overwrite=overwrite)
    text = model_card(report, size_bytes)
    try:
        with replacing(path) as partial:
            partial.write_text(text)
    except OSError as exc:
        raise DataError(f"Cannot write {path}: {exc.strerror}.") from exc


def model_card(report: Report, size_bytes: int) -> str:
    """The whole page.

    Args:
        report: Of the model.
        size_bytes: Of its file.
    """
    sections = (
        _head(report.contract, report.model, size_bytes),
        _figures(report),
        _limits(report),
        _repeat(report),
    )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _head(contract: ModelContract, model: str, size_bytes: int) -> Iterator[str]:
    card, recipe, data = contract.card, contract.recipe, contract.training_data
    yield f"# Model card: {contract.name}"
    yield ""
    yield f"`{model}`; `fer-edge inspect` prints what the file says of itself."
    yield ""
    rows = [("what it does", card.get("use", "")), ("labels", ", ".join(contract.labels))]
    rows.append(("network", _network(recipe)))
    size = f"{size_bytes / 1e6:.2f} MB {contract.quantisation.get('type', 'float32')}"
    if "parameters" in card:
        size += f", {card['parameters']:,} parameters"
    if "multiply_adds" in card:
        size += f", {card['multiply_adds'] / 1e6:.1f} million multiply-adds a face"
    rows += [("size", size), ("data", _data(data)), ("training", _training(recipe, data))]
    if contract.calibration:
        faces = f"ranges from {contract.calibration.get('count')} Training faces"
        rows.append(("int8", "; ".join([faces, *_lost(contract.metrics)])))
    rows += [("licence", contract.licence or "none named")]
    rows += [("digest in its contract", f"`{contract.content_sha256[:16]}…`")]
    yield from table(("", ""), [row for row in rows if row[1]], text_columns=2)


def _network(recipe: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in recipe.get("options", {}).items())
    return f"`{recipe.get('network', 'not known')}` ({options}), on 48x48 grey crops"


def _data(data: Mapping[str, Any]) -> str:
    used = data.get("counts", {}).get("Training")
    votes = " and the FER+ votes" if data.get("ferplus", "none") != "none" else ""
    images = f" ({used:,} Training images)" if used else ""
    return f"FER-2013{images}{votes}; no image is part of the file"


def _training(recipe: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    averaged = len(data.get("averaged", ()))
    if averaged:
        return (
            f"the mean of the weights of {averaged} models of this network; chosen on "
            f"{data.get('chosen_on')}"
        )
    schedule, optimiser = recipe.get("schedule", {}), recipe.get("optimiser", {})
    chosen = f"chosen on {data.get('chosen_on')}"
    if schedule.get("keep") == "last":
        chosen = "the last, whatever it reached"
    parts = [
        f"recipe `{recipe.get('name')}`",
        f"{schedule.get('epochs')} epochs of {optimiser.get('name')}, {schedule.get('shape')}",
        f"seed {recipe.get('seed')}",
        f"epoch {recipe.get('best_epoch')}, {chosen}",
    ]
    teachers = len(data.get("teachers", ()))
    if teachers:
        parts.insert(1, f"taught by {teachers} other model{'s' if teachers > 1 else ''}")
    if data.get("start_sha256"):
        parts.insert(1, "started from an earlier model's weights")
    return "; ".join(parts)


def _lost(metrics: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for metric in metrics:
        if metric.get("name") == "lost_points":
            yield (
                f"costs {metric['value']:.2f} points of {metric['split']} "
                f"({metric['low']:.2f} to {metric['high']:.2f}) against the float model"
            )


def _figures(report: Report) -> Iterator[str]:
    scores, contract = report.scores, report.contract
    yield "## Figures"
    yield ""
    chosen_on = contract.training_data.get("chosen_on")
    yield f"{report.split} of {report.data.name}: {scores.count:,} images, one view of each where"
    yield "no other is told; 95 % intervals (Wilson), of the chance of the images, not of training."
    if chosen_on == report.split:
        yield f"**It was chosen on {report.split}**, so the figures are a little too good."
    yield ""
    interval = percent_interval(scores.interval)
    rows = [("accuracy", f"**{percent(scores.accuracy)}** ({interval})")]
    for name, share, note in report.beside():
        found = "no image left"
        if share is not None:
            found = (
                f"{percent(share.value)} of {share.count:,} ({percent_interval(share.interval)})"
            )
        rows.append((name, f"{found}; {note}"))
    rows.append(("macro-F1", f"{scores.macro_f1:.3f}"))
    error = f"{report.calibration.error:.3f} at temperature {contract.temperature:g}"
    halves = [each for each in contract.metrics if each.get("name") == "calibration_error"]
    for each in halves[-1:]:
        error += (
            f"; with one that was fitted on a half of {each['split']} and measured on the other "
            f"{each['value']:.3f}"
        )
        if "by_chance" in each:
            error += f", where probabilities that are exactly right measure {each['by_chance']:.3f}"
    rows.append(("calibration error, 15 bins", error))
    yield from table(("", ""), rows, text_columns=2)
    yield ""
    yield from table(
        ("class", "precision", "recall", "F1", "images"),
        [
            (
                row.label,
                percent(row.precision),
                percent(row.recall),
                f"{row.f1:.3f}",
                str(row.support),
            )
            for row in scores.classes
        ],
    )
    yield ""
    yield "By what the pictures are like, parted into groups of as many images, the lowest first:"
    yield ""
    groups = max(len(each.groups) for each in report.groupings)
    yield from table(
        ("", *(f"group {number}" for number in range(1, groups + 1))),
        [
            (
                f"{each.name}, {each.unit}",
                *(
                    f"{percent(group.accuracy.value)} ({group.low:.3g} to {group.high:.3g})"
                    for group in each.groups
                ),
                *[""] * (groups - len(each.groups)),
            )
            for each in report.groupings
        ],
    )


def _limits(report: Report) -> Iterator[str]:
    card = report.contract.card
    yield "## Limits"
    yield ""
    for limit in (*card.get("limits", ()), *_measured_limits(report.scores)):
        yield f"- {limit}"
    if card.get("unfit_for"):
        yield ""
        yield f"**Unfit for** {card['unfit_for']}."
    if card.get("law"):
        yield ""
        yield card["law"]


def _measured_limits(scores: Evaluation) -> Iterator[str]:
    present = [row for row in scores.classes if row.support]
    worst = sorted(present, key=lambda row: row.recall)[:2]
    best = max(present, key=lambda row: row.recall)
    found = " and ".join(f"of {row.label} {row.recall:.0%}" for row in worst)
    yield f"Recall differs by class: {found} are found, of {best.label} {best.recall:.0%}."
    names = [row.label for row in scores.classes]
    if "neutral" not in names:
        return
    taken = scores.rates()[names.index("neutral")]
    wronged = [
        f"{share:.0%} for {name}"
        for name, share in sorted(zip(names, taken, strict=True), key=lambda one: -one[1])
        if name != "neutral" and share >= _TELLING
    ]
    if wronged:
        yield f"Of neutral faces it takes {', '.join(wronged)}."


def _repeat(report: Report) -> Iterator[str]:
    contract = report.contract
    recipe, data = contract.recipe, contract.training_data
    yield "## How to repeat it"
    yield ""
    yield "```"
    name = str(recipe.get("name"))
    averaged = data.get("averaged", ())
    start = str(data.get("start_sha256", ""))
    if averaged:
        models = " ".join(f"MODEL{number}.keras" for number, _ in enumerate(averaged))
        command = [f"fer-edge average {models} --recipe {name} --data {data.get('name')}"]
    else:
        command = [f"fer-edge train --recipe {name} --data {data.get('name')}"]
        if data.get("ferplus", "none") != "none":
            command.append("--votes fer2013new.csv")
        if start:
            command.append("--start EARLIER.keras")
        teachers = enumerate(data.get("teachers", ()))
        command += [f"--teacher-logits TEACHER{number}.npz" for number, _ in teachers]
        if contract.name != name:
            command.append(f"--name {shlex.quote(contract.name)}")
    command += [f"--set {change}" for change in _changes(recipe)]
    yield " \\\n    ".join([*command, f"--out runs/{name}"])
    if contract.quantisation:
        yield f"fer-edge convert runs/{name}/model.keras --data {data.get('name')}"
    yield f"fer-edge evaluate {report.model} --data {report.data.name} --split {report.split}"
    yield "```"
    yield ""
    if start:
        yield f"The model that it starts from has the SHA-256 `{start[:12]}…`."
    for whose, digests in (
        ("The averaged models", averaged),
        ("The teachers' files", data.get("teachers", ())),
    ):
        if digests:
            found = ", ".join(f"`{digest[:12]}…`" for digest in digests)
            yield f"{whose} have the SHA-256 {found}."
    yield "Weights differ from machine to machine in the last digits, and so does the accuracy by"
    yield "some tenths of a point."


def _changes(recipe: Mapping[str, Any]) -> Iterator[str]:
    """What ``--set`` has to change in the recipe of that name, as this version has it."""
    known = RECIPES.get(str(recipe.get("name")))
    if known is None:
        return
    usual, told = _flat(known.to_dict()), _flat(recipe)
    for key, value in usual.items():
        if key in told and told[key] != value:
            new = told[key]
            yield f"{key}={','.join(map(str, new)) if isinstance(new, list) else new}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
