"""Where the user's files are, and what becomes of a user without a home."""

import platformdirs
import pytest

from fer_edge.edge.folders import cache_folder, config_folder, data_folder

FOLDERS = {
    "user_config_dir": config_folder,
    "user_cache_dir": cache_folder,
    "user_data_dir": data_folder,
}


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_the_platform_s(name, monkeypatch):
    monkeypatch.setattr(platformdirs, name, lambda app, appauthor: f"/of/{name}/{app}")

    assert str(FOLDERS[name]()) == f"/of/{name}/fer-edge"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_user_without_a_home_has_none_and_no_traceback(name, monkeypatch):
    def no_home(app, appauthor):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(platformdirs, name, no_home)

    folder = FOLDERS[name]()

    assert not folder.exists()
    assert not folder.parent.exists()
