"""Read FASTA into base codes, contig by contig, and say what was found on the way."""

from __future__ import annotations

import gzip
import hashlib
import mmap
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnastudy.files import InputError, atomic_path

UNKNOWN = 4
DAMAGED_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)
BASES = "ACGTN"
IUPAC = b"ACGTURYSWKMBDHVN"

_CODE = np.full(256, UNKNOWN, dtype=np.uint8)
for _code, _base in enumerate(b"ACGT"):
    _CODE[[_base, _base + 32]] = _code
_COMPLEMENT = np.array([3, 2, 1, 0, UNKNOWN], dtype=np.uint8)
_LETTER = np.frombuffer(BASES.encode(), dtype=np.uint8)
_LEGAL = frozenset(IUPAC + IUPAC.lower())
_UNAMBIGUOUS = frozenset(b"ACGTNacgtn")
_HEADER = re.compile(rb"(?:\A|[\r\n])>([^\r\n]*)")


class Record(NamedTuple):
    """One FASTA record as base codes, with what was done to its letters.

    ``m5`` is the SAM specification's M5 tag: the MD5 of the upper-case sequence as it stands in the file.
    ``lower_case``, ``iupac`` and ``unknown`` count bases: soft-masked ones, ambiguity codes other than N, and
    all that became unknown.
    """

    name: str
    codes: np.ndarray
    m5: str
    lower_case: int
    iupac: int
    unknown: int


def encode(sequence: str | bytes) -> np.ndarray:
    """Code a sequence as uint8: A C G T = 0 1 2 3 in either case, anything else 4; shape ``(bases,)``."""
    if isinstance(sequence, str):
        sequence = sequence.encode("ascii", errors="replace")
    return _CODE[np.frombuffer(sequence, dtype=np.uint8)]


def decode(codes: np.ndarray) -> str:
    """Spell base codes as letters; an unknown base becomes ``N``."""
    return _LETTER[codes].tobytes().decode("ascii")


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Return the codes of the opposite strand, read 5' to 3'; an unknown base stays unknown."""
    return _COMPLEMENT[codes[::-1]]


def m5(sequence: str | bytes | np.ndarray) -> str:
    """Identity of a sequence: the MD5 of its upper-case letters (SAM specification, ``@SQ M5``)."""
    if isinstance(sequence, np.ndarray):
        sequence = decode(sequence)
    if isinstance(sequence, str):
        sequence = sequence.encode("ascii")
    return hashlib.md5(sequence.upper(), usedforsecurity=False).hexdigest()


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


def read_fasta(path: str | Path) -> Iterator[Record]:
    """Yield the records of a FASTA file in file order, holding one at a time.

    Takes plain, gzip and bgzip files, either case, CRLF line ends and a last line without one. The index and
    any decompressed copy go to a temporary folder, so the file's own folder may be read-only.

    Raises
    ------
    InputError
        When the file is missing, empty, truncated or no FASTA, a record is empty or named twice, its lines
        are of unequal length, or a character is no IUPAC nucleotide code.
    """
    import pyfaidx

    path = Path(path)
    with tempfile.TemporaryDirectory(prefix="dnastudy-") as scratch:
        plain = _plain_copy(path, Path(scratch))
        _check_headers(plain, path)
        try:
            fasta = pyfaidx.Fasta(str(plain), as_raw=True)
        except (pyfaidx.FastaIndexingError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}: cannot be indexed ({error}); expected ASCII records whose lines are of one length. "
                "Rewrap it, for example with `seqkit seq -w 60`"
            ) from None
        with fasta:
            for contig in fasta:
                if not len(contig):
                    line = _line_of_record(plain, contig.name)
                    raise InputError(
                        f"{path}, line {line}: record {contig.name!r} is empty; expected at least one base. "
                        "Remove the header, or supply its sequence"
                    )
                try:
                    letters = contig[:].encode("ascii")
                except UnicodeError:
                    raise InputError(
                        f"{path}: record {contig.name!r} holds characters outside ASCII; expected IUPAC "
                        "nucleotide codes. Save the file as plain text"
                    ) from None
                width = fasta.faidx.index[contig.name].lenc
                yield _code_record(contig.name, letters, path, plain, width)


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


def _check_headers(plain: Path, path: Path) -> None:
    """Refuse what pyfaidx would take silently or reject without saying where."""
    if plain.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; expected FASTA records (a `>name` line, then bases)")
    with open(plain, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as text:
        first = bytes(text[:4096]).lstrip()[:1]
        if first not in (b">", b";"):
            raise InputError(
                f"{path}: not a FASTA file; expected its first line to begin with '>', found "
                f"{bytes(text[:20])!r}. Check that the right file was given"
            )
        seen: dict[bytes, int] = {}
        for match in _HEADER.finditer(text):
            name = match[1].split()[:1]
            if not name or name[0] in seen:
                line = _line_at(text, match.start(1))
                what = f"a second record named {name[0].decode(errors='replace')!r}" if name else "a nameless record"
                where = f" (the first is on line {_line_at(text, seen[name[0]])})" if name else ""
                raise InputError(
                    f"{path}, line {line}: found {what}{where}; expected one name for each record. Rename it"
                )
            seen[name[0]] = match.start(1)


def _line_at(text: mmap.mmap, offset: int) -> int:
    return bytes(text[:offset]).count(b"\n") + 1


def _line_of_record(plain: Path, name: str) -> int:
    with open(plain, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for match in _HEADER.finditer(text):
            if match[1].split()[0] == name.encode():
                return _line_at(text, match.start(1))
    raise KeyError(name)


def _code_record(name: str, letters: bytes, path: Path, plain: Path, width: int) -> Record:
    raw = np.frombuffer(letters, dtype=np.uint8)
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(raw), 1 << 22):  # bincount widens its input eightfold
        counts += np.bincount(raw[start : start + (1 << 22)], minlength=256)
    found = set(np.flatnonzero(counts).tolist())
    if illegal := found - _LEGAL:
        position = min(letters.index(bytes([byte])) for byte in illegal)
        line = _line_of_record(plain, name) + 1 + position // width
        raise InputError(
            f"{path}, line {line}: {chr(letters[position])!r} at base {position + 1:,} of contig {name!r} is "
            f"no nucleotide code; expected one of {IUPAC.decode()} in either case. Replace it with N"
        )
    return Record(
        name=name,
        codes=_CODE[raw],
        m5=m5(letters),
        lower_case=int(sum(counts[byte] for byte in found if byte >= ord("a"))),
        iupac=int(sum(counts[byte] for byte in found - _UNAMBIGUOUS)),
        unknown=int(sum(counts[byte] for byte in found if _CODE[byte] == UNKNOWN)),
    )
