"""Writes an exploration: one HTML page that can be mailed, its pictures as PNG, and the figures."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..edge.errors import DataError
from ..edge.files import replacing
from . import explore_plots as draw
from . import plots
from .cleaning import LeaveOut
from .datasets import EMOTIONS, Dataset
from .explore import NEAR_BLANK_SHARE, STRONG_VOTES, Exploration
from .pages import Picture, Section, Table, require_own_folder, write_page

PAGE, FIGURES = "explore.html", "explore.json"
PRIVACY = (
    "This page shows people's faces: keep it, and every picture from it, within the terms of the "
    "data set, and publish neither."
)
_CLASS_SHEETS = tuple(f"class-{name}" for name in EMOTIONS)
_PICTURES = (
    "classes",
    "mean-faces",
    "spreads",
    "random",
    *_CLASS_SHEETS,
    "blank",
    "equal",
    "conflicts",
    "near",
    "votes",
)
OWN_FILES = frozenset({PAGE, FIGURES, *(f"{name}.png" for name in _PICTURES)})
_PER_CLASS, _RANDOM, _GROUPS, _BLANKS = 36, 48, 20, 60


def check_folder(out: Path, *, overwrite: bool, also: frozenset[str] = frozenset()) -> None:
    """See to it that nothing of anybody's is lost in ``out``; changes nothing.

    Args:
        out: The folder.
        overwrite: An earlier exploration may be there.
        also: Names beside :data:`OWN_FILES` that may be there, too.

    Raises:
        DataError: It is no folder, holds files that are not an exploration's, or holds an earlier
            exploration and ``overwrite`` is not set.
    """
    require_own_folder(out, OWN_FILES | also)
    there = {path.name for path in out.iterdir()} if out.exists() else set()
    if OWN_FILES & there and not overwrite:
        raise DataError(f"{out} holds an earlier exploration; --overwrite replaces it.")


def write_exploration(
    out: Path,
    found: Exploration,
    data: Dataset,
    *,
    cleaning: LeaveOut | None = None,
    seed: int = 0,
) -> Path:
    """Write page, pictures and figures into a folder; return the page's path.

    The same data, seed and versions of the libraries give the same bytes. An earlier exploration is
    replaced: ask :func:`check_folder` first.

    Args:
        out: A new or empty folder, or an earlier exploration's.
        found: What :func:`.explore.explore` found in ``data``.
        data: The images.
        cleaning: What :func:`.cleaning.propose` proposed, to be counted on the page.
        seed: Of the random choice of the images shown.

    Raises:
        DataError: The folder cannot be written.
    """
    pictures = draw_pictures(found, data, seed=seed)
    document = {"seed": seed, **found.to_dict(data)}
    if cleaning is not None:
        document["leave_out"] = {"digest": cleaning.digest, "reasons": cleaning.reasons()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _PICTURES:
            path = out / f"{name}.png"
            if name in pictures:
                with replacing(path) as partial:
                    partial.write_bytes(pictures[name])
            else:
                # An earlier exploration's: it would contradict this page.
                path.unlink(missing_ok=True)
        with replacing(out / FIGURES) as partial:
            partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        subtitle = f"{found.name}, {found.images:,} images, SHA-256 {found.sha256[:16]}…"
        write_page(
            out / PAGE,
            "What the data set is made of",
            subtitle,
            sections(found, data, pictures, cleaning),
        )
    except OSError as exc:
        raise DataError(f"Cannot write into {out}: {exc.strerror}.") from exc
    return out / PAGE


def draw_pictures(found: Exploration, data: Dataset, *, seed: int) -> dict[str, bytes]:
    """All pictures as PNG, by name; those without anything to show are missing."""
    everything = np.ones(len(data), dtype=bool)
    made = {
        "classes": draw.class_bars(found),
        "mean-faces": draw.mean_face_sheet(data),
        "spreads": draw.spreads(found),
        "random": draw.images_at(
            data, draw.sample(data, everything, count=_RANDOM, seed=seed).tolist()
        ),
    }
    for label, name in enumerate(_CLASS_SHEETS):
        places = draw.sample(data, data.labels == label, count=_PER_CLASS, seed=seed)
        if len(places):
            made[name] = draw.sheet([data.images[index] for index in places])
    if found.blanks:
        made["blank"] = draw.images_at(data, [blank.index for blank in found.blanks][:_BLANKS])
    pairs = [pair[:2] for pair in found.copies.pairs]
    # Those in one class only: what conflicts has a sheet of its own.
    agreeing = [group for group in found.copies.groups if group not in set(found.copies.conflicts)]
    for name, groups, size in (
        ("equal", agreeing, 3),
        ("conflicts", found.copies.conflicts, 6),
        ("near", pairs, 2),
    ):
        if groups:
            chosen = _some(groups, seed=seed)
            made[name] = draw.groups_at(data, chosen, size=size)
    if found.votes:
        made["votes"] = draw.votes_matrix(found)
    return {name: plots.png(figure) for name, figure in made.items()}


def _some(groups: Sequence[Sequence[int]], *, seed: int) -> list[Sequence[int]]:
    order = np.random.default_rng(seed).permutation(len(groups))[:_GROUPS]
    return [groups[index] for index in sorted(order.tolist())]


def sections(
    found: Exploration, data: Dataset, pictures: dict[str, bytes], cleaning: LeaveOut | None = None
) -> list[Section]:
    """The content of the page."""
    made = [_overview(found), _classes(found, pictures), _looks(found, pictures)]
    made += [_samples(pictures), _blanks(found, pictures), _copies(found, data, pictures)]
    if found.votes:
        made.append(_votes(found, pictures))
    if cleaning is not None:
        made.append(_cleaning(cleaning))
    return made


def _overview(found: Exploration) -> Section:
    pixels = found.pixels
    height, width = pixels.shape
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in pixels.files.items())
    rows = [
        ("images", f"{found.images:,}"),
        ("bad rows left out", f"{found.skipped:,}"),
        ("size", f"{width}x{height} pixels, one channel, {pixels.dtype}"),
        ("grey values", f"{pixels.darkest} to {pixels.brightest}"),
        ("files", kinds or "rows of a csv: one channel by its format"),
        ("FER+ votes", "yes" if found.votes else "not given (--votes)"),
        ("SHA-256 of the source", found.sha256),
    ]
    return Section("Overview", (PRIVACY,), (Table(("property", "value"), rows, text_columns=2),))


def _classes(found: Exploration, pictures: dict[str, bytes]) -> Section:
    rows = [
        (split.split, *(f"{n:,}" for n in split.counts), f"{split.total:,}")
        for split in found.splits
    ]
    largest = max(found.splits, key=lambda split: split.total)
    most, least = max(largest.counts), min(n for n in largest.counts if n)
    text = (
        f"The most frequent class of {largest.split} has {most / least:.1f} times as many images "
        f"as the rarest."
    )
    table = Table(("split", *EMOTIONS, "all"), rows, caption="Images")
    alt = "Bars: the share of each class in each split."
    return Section("Classes", (text,), (table, Picture(pictures["classes"], alt)))


def _looks(found: Exploration, pictures: dict[str, bytes]) -> Section:
    boxes = "Box: quartiles and median; whiskers: 5th and 95th percentile."
    return Section(
        "What the images look like",
        (
            "Brightness is the mean grey value of an image, contrast the standard deviation of its "
            "grey values.",
        ),
        (
            Picture(pictures["spreads"], "Boxes of brightness and contrast.", boxes),
            Picture(
                pictures["mean-faces"],
                "The mean image of each class and split.",
                "Mean faces, each stretched to full contrast.",
            ),
        ),
    )


def _samples(pictures: dict[str, bytes]) -> Section:
    shown = [Picture(pictures["random"], "Random images.", "Random images of all splits.")]
    for name, sheet in zip(EMOTIONS, _CLASS_SHEETS, strict=True):
        if sheet in pictures:
            shown.append(Picture(pictures[sheet], f"Random images of {name}.", name))
    return Section("Samples", (), shown)


def _blanks(found: Exploration, pictures: dict[str, bytes]) -> Section:
    kinds = [blank.kind for blank in found.blanks]
    text = (
        f"{kinds.count('blank')} images are blank. {kinds.count('near-blank')} are near-blank: "
        f"at least {NEAR_BLANK_SHARE:.0%} of their pixels have the same grey, give or take a few "
        f"levels; in FER-2013 these are warning signs and lines of text."
    )
    items = []
    if found.blanks:
        caption = f"The first {_BLANKS}." if len(kinds) > _BLANKS else ""
        items.append(Picture(pictures["blank"], "The blank and near-blank images.", caption))
    return Section("Blank images", (text,), items)


def _copies(found: Exploration, data: Dataset, pictures: dict[str, bytes]) -> Section:
    copies = found.copies
    in_conflicts = sum(map(len, copies.conflicts))
    labels = data.labels
    differing = sum(labels[a] != labels[b] for a, b, _ in copies.pairs)
    text = (
        f"{len(copies.groups):,} pictures occur more than once, pixel for pixel, and make up "
        f"{sum(map(len, copies.groups)):,} images; {copies.surplus:,} of them could go. "
        f"{len(copies.conflicts):,} of the pictures ({in_conflicts:,} images) carry more than one "
        f"label."
    )
    near = (
        f"{len(copies.pairs):,} further pairs show nearly the same: shifted, rescaled, or with a "
        f"watermark. {differing:,} of those pairs carry two labels."
    )
    rows = [
        (overlap.split, overlap.other, f"{overlap.equal:,}", f"{overlap.near:,}")
        for overlap in copies.overlaps
    ]
    table = Table(("images of", "with a copy in", "equal", "nearly"), rows, text_columns=2)
    leak = "A copy of a test image in Training makes the test easier than it should be."
    shown: list[Table | Picture] = [table]
    for name, alt in (
        ("equal", "Some of the pictures that occur more than once (at most three copies shown)."),
        ("conflicts", "Some of the pictures with more than one label."),
        ("near", "Some pairs that show nearly the same."),
    ):
        if name in pictures:
            shown.append(Picture(pictures[name], alt, alt))
    return Section("Duplicates", (text, near, leak), shown)


def _votes(found: Exploration, pictures: dict[str, bytes]) -> Section:
    rows = [
        (
            votes.split or "all",
            f"{votes.judged:,}",
            f"{votes.differ:,}",
            f"{votes.differ / votes.judged:.1%}" if votes.judged else "-",
            f"{votes.strong:,}",
            f"{votes.not_a_face:,}",
        )
        for votes in found.votes
    ]
    columns = ("split", "judged", "other class", "share", f"by {STRONG_VOTES} or more", "no face")
    text = (
        "Ten taggers judged each image again for FER+. Judged are images where one answer is ahead "
        "and is one of the seven classes."
    )
    alt = "Table: images of each FER class by the answer of most FER+ taggers."
    picture = Picture(pictures["votes"], alt, "Colour: share of the row.")
    return Section("FER against FER+", (text,), (Table(columns, rows), picture))


def _cleaning(cleaning: LeaveOut) -> Section:
    rows = [(reason, f"{count:,}") for reason, count in cleaning.reasons().items()]
    text = (
        f"{len(cleaning):,} images of Training are proposed to be left out; each is counted once, "
        f"by the first reason that applies. List {cleaning.digest}."
    )
    return Section("To leave out", (text,), (Table(("reason", "images"), rows),))
