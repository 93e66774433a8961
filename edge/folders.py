"""The user's own folders for configuration, fetched models and profiles."""

from pathlib import Path

# A user without a home, such as a service's: nothing is found there, and writing says why.
_NOWHERE = Path("/nonexistent/fer-edge")


def config_folder() -> Path:
    """Where the user's ``config.toml`` is looked for."""
    return _folder("user_config_dir")


def cache_folder() -> Path:
    """Where fetched models are kept."""
    return _folder("user_cache_dir")


def data_folder() -> Path:
    """Where profiles are kept."""
    return _folder("user_data_dir")


def _folder(name: str) -> Path:
    import platformdirs

    try:
        return Path(getattr(platformdirs, name)("fer-edge", appauthor=False))
    except RuntimeError:
        # Of pathlib: no HOME, and no entry of this user in /etc/passwd either.
        return _NOWHERE
