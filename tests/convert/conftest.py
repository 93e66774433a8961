"""A small trained net with all that training leaves beside it, made once a session."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fer_edge.edge.cli import cli
from fer_edge.edge.sidecar import file_sha256, write_sidecar
from fer_edge.edge.trust import remember

from ..conftest import a_contract

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PER_CLASS = 100


def patterned_faces(per_class: int = PER_CLASS, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Stripes, of another direction and brightness for each class, under noise.

    Easy to learn, so that a net of a thousand weights answers with logits far apart.

    Returns:
        uint8 ``(n, 48, 48)`` with pixels from 0 to 255, and labels ``(n,)``.
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(7), per_class)
    angle, light, shift = (
        values[:, np.newaxis, np.newaxis]
        for values in (labels * np.pi / 7, 70 + 18 * labels, generator.uniform(0, 6.3, len(labels)))
    )
    y, x = np.mgrid[:48, :48]
    stripes = np.sin(0.8 * (np.cos(angle) * x + np.sin(angle) * y) + shift)
    faces = light + 60 * stripes + generator.normal(0, 25, stripes.shape)
    return np.clip(faces, 0, 255).astype(np.uint8), labels


def write_faces(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """Write faces as training leaves them."""
    np.savez_compressed(path, images=images, labels=labels)
    return path


def call(*arguments: object) -> Result:
    """``fer-edge convert`` with these arguments; any exception but the exit is a failure."""
    result = CliRunner().invoke(cli, ["convert", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """``model.keras`` with ``model.contract.json`` and ``model.calibration.npz`` beside it."""
    keras = pytest.importorskip("keras", reason="needs the extra [train]")
    from fer_edge.training.architectures import plain_net

    keras.utils.set_random_seed(1)
    images, labels = patterned_faces()
    model = plain_net(stem=8, widths=(8,), dropout=0.0)
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    inputs = images[..., np.newaxis].astype(np.float32)
    history = model.fit(inputs, labels, batch_size=32, epochs=3, verbose=0).history
    assert history["accuracy"][-1] > 0.95, "too little was learnt for the answers to differ"
    path = tmp_path_factory.mktemp("trained") / "model.keras"
    plain = plain_net(stem=8, widths=(8,), dropout=0.0)
    plain.set_weights(model.get_weights())
    plain.save(path)
    write_sidecar(path, a_contract(name="patterned", licence="Apache-2.0"))
    write_faces(path.with_suffix(".calibration.npz"), images, labels)
    return path


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """The trained model in a folder of its own, with what is beside it."""
    for path in trained.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / trained.name


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Puts the stand-in on the PATH; call it with what it shall do."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "edgetpu_compiler"
    fake = Path(__file__).with_name("fake_edgetpu_compiler.py")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_EDGETPU_NOTE", str(tmp_path / "note"))

    def act(mode: str) -> None:
        monkeypatch.setenv("FAKE_EDGETPU", mode)

    return act


@pytest.fixture(scope="session")
def detector(tmp_path_factory) -> Path:
    """A face detector as training leaves it."""
    pytest.importorskip("keras", reason="needs the extra [train]")
    from .blob_net import blob_net, saved

    return saved(tmp_path_factory.mktemp("detector") / "fer_face.keras", blob_net())


@pytest.fixture(scope="session")
def converted(detector):
    """What the command made of it at two sizes; without the trial of the .keras in a child."""
    remember(file_sha256(detector))
    done = call(detector, "--size", "320x240", "--size", "192x144", "--debug")
    assert done.exit_code == 0, done.output
    return done
