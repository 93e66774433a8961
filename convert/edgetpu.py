"""The Edge TPU: what would run on it, told without the compiler, and the compiler where it is."""

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..edge.contract import ModelContract
from ..edge.contract_file import embed_contract, read_contract
from ..edge.errors import FerEdgeError, GateError, ModelError
from .describe import Operation, TfliteModel, describe
from .edgetpu_log import COMPILER, CompilerLog, last_lines, parse_log
from .edgetpu_rules import COMPILED, Finding, findings

# The compiler's own limit is 180 s; the largest of our nets takes a few.
COMPILE_TIMEOUT_S = 200.0
# About 8 MB hold the weights and the program (coral.ai/docs/edgetpu/compiler). For a net of a few
# operations compiler 16 leaves 7.88 MiB to weights, for the largest in its public logs 6.04 (issues
# 60, 211, 433, 512 of google-coral/edgetpu).
_SURELY_CACHED_BYTES = 6 << 20
_EVER_CACHED_BYTES = int(7.88 * 2**20)
_MAX_OUTPUT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where one operation runs.

    Attributes:
        operation: Of the model.
        on_tpu: Whether it would run on the Edge TPU.
        findings: The rules it breaks; those that only may keep it off come last.
        behind_cut: Whether it stays on the CPU only because one before it does.
    """

    operation: Operation
    on_tpu: bool
    findings: tuple[Finding, ...]
    behind_cut: bool


@dataclass(frozen=True, slots=True, eq=False)
class Preflight:
    """What the Edge TPU compiler is expected to do with a model.

    Attributes:
        placements: One an operation, in the order in which they run.
        share: Of the multiply-adds on the Edge TPU, 0 to 1; 0 where there are none.
        refused: Why the compiler would refuse the file as a whole; empty if it would not.
        weight_bytes: Constants of the operations on the Edge TPU.
        fits: ``yes``, ``perhaps`` or ``no``: whether they stay in its memory. An estimate.
        is_compiled: Whether the file went through the compiler already.
    """

    placements: tuple[Placement, ...]
    share: float
    refused: tuple[Finding, ...]
    weight_bytes: int
    fits: str
    is_compiled: bool

    @property
    def on_tpu(self) -> int:
        """Number of operations on the Edge TPU."""
        return sum(placement.on_tpu for placement in self.placements)

    @property
    def uncertain(self) -> tuple[Placement, ...]:
        """Those counted to the Edge TPU that a rule only may keep off it."""
        return tuple(item for item in self.placements if item.on_tpu and item.findings)


def preflight(model: TfliteModel) -> Preflight:
    """Tell where each operation would run, by the rules of :mod:`.edgetpu_rules`.

    The compiler maps one run of operations: from the first that cannot be mapped, all stay on the
    CPU (coral.ai/docs/edgetpu/models-intro). The QUANTIZE before it that turns a float input into
    integers does not cut (google-coral/edgetpu, issue 13).
    """
    broken = [findings(operation) for operation in model.operations]
    refused = tuple(item for found in broken for item in found if item.rule.refuses)
    placements = []
    cut = bool(refused)
    for operation, found in zip(model.operations, broken, strict=True):
        fit = not any(item.rule.blocks for item in found)
        placements.append(Placement(operation, fit and not cut, found, fit and cut))
        cut = cut or not (fit or _is_float_input(operation, model))
    total = model.multiply_adds
    mapped = [item.operation for item in placements if item.on_tpu]
    used = {
        tensor.index: len(tensor.data)
        for operation in mapped
        for tensor in operation.inputs
        if tensor is not None
    }
    weights = sum(used.values())
    return Preflight(
        placements=tuple(placements),
        share=sum(operation.multiply_adds for operation in mapped) / total if total else 0.0,
        refused=refused,
        weight_bytes=weights,
        fits=_fits(weights),
        is_compiled=any(operation.name == COMPILED for operation in model.operations),
    )


def _is_float_input(operation: Operation, model: TfliteModel) -> bool:
    first = operation.inputs[0] if operation.inputs else None
    return (
        operation.name == "QUANTIZE"
        and first in model.inputs
        and first is not None
        and first.dtype.startswith("FLOAT")
    )


def _fits(weight_bytes: int) -> str:
    if weight_bytes <= _SURELY_CACHED_BYTES:
        return "yes"
    return "perhaps" if weight_bytes <= _EVER_CACHED_BYTES else "no"


def compile_commands(model: str) -> str:
    """Shell lines that compile a model on another machine: Debian's or Ubuntu's x86-64, or Docker.

    From coral.ai/docs/edgetpu/compiler; the key is written to a file, because ``apt-key`` of that
    page is gone from Debian 13. Compiler 16 is the last, and there is none for ARM.
    """
    quoted = shlex.quote(model)
    key, source = "/usr/share/keyrings/coral-edgetpu.asc", "/etc/apt/sources.list.d/coral.list"
    fetch = "curl -fsSL https://packages.cloud.google.com/apt/doc/apt-key.gpg"
    line = f"deb [signed-by={key}] https://packages.cloud.google.com/apt coral-edgetpu-stable main"
    return f"""\
# On Debian or Ubuntu, x86-64
{fetch} | sudo tee {key} > /dev/null
echo "{line}" | sudo tee {source}
sudo apt-get update && sudo apt-get install -y edgetpu-compiler
{COMPILER} -s {quoted}

# Anywhere with Docker
docker run --rm --platform linux/amd64 -v "$PWD:/models" -w /models debian:bookworm-slim sh -c '
  apt-get update && apt-get install -y curl ca-certificates &&
  {fetch} -o {key} &&
  echo "{line}" > {source} &&
  apt-get update && apt-get install -y edgetpu-compiler &&
  {COMPILER} -s "$0"' {quoted}

# For a runtime before version 14 add: -m 13"""


# ---------------------------------------------------------------------------------- the compiler


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model for the Edge TPU in memory, its contract inside, and how it came about."""

    content: bytes
    contract: ModelContract
    log: CompilerLog


def find_compiler() -> Path | None:
    """Where the compiler is, or None."""
    found = shutil.which(COMPILER)
    return None if found is None else Path(found)


def compile_edgetpu(
    content: bytes,
    *,
    allow_cpu: bool = False,
    minimum_runtime: int | None = None,
    timeout_s: float = COMPILE_TIMEOUT_S,
) -> Compiled:
    """Compile an int8 model with the ``edgetpu_compiler`` that is on the PATH.

    Args:
        content: A model with its contract inside.
        allow_cpu: Keep a model of which some operations stay on the CPU.
        minimum_runtime: Oldest Edge TPU runtime that must load it, such as 13; None for 14.
        timeout_s: Of the compiler.

    Raises:
        FerEdgeError: There is no compiler here; the message holds the commands for elsewhere.
        GateError: Operations stay on the CPU; the message names them with their reasons.
        ModelError: No contract, or the compiler refuses the model, crashes, hangs, or writes what
            is not this model compiled.
    """
    read_contract(content)
    source = describe(content)
    compiler = find_compiler()
    if compiler is None:
        raise FerEdgeError(
            f"There is no {COMPILER} on the PATH. Compile on another machine:\n\n"
            f"{compile_commands('MODEL.tflite')}"
        )
    bare, text = _run(compiler, content, minimum_runtime, timeout_s, source)
    log = parse_log(text)
    made = describe(bare, "What the compiler wrote")
    _require_counts(made, log)
    if log.on_cpu and not allow_cpu:
        stay = [item for item in log.operations if not item.on_tpu]
        lines = "".join(f"\n  {item.count} {item.name}: {item.status}" for item in stay)
        raise GateError(
            f"{log.on_cpu} of {log.on_tpu + log.on_cpu} operations stay on the CPU:{lines}"
            f"{_expected(source)}"
        )
    whole, contract = adopt(bare, content, compiler_version=log.version)
    return Compiled(whole, contract, log)


def adopt(
    compiled: bytes, content: bytes, *, compiler_version: str = "unknown"
) -> tuple[bytes, ModelContract]:
    """Put the contract of an int8 model into its compiled form, wherever that was compiled.

    Args:
        compiled: What the compiler wrote.
        content: The model that went in, with its contract inside.
        compiler_version: Such as ``16.0.384591198``; the contract records it.

    Returns:
        The compiled model with the contract inside, and that contract.

    Raises:
        ModelError: ``content`` has no contract, or ``compiled`` is not it compiled.
    """
    contract = read_contract(content)
    source, made = describe(content), describe(compiled, "The compiled model")
    if not any(operation.name == COMPILED for operation in made.operations):
        raise ModelError(f"The compiled model has no {COMPILED}: nothing runs on the Edge TPU.")
    for side in ("inputs", "outputs"):
        ours, theirs = _interface(source, side), _interface(made, side)
        if ours != theirs:
            raise ModelError(
                f"The compiled model has other {side} than the one that went in: expected {ours}, "
                f"got {theirs}."
            )
    changed = dataclasses.replace(
        contract,
        quantisation={**contract.quantisation, COMPILER: compiler_version},
        parent_sha256=contract.content_sha256,
    )
    whole = embed_contract(compiled, changed)
    return whole, read_contract(whole)


def _run(
    compiler: Path,
    content: bytes,
    minimum_runtime: int | None,
    timeout_s: float,
    source: TfliteModel,
) -> tuple[bytes, str]:
    """The compiled file and all that the compiler said."""
    options = [] if minimum_runtime is None else ["-m", str(minimum_runtime)]
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
        (Path(folder) / "model.tflite").write_bytes(content)
        # Into a file: a pipe would have to be read beside, and the compiler's child may hold it.
        with (Path(folder) / "output.txt").open("w+b") as output:
            try:
                process = subprocess.Popen(
                    [str(compiler), "-s", "-o", folder, *options, "model.tflite"],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as exc:
                raise ModelError(f"{compiler} cannot be started: {exc.strerror}.") from exc
            try:
                code: int | None = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                # It compiles in a child, which must not outlive it.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            text = output.read(_MAX_OUTPUT_BYTES).decode(errors="replace")
        made = Path(folder) / "model_edgetpu.tflite"
        if code is None:
            raise ModelError(f"{COMPILER} did not end within {timeout_s:g} s and was stopped.")
        if code != 0 or not made.is_file():
            ended = f"ended with {signal.Signals(-code).name}" if code < 0 else f"code {code}"
            raise ModelError(
                f"{COMPILER} did not compile the model ({ended}): {last_lines(text)}"
                f"{_expected(source)}"
            )
        log = Path(folder) / "model_edgetpu.log"
        if not re.search(r"Operator\s+Count\s+Status", text) and log.is_file():
            text += "\n" + log.read_text(errors="replace")[:_MAX_OUTPUT_BYTES]
        return made.read_bytes(), text


def _require_counts(made: TfliteModel, log: CompilerLog) -> None:
    """Refuse a file in which not as many operations are left as the log says."""
    custom = sum(operation.name == COMPILED for operation in made.operations)
    rest = len(made.operations) - custom
    if rest != log.on_cpu or bool(custom) != bool(log.on_tpu):
        raise ModelError(
            f"{COMPILER} says that {log.on_tpu} operations run on the Edge TPU and {log.on_cpu} on "
            f"the CPU, but its file has {custom} {COMPILED} and {rest} others."
        )


def _interface(model: TfliteModel, side: str) -> list[tuple]:
    tensors = model.inputs if side == "inputs" else model.outputs
    return [(item.shape, item.dtype, item.scales, item.zero_points) for item in tensors]


def _expected(source: TfliteModel) -> str:
    """What the preflight had to say, for an error message."""
    told = preflight(source)
    reasons = [
        f"\n  {place.operation.name} ({place.operation.index}): {item.found} – "
        f"{item.rule.limitation}"
        for place in told.placements
        for item in place.findings
    ]
    return "\nThe preflight finds:" + "".join(reasons[:10]) if reasons else ""
