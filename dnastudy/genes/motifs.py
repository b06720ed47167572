"""Sequence motifs: read a matrix of counts, turn it into log-odds, score every place of both strands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import END, join, known_bases
from dnastudy.genes.corpus import Corpus

_ROW = re.compile(r"([ACGT]?)\s*\[?([\d.\s]+)\]?\s*")
# Bases before and after the border that a site's score takes in (Yeo & Burge 2004): for the donor the exon
# comes first, for the acceptor the intron.
WIDTHS = {"donor": (3, 6), "acceptor": (20, 3)}
DINUCLEOTIDES = {"donor": (0, (2, 3)), "acceptor": (-2, (0, 2))}  # GT begins an intron, AG ends it
FEWEST_SITES = 30  # sites to fit a matrix on


class Motif(NamedTuple):
    """A motif: its accession, its name, and counts of A, C, G and T at each place (float64 [width, 4])."""

    id: str
    name: str
    counts: np.ndarray


def read_jaspar(path: str | Path, id: str) -> Motif:
    """Read one motif of a file in a form of JASPAR's: a `>id name` line, then counts of A, C, G and T by line."""
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
    """How much more likely each base is in the motif than outside, with one pseudocount a place (Stormo 2000)."""
    shares = np.full(4, 0.25) if background is None else np.asarray(background, dtype=np.float64)
    counts = motif.counts + shares
    return np.log2(counts / counts.sum(axis=1, keepdims=True) / shares)


def scan(codes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score every place of a sequence on both strands, float32; minus infinity with an unknown base among them."""
    return tuple(_scan(codes, _padded(each, np.float32)) for each in (weights, weights[::-1, ::-1]))


def _padded(weights: np.ndarray, dtype: type) -> np.ndarray:
    """Weights of the four bases and of an unknown one, [width, 5]."""
    return np.column_stack([weights, np.full(len(weights), -np.inf)]).astype(dtype)


@numba.njit(cache=True)
def _scan(codes, weights):
    scores = np.zeros(max(len(codes) - len(weights) + 1, 0), dtype=weights.dtype)
    for start in range(len(scores)):
        score = weights[0, min(codes[start], 4)]
        for place in range(1, len(weights)):
            score += weights[place, min(codes[start + place], 4)]
        scores[start] = score
    return scores


class SpliceSite(NamedTuple):
    """Log-odds of each base at each place of a site, and the score that three in four real sites reach.

    ``weights`` are bits, float64, [width, 4].
    """

    weights: np.ndarray
    threshold: float


def fit_splice_sites(corpus: Corpus) -> dict[str, SpliceSite]:
    """Fit a weight matrix to the borders of the training genes' exons, for "donor" and "acceptor".

    A gene's own end is no border. Only borders with the usual GT or AG are taken, against the base composition
    of the training genes (Shapiro & Senapathy 1987; one pseudocount a base).
    """
    exons = corpus.intervals[corpus.intervals["kind"] == "exon"]
    gene = np.searchsorted(corpus.offsets, exons["start"].to_numpy(), side="right") - 1
    exons, gene = exons[corpus.split[gene] == 0], gene[corpus.split[gene] == 0]
    train = np.zeros(4, dtype=np.int64)
    for begin, end in corpus.spans("train"):
        train += np.bincount(corpus.all_codes[begin:end], minlength=5)[:4]
    sites = {}
    for name, borders in (("donor", exons["end"].to_numpy()), ("acceptor", exons["start"].to_numpy())):
        before, after = WIDTHS[name]
        place, bases = DINUCLEOTIDES[name]
        inner = (borders - before >= corpus.offsets[gene]) & (borders + after <= corpus.offsets[gene + 1])
        windows = corpus.all_codes[borders[inner, None] + np.arange(-before, after)]
        usual = (windows[:, before + place : before + place + 2] == bases).all(axis=1)
        windows = windows[usual & (windows < END).all(axis=1)]
        if len(windows) < FEWEST_SITES:
            continue
        counts = 1 + (windows[:, :, None] == np.arange(4)).sum(axis=0)
        weights = np.log2(counts / counts.sum(axis=1, keepdims=True)) - np.log2(train / train.sum())
        scores = _scan(windows.ravel(), _padded(weights, np.float64))[:: before + after]
        sites[name] = SpliceSite(weights, float(np.quantile(scores, 0.25)))
    return sites


def site_density(sequences: Sequence[str], site: SpliceSite) -> np.ndarray:
    """Places in each sequence that score as high as three in four real sites do: per kb, float64, [n]."""
    text, begins = join(sequences)
    places = np.flatnonzero(_scan(text, _padded(site.weights, np.float64)) >= site.threshold)
    found = np.bincount(np.searchsorted(begins, places, side="right") - 1, minlength=len(begins))
    return 1000 * found / np.maximum(known_bases(sequences), 1)
