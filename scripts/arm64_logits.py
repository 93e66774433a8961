"""What the shipped int8 models answer on this processor, and where two processors differ.

Usage, with a Python that fer-edge is installed for (scripts/test-arm64 does it all):

    python arm64_logits.py faces FACES.npy
    python arm64_logits.py answer FACES.npy ANSWERS.npz [COUNT [COUNT FOR OTHER KERNELS]]
    python arm64_logits.py compare ANSWERS.npz OTHER.npz ...
"""

import hashlib
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.classifier import EmotionClassifier
from fer_edge.edge.contract_file import load_model
from fer_edge.edge.framing import crop_square, to_grey, to_int8
from fer_edge.edge.models import shipped_detectors, shipped_models
from fer_edge.edge.native_log import native_stderr_silenced
from fer_edge.edge.records import Box, Image

COUNT, SEED = 500, 20261121
# LiteRT's own kernels, without XNNPACK: those written for speed, and the reference's plain C++.
KERNELS = {
    "LiteRT's own": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}
SHIPPED = "XNNPACK (as shipped)"
# As what LiteRT chooses by itself.
_CHOSEN = OpResolverType.AUTO
# A picture for a detector has so many faces; it takes as long as that many faces do.
_IN_A_PICTURE = 5


def made_faces() -> Image:
    """The demo's averaged faces, spoiled: uint8 ``(COUNT, 48, 48)``.

    Position, size, light, contrast, sharpness and noise vary, mirrored or not. They come from one
    machine as a file, because OpenCV's own kernels need not agree between two.
    """
    random = np.random.default_rng(SEED)
    film = DemoCamera(size_wh=(320, 240), lossless=True)
    faces = np.empty((COUNT, 48, 48), np.uint8)
    for index in range(COUNT):
        # 7 is coprime to the 294 frames of a round, so that all of them come.
        picture, box = to_grey(film.image(7 * index)), film.truth(7 * index).box
        side = box.w_px * random.uniform(0.7, 1.1)
        x, y = np.array(box.center_px) + random.normal(0, 0.06, 2) * side - side / 2
        face = crop_square(picture, Box(float(x), float(y), side, side), (48, 48))
        if random.random() < 0.5:
            face = face[:, ::-1]
        blurred = cv2.GaussianBlur(face, (0, 0), random.uniform(0.1, 1.2)).astype(np.float64)
        lit = (blurred - 128) * random.uniform(0.3, 1.7) + random.uniform(60, 200)
        noise = random.normal(0, random.uniform(0, 20), face.shape)
        faces[index] = np.clip(np.rint(lit + noise), 0, 255)
    return faces


def made_pictures(faces: Image, size_wh: tuple[int, int]) -> Image:
    """Pictures for a detector, of made faces: uint8 ``(n, height, width)``, five faces on each.

    Faces of one to four times their size on noise, over each other and over the edges; whole
    numbers alone, so that no two machines can make others of the same faces.
    """
    width, height = size_wh
    pictures = np.empty((-(-len(faces) // _IN_A_PICTURE), height, width), np.uint8)
    for index, picture in enumerate(pictures):
        # Each from a seed of its own, so that of fewer faces the first pictures come out the same.
        random = np.random.default_rng((SEED, index))
        picture[:] = random.integers(70, 140, picture.shape, np.uint8)
        for face in faces[index * _IN_A_PICTURE :][:_IN_A_PICTURE]:
            times = int(random.integers(1, 5))
            large = face.repeat(times, axis=0).repeat(times, axis=1)
            top, left = (int(random.integers(0, side - 24)) for side in (height, width))
            part = picture[top : top + len(large), left : left + len(large)]
            part[:] = large[: part.shape[0], : part.shape[1]]
    return pictures


def answers(faces: Image, few: int) -> dict[str, Any]:
    """The int8 outputs by ``model/kernels``; other kernels read ``few`` faces.

    Of a classifier the logits ``(n, classes)``, of a detector boxes and scores ``(n, 5 x cells)``
    for a fifth as many pictures.
    """
    found = {}
    for size_wh, path in shipped_detectors().items():
        content, _ = load_model(path)
        pictures = made_pictures(faces, size_wh)
        for kernels, resolver in (KERNELS | {SHIPPED: _CHOSEN}).items():
            count = len(pictures) if kernels == SHIPPED else -(-few // _IN_A_PICTURE)
            with native_stderr_silenced():
                found[f"{path.stem}/{kernels}"] = _run(content, resolver, pictures[:count])
    for name, path in shipped_models().items():
        classifier = EmotionClassifier.open(name, runtime="litert")
        content, _ = load_model(path)
        for kernels, resolver in KERNELS.items():
            found[f"{name}/{kernels}"] = _run(content, resolver, faces[:few])
        with native_stderr_silenced():
            detail = Interpreter(model_content=content).get_output_details()[0]
        scale, zero_point = detail["quantization"]
        # Exact: the classifier multiplied whole steps.
        steps = np.rint(classifier.outputs(faces) / scale) + zero_point
        found[f"{name}/{SHIPPED}"] = steps.astype(np.int8)
    return found


def _run(content: bytes, resolver: OpResolverType, faces: Image) -> NDArray[np.int8]:
    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    put, gets = interpreter.get_input_details()[0], interpreter.get_output_details()
    rows = []
    for tensor in to_int8(faces, *put["quantization"]):
        interpreter.set_tensor(put["index"], tensor[np.newaxis])
        interpreter.invoke()
        outputs = [interpreter.get_tensor(got["index"]).ravel() for got in gets]
        rows.append(np.concatenate(outputs))
    return np.stack(rows)


def difference(
    first: NDArray[np.int8], second: NDArray[np.int8], *, classes: bool = True
) -> tuple[str, bool]:
    """How far two tables are apart in the faces that both have, and whether they are equal.

    Without ``classes`` a row is of a picture, and its largest number names nothing.
    """
    count = min(len(first), len(second))
    apart = np.abs(first[:count].astype(int) - second[:count])
    if not apart.any():
        return f"equal ({count} {'faces' if classes else 'pictures'})", True
    many = f"{np.count_nonzero(apart)} of {apart.size}"
    if not classes:
        return f"{many} numbers of {count} pictures differ, by {apart.max()} steps at most", False
    said = f"{many} logits differ, by {apart.max()} steps at most"
    labels = int(np.sum(first[:count].argmax(axis=1) != second[:count].argmax(axis=1)))
    return f"{said}; {labels} of {count} labels", False


def compare(paths: list[Path]) -> tuple[str, bool]:
    """A Markdown table, and whether all that ships is equal to the first file's."""
    tables = {path.stem: dict(np.load(path)) for path in paths}
    (base, expected), *others = tables.items()
    lines = [f"| model, kernels | {' | '.join(name for name, _ in others)} |"]
    lines.append("| --- |" + " --- |" * len(others))
    equal = True
    classified = [key for key in expected if key.split("/")[0] in shipped_models()]
    for key in sorted(set(expected) - {"faces"}):
        cells = []
        for _, found in others:
            if found["faces"] != expected["faces"]:
                raise SystemExit("The files are of other faces: hand the same file to both.")
            said, same = difference(expected[key], found[key], classes=key in classified)
            cells.append(said)
            equal &= same or SHIPPED not in key
        lines.append(f"| {key.replace('/', ', ')} | {' | '.join(cells)} |")
    lines += ["", f"On {base} alone, XNNPACK against the other two:", ""]
    for key in sorted(set(expected) - {"faces"}):
        name, kernels = key.split("/")
        if kernels != SHIPPED:
            shipped = expected[f"{name}/{SHIPPED}"]
            said, _ = difference(shipped, expected[key], classes=key in classified)
            lines.append(f"- {name}, {kernels}: {said}")
    return "\n".join(lines), equal


def main(arguments: list[str]) -> None:
    """Do what the first word says."""
    match arguments:
        case ["faces", out]:
            np.save(out, made_faces())
        case ["answer", source, out, *counts] if len(counts) < 3:
            faces = np.load(source)
            digest = hashlib.sha256(faces.tobytes()).hexdigest()
            count, few = (*map(int, counts), *(COUNT, COUNT)[len(counts) :])
            found = answers(faces[:count], few)
            np.savez(out, faces=np.array(digest), **found)
            print(f"{platform.machine()}, LiteRT {version('ai-edge-litert')}, faces {digest[:12]}")
        case ["compare", *names] if len(names) > 1:
            table, equal = compare(list(map(Path, names)))
            print(table)
            sys.exit(0 if equal else 1)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
