"""Stands in for ``edgetpu_compiler``: takes its options, writes its log format and a file.

What it does is the first word of the environment variable ``FAKE_EDGETPU``; see ``_MODES``. The log
follows the public ones (google-coral/edgetpu, issues 211, 378, 433, 512, 601, 845).
"""

import os
import signal
import sys
import time
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

VERSION = "16.0.384591198"
_START = (
    "Edge TPU Compiler version {version}\nStarted a compilation timeout timer of 180 seconds.\n"
)
_COMPILED = """
Model compiled successfully in 96 ms.

Input model: {source}
Input size: 1.14MiB
Output model: {target}
Output size: 1.29MiB
On-chip memory used for caching model parameters: 1.12MiB
On-chip memory remaining for caching model parameters: 6.50MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: {log}
"""
_PARTLY = """
Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of \
the model will instead run on the CPU, which is slower. If possible, consider updating your model \
to use only operations supported by the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: {on_tpu}
Number of operations that will run on CPU: {on_cpu}
"""
_ENDED = "Compilation child process completed within timeout period.\n"
_TABLE = "\nOperator                       Count      Status\n\n"
_NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items()}


def compiled(content: bytes, mapped: int, *, shift: float = 1.0) -> bytes:
    """The file with its first operations replaced by one ``edgetpu-custom-op``."""
    model = schema.ModelT.InitFromPackedBuf(content)
    graph = model.subgraphs[0]
    done, rest = graph.operators[:mapped], graph.operators[mapped:]
    code, operation = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = "edgetpu-custom-op", 1
    operation.opcodeIndex = len(model.operatorCodes)
    operation.inputs = list(graph.inputs)
    operation.outputs = list(done[-1].outputs)
    operation.customOptions = list(b"DarwiNN package " * 20)
    model.operatorCodes.append(code)
    graph.operators = [operation, *rest]
    graph.tensors[graph.outputs[0]].quantization.scale = [
        scale * shift for scale in graph.tensors[graph.outputs[0]].quantization.scale
    ]
    # The compiler knows no metadata of ours.
    model.metadata = []
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _table(content: bytes, mapped: int) -> str:
    """Its table: one line for each kind of operation with the same status."""
    model = schema.ModelT.InitFromPackedBuf(content)
    lines: dict[tuple[str, str], int] = {}
    for place, item in enumerate(model.subgraphs[0].operators):
        name = _NAMES[model.operatorCodes[item.opcodeIndex].builtinCode]
        status = "Mapped to Edge TPU"
        if place == mapped:
            status = "Operation not supported"
        elif place > mapped:
            status = "More than one subgraph is not supported"
        lines[name, status] = lines.get((name, status), 0) + 1
    rows = [f"{name:<31}{count:<11}{status}\n" for (name, status), count in lines.items()]
    return _TABLE + "".join(rows)


def _compile(mode: str, content: bytes, source: Path, folder: Path) -> int:
    total = len(schema.ModelT.InitFromPackedBuf(content).subgraphs[0].operators)
    mapped = int(mode.partition(":")[2] or total)
    target = folder / f"{source.stem}_edgetpu.tflite"
    log = target.with_suffix(".log")
    version = "17.2.1" if mode == "newer" else VERSION
    print(_START.format(version=version))
    print(_COMPILED.format(source=source.name, target=target.name, log=log.name, total=total))
    told = mapped - 1 if mode == "lies" else mapped
    if told < total:
        print(_PARTLY.format(on_tpu=told, on_cpu=total - told))
    if mode == "table in the log":
        log.write_text(f"Edge TPU Compiler version {version}\n{_table(content, mapped)}")
        print("See the operation log file for individual operation details.")
    else:
        print(_table(content, mapped))
    print(_ENDED + "Compilation succeeded!")
    target.write_bytes(compiled(content, mapped, shift=2.0 if mode == "other scales" else 1.0))
    return 0


def main() -> int:
    """What the first word of ``FAKE_EDGETPU`` says."""
    mode = os.environ.get("FAKE_EDGETPU", "all")
    folder, source = Path(), Path()
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        if argument in ("-o", "--out_dir"):
            folder = Path(next(arguments))
        elif argument in ("-m", "--min_runtime_version"):
            print(f"(for runtime {next(arguments)})")
        elif argument != "-s":
            source = Path(argument)
    if mode == "internal":
        print(f"Edge TPU Compiler version {VERSION}\n\nInternal compiler error. Aborting! ")
        return 1
    if mode == "large":
        print(_START.format(version=VERSION))
        print("Compilation failed: Compilation failed due to large activation tensors in model.")
        # It says so and still ends with 0.
        print(_ENDED + "Compilation failed! ")
        return 0
    if mode == "unread":
        print(_START.format(version=VERSION))
        print("ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'.", file=sys.stderr)
        print(f"ERROR: Registration failed.\n\nInvalid model: {source}\nModel could not be parsed")
        return 1
    if mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "hang":
        print(_START.format(version=VERSION), flush=True)
        if child := os.fork():
            Path(os.environ["FAKE_EDGETPU_NOTE"]).write_text(str(child))
        time.sleep(600)
    content = source.read_bytes()
    if mode == "no log":
        (folder / f"{source.stem}_edgetpu.tflite").write_bytes(content)
        print("Done.")
        return 0
    if mode == "garbage":
        _compile("all", content, source, folder)
        (folder / f"{source.stem}_edgetpu.tflite").write_bytes(b"\0" * 100)
        return 0
    return _compile(mode, content, source, folder)


if __name__ == "__main__":
    sys.exit(main())
