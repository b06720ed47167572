"""Sequence motifs: read a matrix of counts, turn it into log-odds, score every place of both strands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from dnastudy.files import InputError, nearest

_ROW = re.compile(r"([ACGT]?)\s*\[?([\d.\s]+)\]?\s*")


class Motif(NamedTuple):
    """A motif: its accession, its name, and counts of A, C, G and T at each place (float64 [width, 4])."""

    id: str
    name: str
    counts: np.ndarray


def read_jaspar(path: str | Path, id: str) -> Motif:
    """Read one motif of a file in a form of JASPAR's: a `>id name` line, then counts of A, C, G and T by line.

    Raises
    ------
    InputError
        With file and line, when the file can't be read, has no such motif, or its matrix is malformed.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as motifs ({error}); expected JASPAR counts") from None
    headers = {line[1:].split()[0]: number for number, line in enumerate(lines) if re.match(r">\s*\S", line)}
    if id not in headers:
        raise InputError(f"{path}: no motif {id!r}; {nearest(id, list(headers)[:20])}")
    at = headers[id]
    name = lines[at][1:].split()[-1].removeprefix(f"{id}.")
    rows = [_ROW.fullmatch(line) for line in lines[at + 1 : at + 5]]
    widths = {len(row[2].split()) for row in rows if row}
    if len(rows) < 4 or not all(rows) or len(widths) > 1 or [r[1] for r in rows] not in ([""] * 4, list("ACGT")):
        raise InputError(
            f"{path}, line {at + 2}: expected four lines of counts, of A, C, G and T, equally many in each; "
            f"found {' / '.join(lines[at + 1 : at + 5])[:80]!r}. Fetch the motif again"
        )
    return Motif(id, name, np.array([row[2].split() for row in rows], dtype=np.float64).T)


def log_odds(motif: Motif, background: np.ndarray | None = None) -> np.ndarray:
    """How much more likely each base is in the motif than outside, with one pseudocount a place (Stormo 2000).

    Parameters
    ----------
    motif
        Counts.
    background
        Share of A, C, G and T outside, [4]; None: a quarter each.

    Returns
    -------
    Bits, float64, [width, 4].
    """
    shares = np.full(4, 0.25) if background is None else np.asarray(background, dtype=np.float64)
    counts = motif.counts + shares
    return np.log2(counts / counts.sum(axis=1, keepdims=True) / shares)


def scan(codes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score every place of a sequence on both strands; minus infinity with an unknown base among them.

    Parameters
    ----------
    codes
        Base codes, uint8, [n].
    weights
        As `log_odds` returns them, [width, 4].

    Returns
    -------
    forward, reverse
        Sums of weights, float32, [n - width + 1]: at ``i``, of the bases ``i`` to ``i + width`` as they stand, and of
        their reverse complement. Empty when the sequence is shorter than the motif.
    """
    places = max(len(codes) - len(weights) + 1, 0)
    return tuple(_scan(codes, np.ascontiguousarray(each), places) for each in (weights, weights[::-1, ::-1]))


@numba.njit(cache=True)
def _scan(codes, weights, places):
    table = np.full((len(weights), 8), -np.inf, dtype=np.float32)
    table[:, :4] = weights
    scores = np.empty(places, dtype=np.float32)
    for start in range(places):
        score = np.float32(0)
        for place in range(len(table)):
            score += table[place, min(codes[start + place], 4)]
        scores[start] = score
    return scores
