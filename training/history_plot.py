"""The plot of a run: loss, accuracy and learning rate over the epochs."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .plots import SERIES, figure, tidy


def draw_history(
    history: list[dict[str, float]], kept_epoch: int, measure: str = "accuracy"
) -> Figure:
    """Loss on the left, accuracy on the right, the learning rate below both.

    Args:
        history: Figures an epoch, as in ``checkpoints/state.json``.
        kept_epoch: The one whose weights the run keeps, from 1; it has a ring.
        measure: What stands in the place of the accuracy, a share; ``val_`` and this is its key for
            the validation, this itself that for the training, if there is one.
    """
    made = figure(1280, 620)
    grid = made.add_gridspec(2, 2, height_ratios=(4, 1))
    epochs = [entry["epoch"] for entry in history]
    kept = next(entry for entry in history if entry["epoch"] == kept_epoch)
    said = f"{kept[f'val_{measure}']:.2%} in epoch {kept_epoch}"
    best = max(entry[f"val_{measure}"] for entry in history)
    if kept[f"val_{measure}"] == best:
        said = f"best {said}"
    else:
        said = f"kept {said}, best {best:.2%}"
    panels = (
        # The training loss has the smoothing, the votes and the teachers in it.
        ("loss", "Loss", "training, all its terms", "validation, labels alone"),
        (
            measure,
            measure.replace("_", " ").capitalize(),
            "training, augmented",
            f"validation, {said}",
        ),
    )
    for place, (key, title, *names) in enumerate(panels):
        axes = tidy(made.add_subplot(grid[0, place]), title=title)
        for prefix, name, colour, style in (
            ("", names[0], SERIES[0], "--"),
            ("val_", names[1], SERIES[1], "-"),
        ):
            if prefix + key not in history[0]:
                continue
            values = [entry[prefix + key] for entry in history]
            axes.plot(epochs, values, style, color=colour, label=name, marker=".", markersize=5)
        if key == measure:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.plot(
                kept_epoch,
                kept[f"val_{measure}"],
                "o",
                color=SERIES[1],
                fillstyle="none",
                markersize=11,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, loc="best")
    rate = tidy(made.add_subplot(grid[1, :]), x="epoch", y="learning rate")
    rate.plot(epochs, [entry["learning_rate"] for entry in history], color=SERIES[2], marker=".")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    rate.set_ylim(0, 1.15 * max(entry["learning_rate"] for entry in history) or 1)
    return made
