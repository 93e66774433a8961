"""Models from outside: damaged, mutated, forged. No crash, no hang, no wrong model in silence.

Mutations are drawn from the number of the case, so a failure can be repeated. The default run tries
200 of them, ``-m slow`` 2,000.
"""

import hashlib
import json
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fer_edge.convert import keras_backend
from fer_edge.convert.describe import describe
from fer_edge.convert.edgetpu import preflight
from fer_edge.convert.keras_backend import check_archive
from fer_edge.edge import trust
from fer_edge.edge.contract_file import embed_contract, read_contract
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import shipped_models
from fer_edge.edge.sidecar import file_sha256

from ..conftest import a_contract, tiny_tflite
from .builders import a_net

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

HANG_S = 10.0
SHIPPED = [path.read_bytes() for path in shipped_models().values()]
SMALL = [embed_contract(content, a_contract()) for content in (tiny_tflite(), a_net())]


def mutated(content: bytes, seed: int) -> bytes:
    """Some bytes turned, a piece cut out, doubled, zeroed, or the end missing."""
    generator = np.random.default_rng(seed)
    changed = bytearray(content)
    at = int(generator.integers(len(changed)))
    length = int(generator.integers(1, 64))
    kind = seed % 6
    if kind == 0:
        changed[at] ^= 1 << int(generator.integers(8))
    elif kind == 1:
        for place in generator.integers(len(changed), size=length):
            changed[place] = int(generator.integers(256))
    elif kind == 2:
        del changed[at : at + length]
    elif kind == 3:
        changed[at:at] = changed[at : at + length]
    elif kind == 4:
        changed[at : at + length] = bytes(len(changed[at : at + length]))
    else:
        del changed[at:]
    return bytes(changed)


def try_all(cases: range) -> None:
    """Every reader of a file, on mutations of what we ship and of small nets."""
    for seed in cases:
        # The front, where the offsets of a flatbuffer lie, is small in a file of a megabyte.
        original = (SMALL * 4 + SHIPPED)[seed % (len(SMALL) * 4 + len(SHIPPED))]
        content = mutated(original, seed)
        if content == original:
            continue
        began = time.monotonic()
        with pytest.raises(ModelError):
            read_contract(content)
        with suppress(ModelError):
            preflight(describe(content))
        assert time.monotonic() - began < HANG_S, seed


def test_no_mutation_is_accepted_and_none_hangs_a_reader():
    try_all(range(200))


@pytest.mark.slow
def test_no_mutation_of_two_thousand_is_accepted():
    try_all(range(200, 2200))


def forged(seed: int) -> bytes | None:
    """A mutated model whose contract is that of the mutation, as a stranger would write it."""
    content = mutated(SMALL[seed % len(SMALL)], seed)
    try:
        return embed_contract(content, a_contract())
    except ModelError:
        return None


def try_forged(cases: range) -> int:
    """Load forged models as the device does for the first time; how many could be loaded."""
    loaded = 0
    for seed in cases:
        content = forged(seed)
        if content is None:
            continue
        began = time.monotonic()
        with suppress(ModelError):
            trust.require_harmless(content, f"case {seed}")
            loaded += 1
        assert time.monotonic() - began < HANG_S, seed
    return loaded


def test_a_forged_model_cannot_take_the_process_with_it():
    try_forged(range(12))


@pytest.mark.slow
def test_three_hundred_forged_models_cannot_take_the_process_with_them():
    assert 0 < try_forged(range(12, 312)) < 300


def test_a_forged_model_is_another_one_by_its_digest():
    """It guards against mix-ups only: whoever compares digests sees it."""
    content = next(made for seed in range(0, 600, 6) if (made := forged(seed)) is not None)

    assert read_contract(content).content_sha256 != read_contract(SMALL[0]).content_sha256
    assert not trust.is_known(hashlib.sha256(content).hexdigest())


# ------------------------------------------------------------------------------------ .keras files


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


GOOD = {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"\x89HDF"}


def test_what_keras_writes_passes(tmp_path):
    check_archive(archive(tmp_path / "m.keras", {**GOOD, "assets/vocabulary.txt": b"a"}))


# Each case: what is in the file beside what Keras writes.
STRANGERS = {
    "a way out": {"../../evil.py": b"x"},
    "a way out through assets": {"assets/../../evil.py": b"x"},
    "an absolute name": {"/etc/cron.d/evil": b"x"},
    "a pickle": {"weights.pkl": b"x"},
    "a program": {"__main__.py": b"x"},
}


@pytest.mark.parametrize("members", STRANGERS.values(), ids=STRANGERS)
def test_members_that_keras_does_not_write_are_refused(tmp_path, members):
    path = archive(tmp_path / "m.keras", {**GOOD, **members})

    with pytest.raises(ModelError, match="which Keras does not write"):
        check_archive(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = archive(
        tmp_path / "m.keras", {**GOOD, "model.weights.h5": bytes(64 << 20)}, zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 1 << 20

    with pytest.raises(ModelError, match="would become 67 MB"):
        check_archive(path)


def test_a_size_that_lies_is_refused_too(tmp_path):
    """The directory of the archive claims four gigabytes."""
    path = archive(tmp_path / "m.keras", GOOD)
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02", 0, content.rfind(b"model.weights.h5"))
    content[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(content)

    with pytest.raises(ModelError, match="would become 4295 MB"):
        check_archive(path)


# Each case: bytes that are no archive, or a damaged one.
@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all", json.dumps(GOOD, default=str)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "m.keras"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ModelError, match=r"is no .keras file, or damaged"):
        check_archive(path)


def test_every_prefix_of_an_archive_is_refused_or_whole(tmp_path):
    whole = archive(tmp_path / "m.keras", GOOD).read_bytes()

    for length in range(0, len(whole), 7):
        (tmp_path / "cut.keras").write_bytes(whole[:length])
        with pytest.raises(ModelError):
            check_archive(tmp_path / "cut.keras")


def test_an_unknown_keras_file_is_loaded_in_a_child_first(copied, monkeypatch):
    """Once: what went well is remembered."""
    started = []
    monkeypatch.setattr(trust, "remember", lambda digest: started.append(digest))
    monkeypatch.setattr(trust, "is_known", lambda digest: digest in started)
    monkeypatch.setattr(
        trust, "run_in_child", lambda *given, **options: started.append(options["what"])
    )

    for _ in range(2):
        keras_backend.require_harmless(copied)

    assert started == [str(copied), file_sha256(copied)]


@pytest.mark.slow
def test_a_real_child_tells_a_damaged_keras_file_from_a_good_one(copied):
    keras_backend.require_harmless(copied)
    bad = archive(copied.with_name("bad.keras"), GOOD)

    with pytest.raises(ModelError, match=r"Cannot load .*bad.keras"):
        keras_backend.require_harmless(bad)
