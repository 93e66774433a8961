"""The first load of a model from outside: in a child process, once, and with its end told."""

import hashlib

import numpy as np
import pytest

from fer_edge.edge import trust
from fer_edge.edge.classifier import EmotionClassifier
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import shipped_models

from ..conftest import a_contract, tiny_tflite

CONTENT = embed_contract(tiny_tflite(), a_contract())
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fer-edge" / "known-models.txt"


@pytest.fixture
def children(monkeypatch):
    """How often a child process was started."""
    started = []

    def run(function, *arguments, **options):
        started.append(options["what"])
        return function(*arguments)

    monkeypatch.setattr(trust, "run_in_child", run)
    return started


def test_an_unknown_model_is_tried_once_and_then_remembered(children, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(CONTENT)

    for _ in range(3):
        assert EmotionClassifier.open(path).classify(np.zeros((1, 48, 48), np.uint8))

    assert children == [str(path)]
    assert trust.is_known(DIGEST)


def test_a_shipped_model_needs_no_trial(children):
    for name in shipped_models():
        EmotionClassifier.open(name)

    assert children == []


def test_a_real_child_lets_a_good_model_pass(cache):
    trust.require_harmless(CONTENT, "tiny")

    assert cache.read_text().split() == [DIGEST]


def test_a_model_that_does_harm_is_not_remembered(monkeypatch, cache):
    def crash(*arguments, **options):
        raise ModelError("x crashed the process that loaded it (SIGSEGV).")

    monkeypatch.setattr(trust, "run_in_child", crash)

    with pytest.raises(ModelError, match="SIGSEGV"):
        trust.require_harmless(CONTENT, "x")
    assert not cache.exists()
    assert not trust.is_known(DIGEST)


def test_a_file_that_is_too_large_is_not_even_tried(monkeypatch, children):
    monkeypatch.setattr(trust, "MAX_BYTES", 100)

    with pytest.raises(ModelError, match="expected at most"):
        trust.require_harmless(CONTENT, "x")
    assert children == []


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(trust, "_MOST", 3)

    for number in (1, 2, 3, 1, 4):
        trust.remember(str(number) * 64)

    # 1 was loaded again, so 2 is the oldest.
    assert [trust.is_known(str(number) * 64) for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]


def test_a_folder_that_cannot_be_written_only_costs_time(children, cache):
    cache.parent.parent.joinpath("fer-edge").write_text("a file where the folder would be")

    for _ in range(2):
        trust.require_harmless(CONTENT, "x")

    assert children == ["x", "x"]
