"""Fetches FER-2013 from Kaggle, with the user's own credentials, and the FER+ votes from GitHub.

Nothing is overwritten; a file or folder is there whole or not at all. Where Kaggle gives nothing
out, the error says where to click and where to put the file by hand.
"""

import gzip
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..edge.download import (
    Expected,
    UnexpectedContentError,
    UnreachableError,
    download,
    why,
    write_checked,
)
from ..edge.errors import DataError
from .dataset_readers import EMOTIONS

COMPETITION = "challenges-in-representation-learning-facial-expression-recognition-challenge"
ARCHIVE = "fer2013.tar.gz"
MSAMBARE = "msambare/fer2013"
#: What ``--source`` takes, the default first. Kaggle gives msambare's public copy to anybody, even
#: without an account; the competition's own csv needs an account and its rules accepted, and in
#: return the FER+ votes can be joined to it and its pixels were never packed as JPEG.
SOURCES = ("msambare", "competition", "none")
VOTES_URL = "https://raw.githubusercontent.com/microsoft/FERPlus/master/fer2013new.csv"

CSV_NAME, VOTES_NAME, IMAGES_NAME = "fer2013.csv", "fer2013new.csv", "images"
# The csv has 301 MB, the votes 1.5 MB: what is far larger is something else.
_CSV = Expected(1 << 30, starts=(b"emotion,pixels,Usage",))
_VOTES = Expected(16 << 20, starts=(b"Usage,Image name,",))
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched.

    Attributes:
        path: Where it is.
        sha256: Of a single file; "" for a folder.
        kept: Where kagglehub keeps its own copy, which is not needed any more.
    """

    path: Path
    sha256: str = ""
    kept: Path | None = None


def default_folder() -> Path:
    """Where the data goes without ``--out``: ``fer-edge/fer2013`` in the user's data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("fer-edge", appauthor=False)) / "fer2013"


def fetch_competition(out: Path) -> Fetched:
    """Fetch the competition's ``fer2013.csv``: the rows in their own order, all three splits.

    Raises:
        DataError: Kaggle gave nothing out (the message says what to do), the archive is damaged,
            or the file is there already.
    """
    target = _free(out / CSV_NAME)
    page = f"https://www.kaggle.com/competitions/{COMPETITION}"
    by_hand = (
        f"Or by hand: open {page}/data, sign in, accept the rules at {page}/rules, download "
        f"{ARCHIVE}, unpack it and put its fer2013.csv at {target}"
    )
    found = _ask_kaggle(
        lambda kagglehub: kagglehub.competition_download(COMPETITION, path=ARCHIVE),
        f"{ARCHIVE} of the competition",
        f"{_SIGN_IN} Accept the competition's rules at {page}/rules. Then repeat the command.",
        by_hand,
    )
    return replace(_unpack_csv(found, target), kept=found)


def fetch_msambare(out: Path) -> Fetched:
    """Fetch the folders of images that msambare published: ``train/<class>``, ``test/<class>``.

    Raises:
        DataError: As :func:`fetch_competition`.
    """
    target = _free(out / IMAGES_NAME)
    page = f"https://www.kaggle.com/datasets/{MSAMBARE}"
    by_hand = (
        f"Or by hand: open {page}, press Download, and unpack the zip so that {target / 'train'} "
        f"and {target / 'test'} are there; --data takes the zip as it is, too"
    )
    found = _ask_kaggle(
        lambda kagglehub: kagglehub.dataset_download(MSAMBARE),
        f"the data set {MSAMBARE}",
        f"A public data set needs no account; if Kaggle asks for one: {_SIGN_IN}",
        by_hand,
    )
    root = _folder_of_classes(found)
    partial = _partial(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for part in ("train", "test"):
            if (root / part).is_dir():
                shutil.copytree(root / part, partial / part)
        partial.rename(target)
    except (OSError, shutil.Error) as exc:
        raise DataError(f"Cannot write {target}: {why(exc)}.") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Fetched(target, kept=found)


def fetch_votes(out: Path, *, url: str = VOTES_URL, timeout_s: float = _TIMEOUT_S) -> Fetched:
    """Fetch the FER+ votes from their authors.

    Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced
    Label Distribution" (ICMI 2016).

    Raises:
        DataError: They cannot be reached, what comes is no file of votes or is too large, or the
            file is there already.
    """
    target = _free(out / VOTES_NAME)
    by_hand = f"Open {url} in a browser and save it as {target}."
    try:
        return Fetched(target, download(url, target, _VOTES, timeout_s=timeout_s))
    except UnreachableError as exc:
        raise DataError(f"{exc}. {by_hand}") from exc
    except UnexpectedContentError as exc:
        raise DataError(f"What {url} sent is no file of FER+ votes: {exc}. {by_hand}") from exc


_SIGN_IN = (
    'Sign in at https://www.kaggle.com/settings/api, press "Generate New Token" and keep it where '
    "kagglehub looks: the file ~/.kaggle/access_token or the variable KAGGLE_API_TOKEN (an older "
    "~/.kaggle/kaggle.json does too)."
)


def _free(target: Path) -> Path:
    """The path, if nothing is there."""
    if target.exists() or target.is_symlink():
        raise DataError(
            f"{target} is there already and is not replaced. Use it with --data, move it away, or "
            f"choose another --out."
        )
    return target


def _ask_kaggle(download: Callable[[Any], str], what: str, cure: str, by_hand: str) -> Path:
    """Where kagglehub put what it fetched.

    Its messages may hold signed addresses, so none of them is passed on.
    """
    # Kaggle's progress is no result: standard output stays for what we fetched.
    with redirect_stdout(sys.stderr):
        import kagglehub

        try:
            return Path(download(kagglehub))
        # Whatever goes wrong in there (credentials, network, disk) ends with the same advice.
        except Exception as exc:
            raise DataError(
                f"Kaggle gave out nothing of {what}: {_kaggle_reason(exc)}.\n  {cure}\n  {by_hand}."
            ) from exc


def _kaggle_reason(exc: Exception) -> str:
    """In words, and without the text of a foreign error, what kept kagglehub from fetching."""
    import kagglehub.exceptions

    status = getattr(getattr(exc, "response", None), "status_code", None)
    if isinstance(exc, kagglehub.exceptions.UnauthenticatedError):
        return "no Kaggle credentials were found"
    if status == 401:
        return "it does not know these credentials (401)"
    if status == 403:
        return "access is refused (403): the rules are not accepted, or the credentials are wrong"
    if status is not None:
        return f"it answered with the status {status}"
    if isinstance(exc, kagglehub.exceptions.DataCorruptionError):
        return "what came was damaged on its way; repeat the command"
    if type(exc).__name__ in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError"):
        return "www.kaggle.com cannot be reached; is this machine online"
    if type(exc).__name__ == "SSLError":
        return "the connection is not trusted (TLS)"
    if type(exc) is ValueError:
        return "the file of the credentials (kaggle.json) cannot be used"
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.strerror} ({exc.filename or 'no file named'})"
    return type(exc).__name__


def _unpack_csv(found: Path, target: Path) -> Fetched:
    """Write the csv that an archive, or a folder with one, holds."""
    if found.is_dir():
        names = (CSV_NAME, ARCHIVE)
        inside = next((path for name in names for path in sorted(found.rglob(name))), None)
        if inside is None:
            raise DataError(f"Kaggle sent neither {CSV_NAME} nor {ARCHIVE}: see {found}.")
        found = inside
    damaged = f"Remove {found}, which kagglehub keeps, and repeat the command"
    try:
        if found.suffix == ".csv":
            with found.open("rb") as file:
                return Fetched(target, write_checked(file, target, _CSV))
        with tarfile.open(found) as archive:
            member = next(
                (m for m in archive if m.isfile() and Path(m.name).name == CSV_NAME), None
            )
            content = archive.extractfile(member) if member else None
            if content is None:
                raise UnexpectedContentError(f"it holds no {CSV_NAME}")
            return Fetched(target, write_checked(content, target, _CSV))
    except (
        UnexpectedContentError,
        tarfile.TarError,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
    ) as exc:
        raise DataError(f"{found} is not the archive expected: {exc}. {damaged}.") from exc
    except OSError as exc:
        raise DataError(f"Cannot write {target}: {why(exc)}. {damaged}.") from exc


def _folder_of_classes(found: Path) -> Path:
    """The folder below a download that holds ``train`` with all seven classes."""
    for root in (found, *sorted(path for path in found.glob("*") if path.is_dir())):
        classes = {path.name.lower() for path in (root / "train").glob("*") if path.is_dir()}
        if len(classes) >= len(EMOTIONS):
            return root
    raise DataError(
        f"Kaggle sent no train folder with seven classes: see {found}. Remove it, which kagglehub "
        f"keeps, and repeat the command."
    )


def _partial(target: Path) -> Path:
    return target.with_name(f"part-{os.getpid()}-{target.name}")
