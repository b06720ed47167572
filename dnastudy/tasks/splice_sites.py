"""How strongly sequence looks like the ends of introns: weight matrices of the training genes' splice sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnastudy.tasks.copies import END, join
from dnastudy.tasks.likelihood import known_bases

if TYPE_CHECKING:
    from dnastudy.genes import Corpus

# Bases before and after the border that a site's score takes in (Yeo & Burge 2004): for the donor the exon
# comes first, for the acceptor the intron.
WIDTHS = {"donor": (3, 6), "acceptor": (20, 3)}
DINUCLEOTIDES = {"donor": (0, (2, 3)), "acceptor": (-2, (0, 2))}  # GT begins an intron, AG ends it
FEWEST = 30  # sites to fit a matrix on


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

    Returns
    -------
    By name; without those that have under 30 borders, and empty where the corpus knows no exons.
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
        if len(windows) < FEWEST:
            continue
        counts = 1 + (windows[:, :, None] == np.arange(4)).sum(axis=0)
        weights = np.log2(counts / counts.sum(axis=1, keepdims=True)) - np.log2(train / train.sum())
        sites[name] = SpliceSite(weights, float(np.quantile(_scores(weights, windows.T), 0.25)))
    return sites


def site_density(sequences: Sequence[str], site: SpliceSite) -> np.ndarray:
    """Places in each sequence that score as high as three in four real sites do: per kb, float64, [n]."""
    text, begins = join(sequences)
    width = len(site.weights)
    if len(text) < width:
        return np.zeros(len(begins))
    scores = _scores(site.weights, np.lib.stride_tricks.sliding_window_view(text, len(text) - width + 1))
    places = np.flatnonzero(scores >= site.threshold)
    found = np.bincount(np.searchsorted(begins, places, side="right") - 1, minlength=len(begins))
    return 1000 * found / np.maximum(known_bases(sequences), 1)


def _scores(weights: np.ndarray, bases: np.ndarray) -> np.ndarray:
    """Sum of the weights of codes [width, n], float64, [n]; minus infinity with an unknown base among them."""
    table = np.column_stack([weights, np.full(len(weights), -np.inf)])
    scores = np.zeros(bases.shape[1])
    for row, letters in zip(table, bases, strict=True):
        scores += row[letters]
    return scores
