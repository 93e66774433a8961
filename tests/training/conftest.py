"""A way around drawing, which takes longer than training what the tests train."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def module_undrawn() -> Iterator[None]:
    """In a whole module, its fixtures too, figures become files of a few bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fer_edge.training.plots.png", lambda _figure: b"undrawn")
        yield


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """For a test that looks at no figure."""
    monkeypatch.setattr("fer_edge.training.plots.png", lambda _figure: b"undrawn")
