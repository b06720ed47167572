"""Read FASTA into base codes, contig by contig, and say what was found on the way."""

from __future__ import annotations

import gzip
import mmap
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnastudy.files import InputError, atomic_path
from dnastudy.genes.codes import IUPAC, encode, m5

DAMAGED_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)
_LOWER = bytes(range(ord("a"), ord("z") + 1))
_AMBIGUOUS = b"URYSWKMBDHVuryswkmbdhv"
_HEADER = re.compile(rb"(?:\A|[\r\n])>([^\r\n]*)")


class Record(NamedTuple):
    """One FASTA record as base codes.

    ``m5`` is the SAM specification's M5 tag: the MD5 of the upper-case sequence as it stands in the file.
    ``changes`` counts what was done to it (see `count_changes`).
    """

    name: str
    codes: np.ndarray
    m5: str
    changes: dict[str, int]


def count_changes(letters: bytes) -> dict[str, int]:
    """Count the bases that coding changes: soft-masked ones, IUPAC codes other than N, all that become unknown."""

    def count(of: bytes) -> int:
        return len(letters) - len(letters.translate(None, of))

    iupac = count(_AMBIGUOUS)
    lower, unknown = count(_LOWER), iupac + count(b"Nn")
    return {"lower_case_read_as_upper": lower, "iupac_read_as_unknown": iupac, "unknown": unknown}


def canonical_contig(name: str) -> str:
    """Give a human contig its UCSC name (``19`` is ``chr19``, ``MT`` is ``chrM``); any other name is kept."""
    bare = name[3:] if name.lower().startswith("chr") else name
    if bare in ("M", "MT"):
        return "chrM"
    if re.fullmatch(r"[1-9]\d?|[XY]", bare):
        return f"chr{bare}"
    return name


def is_gzip(path: Path) -> bool:
    """Whether a file is gzip or bgzip, by its first bytes: names are not to be relied on."""
    with open(path, "rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


def damaged_gzip(path: Path, error: Exception) -> InputError:
    """Say that a gzip file cannot be read to its end."""
    return InputError(
        f"{path}: truncated or damaged gzip file ({error}); expected a whole one. Fetch or compress it again"
    )


def read_fasta(path: str | Path, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Record]:
    """Yield the records of a FASTA file (plain, gzip or bgzip) in file order, holding one at a time."""
    import pyfaidx

    path = Path(path)
    # The index and any decompressed copy go to a temporary folder, since the file's own may be read-only.
    with tempfile.TemporaryDirectory(prefix="dnastudy-") as scratch:
        plain = _plain_copy(path, Path(scratch))
        headers = _find_headers(plain, path)
        try:
            fasta = pyfaidx.Fasta(str(plain), as_raw=True)
        except (pyfaidx.FastaIndexingError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}: cannot be indexed ({error}); expected ASCII records whose lines are of one length. "
                "Rewrap it, for example with `seqkit seq -w 60`"
            ) from None
        with fasta:
            for contig in filter(lambda record: wanted(record.name), fasta):
                yield _read_record(contig, fasta.faidx.index[contig.name].lenc, headers[contig.name], plain, path)


def read_names(path: str | Path) -> list[str]:
    """Names of the records of a FASTA file, in file order."""
    with tempfile.TemporaryDirectory(prefix="dnastudy-") as scratch:
        return list(_find_headers(_plain_copy(Path(path), Path(scratch)), Path(path)))


def write_fasta(path: str | Path, sequences: dict[str, str], *, width: int = 80) -> None:
    """Write sequences by name, ``width`` bases a line, atomically."""
    with atomic_path(path) as partial, open(partial, "w", encoding="ascii") as handle:
        for name, sequence in sequences.items():
            lines = (sequence[at : at + width] for at in range(0, len(sequence), width))
            handle.write("\n".join([f">{name}", *lines]) + "\n")


def _plain_copy(path: Path, scratch: Path) -> Path:
    """Return an uncompressed file of the same content in ``scratch`` (a link where nothing need be done)."""
    plain = scratch / "sequence.fa"
    try:
        if not is_gzip(path):
            plain.symlink_to(path.resolve())
            return plain
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a FASTA file there") from None
    try:
        with gzip.open(path, "rb") as source, atomic_path(plain) as partial, open(partial, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    return plain


def _find_headers(plain: Path, path: Path) -> dict[str, int]:
    """Offset of each record's name, refusing what pyfaidx would take silently or reject without saying where."""
    if plain.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; expected FASTA records (a `>name` line, then bases)")
    with open(plain, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as text:
        first = bytes(text[:4096]).lstrip()[:1]
        if first not in (b">", b";"):
            raise InputError(
                f"{path}: not a FASTA file; expected its first line to begin with '>', found "
                f"{bytes(text[:20])!r}. Check that the right file was given"
            )
        seen: dict[str, int] = {}
        for match in _HEADER.finditer(text):
            name = match[1].decode(errors="replace").split()[:1]
            if not name or name[0] in seen:
                what = f"a second record named {name[0]!r}" if name else "a nameless record"
                where = f" (the first is on line {_line_at(plain, seen[name[0]])})" if name else ""
                raise InputError(
                    f"{path}, line {_line_at(plain, match.start(1))}: found {what}{where}; expected one name for each "
                    "record. Rename it"
                )
            seen[name[0]] = match.start(1)
    return seen


def _line_at(plain: Path, offset: int) -> int:
    with open(plain, "rb") as handle:
        return handle.read(offset).count(b"\n") + 1


def _read_record(contig, line_length: int, header: int, plain: Path, path: Path) -> Record:
    """Code pyfaidx's ``contig``, whose name stands at offset ``header``; lines have ``line_length`` bases."""
    if not len(contig):
        raise InputError(
            f"{path}, line {_line_at(plain, header)}: record {contig.name!r} is empty; expected at least one base. "
            "Remove the header, or supply its sequence"
        )
    try:
        letters = contig[:].encode("ascii")
    except UnicodeError:
        raise InputError(
            f"{path}: record {contig.name!r} holds characters outside ASCII; expected IUPAC nucleotide codes. "
            "Save the file as plain text"
        ) from None
    if illegal := letters.translate(None, IUPAC + IUPAC.lower()):
        position = letters.index(illegal[:1])
        line = _line_at(plain, header) + 1 + position // line_length
        raise InputError(
            f"{path}, line {line}: {chr(illegal[0])!r} at base {position + 1:,} of contig {contig.name!r} is "
            f"no nucleotide code; expected one of {IUPAC.decode()} in either case. Replace it with N"
        )
    return Record(contig.name, encode(letters), m5(letters), count_changes(letters))
