"""The command ``fer-edge inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from ..edge.contract import ModelContract
    from .describe import Tensor
    from .edgetpu import Placement, Preflight
    from .inspection import Inspection, RuntimeTrial

# Rows of a table for people; --json has all.
_MAX_ROWS = 300
_OUTCOMES = {
    "runs": "runs it",
    "loads": "loads it",
    "refuses": "refuses it",
    "fails": "FAILS",
    "unusable": "does not work here",
    "absent": "not installed here",
}


@click.command()
@click.argument("model", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--edgetpu", is_flag=True, help="Say which operations would run on an Edge TPU.")
def inspect(model: str, as_json: bool, edgetpu: bool) -> None:
    """Say what is in a .tflite: contract, tensors, operations, cost, who runs it.

    A file that was not loaded on this machine before is loaded in a child process with limits. Ends
    with code 4 if it is damaged, or crashes or hangs a runtime.
    """
    import json

    from ..edge.errors import ModelError
    from ..edge.models import model_path
    from .inspection import inspect as take_apart
    from .inspection import to_document

    found = take_apart(model_path(model), edgetpu=edgetpu)
    if as_json:
        click.echo(json.dumps(to_document(found), indent=1, allow_nan=False))
    else:
        _draw(found)
    if found.problem:
        raise ModelError(found.problem)


def _draw(found: Inspection) -> None:
    import io
    import sys

    from ..edge.terminal import Terminal

    # A terminal may know fewer letters than a file has.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Terminal(highlight=False, soft_wrap=False)
    model = found.model
    _title(console, str(found.path))
    _facts(
        console,
        ("size", f"{model.size_bytes:,} bytes, of them {model.weight_bytes:,} of constants"),
        ("sha256", model.sha256),
        ("multiply-adds", f"{model.multiply_adds:,} a run"),
        ("graphs", "" if model.subgraph_count == 1 else f"{model.subgraph_count}; the first shown"),
        ("metadata", ", ".join(model.metadata)),
    )
    _contract(console, found)
    _runtimes(console, found)
    _title(console, "Inputs and outputs")
    ends = [("in", item) for item in model.inputs] + [("out", item) for item in model.outputs]
    _tensors(console, ends[:_MAX_ROWS])
    _operations(console, found)
    _title(console, "Tensors")
    _tensors(console, [(str(item.index), item) for item in model.tensors[:_MAX_ROWS]])
    _more(console, len(model.tensors))
    if found.edgetpu is not None:
        _edgetpu(console, found.edgetpu, found.path.name)


def _contract(console: Console, found: Inspection) -> None:
    contract = found.contract
    _title(console, "Contract")
    if contract is None:
        none = "none: its labels and input are not known; fer-edge convert writes them"
        damaged = "damaged: nothing it says is shown; what follows is read from the file itself"
        _line(console, none if found.contract_status == "none" else damaged)
        return
    width, height = contract.input_size_wh
    low, high = contract.input_range
    metrics = [
        ", ".join(f"{key} {value}" for key, value in item.items()) for item in contract.metrics
    ]
    _facts(
        console,
        ("name", f"{contract.name} ({contract.kind})"),
        ("labels", ", ".join(contract.labels)),
        (
            "input",
            f"{width}x{height}, {contract.input_channels} channel(s), pixels {low} to {high}, "
            f"framing {contract.framing}",
        ),
        ("output", _answers(contract)),
        ("quantisation", _compact(contract.quantisation)),
        ("calibration", _compact(contract.calibration)),
        ("trained on", _compact(contract.training_data)),
        ("metrics", "; ".join(metrics)),
        *_card(contract.card),
        ("licence", contract.licence),
        ("made from", contract.parent_sha256),
        ("content_sha256", f"{contract.content_sha256} (checked)"),
    )


def _card(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the model card says in short; of a figure nothing, as the file itself tells it."""
    for key, value in card.items():
        if isinstance(value, str):
            yield key.replace("_", " "), value
        elif isinstance(value, list):
            yield key.replace("_", " "), " ".join(map(str, value))


def _answers(contract: ModelContract) -> str:
    if not contract.strides:
        return f"{contract.output}, temperature {contract.temperature:g}"
    strides = ", ".join(map(str, contract.strides))
    return (
        f"boxes, and scores as {contract.output}, of cells at strides {strides}; a face from a "
        f"score of {contract.score_threshold:g} on"
    )


def _runtimes(console: Console, found: Inspection) -> None:
    _title(console, "Runtimes")
    needs = found.needs
    since = f"TFLite {needs.version} or later, for {needs.due_to}" if needs.version else "not known"
    _facts(
        console,
        *(
            (
                f"{trial.name} {trial.version}".strip(),
                ": ".join(filter(None, (_OUTCOMES[trial.outcome], _reason(trial)))),
            )
            for trial in found.trials
        ),
        ("needs", since),
        ("not in the table", ", ".join(needs.unlisted)),
        (
            "the file says",
            f"TFLite {found.model.minimum_runtime}" * bool(found.model.minimum_runtime),
        ),
    )


def _reason(trial: RuntimeTrial) -> str:
    if trial.outcome == "absent":
        return ""
    reason = " ".join(trial.reason.split())
    return reason.removeprefix(f"{trial.name} refuses the model: ")


def _operations(console: Console, found: Inspection) -> None:
    from .inspection import operation_counts

    _title(console, "Operations")
    table = _table(("operation", "left"), ("version", "right"), ("count", "right"))
    table.add_column("multiply-adds", justify="right")
    table.add_column("share", justify="right")
    total = found.model.multiply_adds
    for name, version, count, cost in operation_counts(found.model):
        share = f"{cost / total:.1%}" if cost else ""
        table.add_row(_text(name), str(version), str(count), f"{cost:,}" if cost else "", share)
    console.print(table)
    _title(console, "Operations in the order in which they run")
    table = _table(
        ("#", "right"), ("operation", "left"), ("output", "left"), ("activation", "left")
    )
    table.add_column("multiply-adds", justify="right")
    for item in found.model.operations[:_MAX_ROWS]:
        output = item.outputs[0].signature if item.outputs else ()
        activation = str(item.options.get("activation", "NONE"))
        table.add_row(
            str(item.index),
            _text(f"{item.name} v{item.version}"),
            _sides(output),
            "" if activation == "NONE" else activation,
            f"{item.multiply_adds:,}" if item.multiply_adds else "",
        )
    console.print(table)
    _more(console, len(found.model.operations))


def _tensors(console: Console, rows: list[tuple[str, Tensor]]) -> None:
    table = _table(("", "right"))
    table.add_column("name", max_width=30, no_wrap=True, overflow="ellipsis")
    for heading, justify in (
        ("shape", "left"),
        ("type", "left"),
        ("scale", "right"),
        ("zero", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for label, tensor in rows:
        scale = zero = ""
        if len(tensor.scales) == 1:
            scale = f"{tensor.scales[0]:.4g}"
        elif tensor.scales:
            scale = f"{len(tensor.scales)} scales"
        if len(set(tensor.zero_points)) == 1 and tensor.scales:
            zero = str(tensor.zero_points[0])
        kind = tensor.dtype.lower() + (" const" if tensor.is_constant else "")
        table.add_row(label, _text(tensor.name), _sides(tensor.signature), kind, scale, zero)
    console.print(table)


def _edgetpu(console: Console, told: Preflight, name: str) -> None:
    from .edgetpu import compile_commands
    from .edgetpu_rules import SOURCES

    _title(console, "Edge TPU, by the published rules and without the compiler")
    if told.is_compiled:
        _line(console, "This file went through the Edge TPU compiler already.")
        return
    table = _table(("#", "right"), ("operation", "left"), ("runs on", "left"))
    table.add_column("why", ratio=1)
    for place in told.placements[:_MAX_ROWS]:
        table.add_row(
            str(place.operation.index),
            _text(place.operation.name),
            _where(place),
            _text(_why(place)),
        )
    console.print(table)
    _more(console, len(told.placements))
    fits = {
        "yes": "fits, with room for the program",
        "perhaps": "perhaps fits: the program takes a part of the 8 MB",
        "no": "does not fit: the rest is sent over USB at every run",
    }
    _facts(
        console,
        ("operations", f"{told.on_tpu} of {len(told.placements)} on the Edge TPU"),
        ("multiply-adds", f"{told.share:.1%} on the Edge TPU"),
        (
            "weights",
            f"{_size(told.weight_bytes)} for about 8 MB of memory: {fits[told.fits]} (an estimate)",
        ),
        (
            "the whole file",
            "the compiler is expected to refuse it, see above" if told.refused else "",
        ),
    )
    broken = {item.rule.name: item.rule for place in told.placements for item in place.findings}
    for rule in broken.values():
        origin = "" if rule.published else "not in the published table; "
        _line(console, f"\n{rule.name}: «{rule.limitation}» ({origin}{SOURCES[rule.source]})")
    if any(place.behind_cut for place in told.placements):
        _line(console, f"\nThe compiler maps one run of operations. ({SOURCES['partition']})")
    if told.on_tpu == 0:
        return
    _title(console, "To compile it")
    # As it is, without wrapping: lines to be copied.
    click.echo(compile_commands(name))


def _where(place: Placement) -> str:
    if not place.on_tpu:
        return "CPU"
    return "TPU, perhaps" if place.findings else "TPU"


def _why(place: Placement) -> str:
    if place.behind_cut:
        return "behind the first that stays on the CPU"
    return "; ".join(f"{item.rule.name}: {item.found}" for item in place.findings)


def _title(console: Console, text: str) -> None:
    from rich.text import Text

    console.print(Text(f"\n{_printable(text)}", style="bold"))


def _line(console: Console, text: str) -> None:
    console.print(_text(text))


def _facts(console: Console, *rows: tuple[str, str]) -> None:
    """Names with their values; a row without a value is left out."""
    table = _table(("", "left"))
    table.show_header = False
    table.add_column("", ratio=1, overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(_text(name), _text(value))
    console.print(table)


def _table(*columns: tuple[str, str]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading, justify in columns:
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def _more(console: Console, count: int) -> None:
    if count > _MAX_ROWS:
        _line(console, f"… and {count - _MAX_ROWS} more: --json has all.")


def _text(text: str) -> Any:
    """Of a file's own words: no markup, and nothing that moves the cursor."""
    from rich.text import Text

    return Text(_printable(text))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join("?" if side < 0 else str(side) for side in shape) or "scalar"


def _size(count: int) -> str:
    return f"{count / 2**20:.2f} MiB" if count >= 1 << 20 else f"{count / 2**10:.1f} KiB"


def _compact(values: Any) -> str:
    """A mapping on one line, digests shortened."""
    parts = []
    for key, value in values.items():
        said = str(value)
        parts.append(f"{key} {said[:12] + '…' if len(said) > 60 else said}")
    return ", ".join(parts)
