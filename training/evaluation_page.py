"""An evaluation as a folder: one HTML page that can be mailed, its pictures, and the figures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..edge.errors import SinkError
from ..edge.files import replacing
from .datasets import EMOTIONS
from .evaluate import Report
from .evaluation_plots import (
    Shown,
    confusion_figure,
    reliability_figure,
    roc_figure,
    sheet_figure,
)
from .metrics import percent, percent_interval
from .pages import Picture, Section, Table, page, require_own_folder
from .plots import png

PAGE, FIGURES = "report.html", "evaluation.json"
PICTURES = ("confusion.png", "roc.png", "reliability.png", "mistakes.png", "samples.png")
FILES = (PAGE, FIGURES, *PICTURES)
#: Faces on each of the two sheets.
SHEET = 24
_SAMPLE_SEED = 1
_PRIVACY = (
    "This page shows faces of real people from the data set: pass it on only where the terms of "
    "the data set and the privacy of these people allow it."
)


def write_report(report: Report, out: Path) -> tuple[Path, bool]:
    """Write ``report.html``, ``evaluation.json`` and the PNG files into a folder.

    What an earlier evaluation left there is replaced, and no file of it stays.

    Args:
        report: What to write.
        out: A folder that is new, empty, or holds an earlier evaluation alone.

    Returns:
        The page, and whether an earlier evaluation was replaced.

    Raises:
        DataError: The folder holds something else.
        SinkError: It cannot be written.
    """
    require_own_folder(out, FILES)
    pictures = _pictures(report)
    title = f"{report.model} on {report.split}"
    html = page(title, subtitle(report), sections(report, pictures))
    figures = json.dumps(report.to_dict(), indent=1) + "\n"
    contents = {**pictures, PAGE: html.encode(), FIGURES: figures.encode()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        earlier = [out / name for name in FILES if (out / name).exists()]
        # The figures go first and come last: a folder that has them is a whole report.
        (out / FIGURES).unlink(missing_ok=True)
        for name, content in contents.items():
            with replacing(out / name) as partial:
                partial.write_bytes(content)
        for path in earlier:
            if path.name not in contents:
                path.unlink()
    except OSError as exc:
        raise SinkError(f"Cannot write the report into {out}: {exc.strerror}.") from exc
    return out / PAGE, bool(earlier)


def subtitle(report: Report) -> str:
    """What was measured on what, in one line."""
    return (
        f"The model {report.contract.name}, measured on the {report.scores.count:,} images of "
        f"{report.split} in {report.data.name}."
    )


def sections(report: Report, pictures: dict[str, bytes]) -> list[Section]:
    """The content of the page; ``pictures`` are PNG bytes by file name, those there are."""
    return [
        _summary(report),
        _classes(report),
        _groups(report),
        Section(
            "Confusion",
            ("Rows are what is true, columns what was named; the colours show the shares.",),
            _picture(
                pictures, "confusion.png", "Two tables of seven by seven classes: images, shares"
            ),
        ),
        _roc(report, pictures),
        _calibration(report, pictures),
        _mistakes(report, pictures),
        Section(
            "Sample predictions",
            (
                f"{min(SHEET, report.scores.count)} images drawn at random (seed {_SAMPLE_SEED}), "
                "in the order of the data. Above each what was named, with its probability: a tick "
                "and a solid frame where it is right, a cross and a dashed frame where not.",
            ),
            _picture(pictures, "samples.png", "Faces with the named and the true class of each"),
        ),
        _definitions(report),
    ]


def _picture(pictures: dict[str, bytes], name: str, alt: str) -> tuple[Picture, ...]:
    return (Picture(pictures[name], alt),) if name in pictures else ()


def _pictures(report: Report) -> dict[str, bytes]:
    """PNG bytes by file name; without curves or mistakes there is no picture of them."""
    wrong = report.mistakes(SHEET)
    chosen = np.random.default_rng(_SAMPLE_SEED).permutation(report.scores.count)[:SHEET]
    draw: dict[str, Callable[[], Figure]] = {
        "confusion.png": lambda: confusion_figure(report.scores),
        "reliability.png": lambda: reliability_figure(report.calibration),
        "samples.png": lambda: sheet_figure([_shown(report, i) for i in np.sort(chosen)]),
    }
    if report.roc:
        draw["roc.png"] = lambda: roc_figure(report.roc)
    if wrong.size:
        draw["mistakes.png"] = lambda: sheet_figure([_shown(report, i) for i in wrong])
    return {name: png(make()) for name, make in draw.items()}


def _shown(report: Report, index: int) -> Shown:
    said = report.predictions
    return Shown(
        image=report.data.images[index],
        true=EMOTIONS[report.data.labels[index]],
        named=EMOTIONS[said.named[index]],
        probability=float(said.confidence[index]),
        origin=str(report.data.origins[index]),
    )


def _summary(report: Report) -> Section:
    scores = report.scores
    headline = Table(
        ("one view of each image", "value", "95 % interval", "images"),
        (
            (
                "accuracy",
                percent(scores.accuracy),
                percent_interval(scores.interval),
                f"{scores.count:,}",
            ),
            ("macro-F1", f"{scores.macro_f1:.3f}", "", f"{scores.count:,}"),
            (
                "expected calibration error",
                f"{report.calibration.error:.3f}",
                "",
                f"{scores.count:,}",
            ),
        ),
    )
    rows = []
    for name, figure, note in report.beside():
        values = ("–", "–", "0")
        if figure is not None:
            interval = percent_interval(figure.interval)
            values = (percent(figure.value), interval, f"{figure.count:,}")
        rows.append((f"{name} ({note})", *values))
    facts = [
        ("model", report.model),
        ("model digest (sha256, as in its contract)", report.contract.content_sha256),
        ("input type", report.contract.quantisation.get("type", "float")),
        ("data", report.data.name),
        ("data digest (sha256)", report.data.digest),
        ("bad rows left out when reading", str(report.data.skipped)),
    ]
    paragraphs = [_PRIVACY]
    if scores.absent:
        paragraphs.append(
            f"No image shows {', '.join(scores.absent)}: recall and F1 of "
            f"{'this class are' if len(scores.absent) == 1 else 'these classes are'} 0 and pull "
            f"macro-F1 down."
        )
    items = [headline]
    if rows:
        columns = ("accuracy measured otherwise", "value", "95 % interval", "images")
        items.append(Table(columns, rows))
    items.append(Table(("what was measured", ""), facts, text_columns=2))
    return Section("Figures", paragraphs, items)


def _classes(report: Report) -> Section:
    areas = {curve.label: curve.area for curve in report.roc}
    rows = [
        (
            row.label,
            f"{row.precision:.3f}",
            f"{row.recall:.3f}",
            f"{row.f1:.3f}",
            f"{areas[row.label]:.3f}" if row.label in areas else "–",
            f"{row.support:,}",
        )
        for row in report.scores.classes
    ]
    columns = ("class", "precision", "recall", "F1", "ROC area", "images")
    return Section("Classes", (), (Table(columns, rows),))


def _groups(report: Report) -> Section:
    tables = []
    for grouping in report.groupings:
        rows = [
            (
                f"{group.low:.2f} to {group.high:.2f}",
                percent(group.accuracy.value),
                percent_interval(group.accuracy.interval),
                f"{group.accuracy.count:,}",
            )
            for group in grouping.groups
        ]
        head = f"{grouping.name} ({grouping.unit})"
        tables.append(Table((head, "accuracy", "95 % interval", "images"), rows))
    return Section(
        "By what the pictures are like",
        (
            "Fourths of the images, the lowest first. Sharpness is low where a face was small "
            "before it was enlarged, and where it is out of focus. How large a face was, who is "
            "shown, their age, sex and origin, and the light of the place are not in the data.",
        ),
        tables,
    )


def _roc(report: Report, pictures: dict[str, bytes]) -> Section:
    drawn = {curve.label for curve in report.roc}
    missing = [label for label in EMOTIONS if label not in drawn]
    paragraphs = ["Each class against all others, as the threshold on its probability falls."]
    if missing:
        paragraphs.append(
            f"No curve for {', '.join(missing)}: that needs images of the class and of others."
        )
    return Section("ROC curves", paragraphs, _picture(pictures, "roc.png", "One ROC curve a class"))


def _calibration(report: Report, pictures: dict[str, bytes]) -> Section:
    found = report.calibration
    difference = found.mean_confidence - report.scores.accuracy
    leaning = "more" if difference > 0 else "less"
    return Section(
        "Calibration",
        (
            f"Expected calibration error {found.error:.3f}. On average the model is "
            f"{percent(found.mean_confidence)} sure and {percent(report.scores.accuracy)} right: "
            f"{abs(difference) * 100:.2f} points {leaning} sure than right.",
        ),
        _picture(
            pictures,
            "reliability.png",
            "Share named right and number of images for each confidence",
        ),
    )


def _mistakes(report: Report, pictures: dict[str, bytes]) -> Section:
    wrong = report.mistakes(SHEET)
    if not wrong.size:
        return Section("Most confident mistakes", ("There is no mistake.",))
    return Section(
        "Most confident mistakes",
        (
            f"The {wrong.size} wrong answers with the highest probability. Above each face what "
            f"was named, under it the label of the data and the row or file.",
        ),
        _picture(pictures, "mistakes.png", "Faces that were named wrong with high probability"),
    )


def _definitions(report: Report) -> Section:
    bins = len(report.calibration.bins)
    left_out = ""
    if report.ferplus is not None:
        reasons = [f"{why} {n:,}" for why, n in report.ferplus.left_out.items()]
        left_out = f"; here: {', '.join(reasons)}"
    return Section(
        "How the figures are defined",
        (
            "Accuracy is the share of images whose most likely class is their label, from one view "
            "of each image. Its interval is Wilson's score interval at 95 % (1927): it covers the "
            "chance in which images were drawn, not that of training again.",
            "Macro-F1 is the mean F1 of the seven classes, each counting the same.",
            f"The expected calibration error is that of Guo et al. (2017) with {bins} bins of "
            f"equal width over the probability of the named class: the mean distance between that "
            f"probability and the share named right, weighted by the images of each bin.",
            "Flip averaging adds the probabilities of an image and of its mirror image. It costs "
            "two runs a face and is in no other figure.",
            "An image is in Training too where one there has the same 2,304 pixels.",
            "The FER+ majority is the emotion that more of the ten taggers chose than any other "
            "answer. Images are left out where two answers share the first place, where contempt, "
            f"unknown or not-a-face leads, and where there are no votes{left_out}.",
        ),
    )
