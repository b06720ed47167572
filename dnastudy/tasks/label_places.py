"""Where labelled windows lie: starts thinned out, matches nearby, motif hits, look-alikes of splice sites; and cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.genes.fasta import UNKNOWN, reverse_complement
from dnastudy.genes.intervals import label_loci
from dnastudy.genes.motifs import scan
from dnastudy.tasks.label_splits import Region
from dnastudy.tasks.negatives import matched_windows
from dnastudy.tasks.regions import covered
from dnastudy.tasks.splice_sites import DINUCLEOTIDES

if TYPE_CHECKING:
    import pandas as pd

TRIES = 128  # places of a gene that are looked at for one that is like a splice site


def cut(
    genome: Mapping[str, np.ndarray], table: pd.DataFrame, dropped: dict[str, int]
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Windows that lie in their contig and have no unknown base, and their codes, each on its strand.

    How many others there were is added to ``dropped``.
    """
    lengths = table["contig"].map({name: len(codes) for name, codes in genome.items()}).astype(np.int64)
    inside = (table["start"] >= 0) & (table["end"] <= lengths)
    codes = {row.Index: genome[row.contig][row.start : row.end] for row in table[inside].itertuples()}
    known = {row: bool((each < UNKNOWN).all()) for row, each in codes.items()}
    dropped["past a contig's end"] = dropped.get("past a contig's end", 0) + int((~inside).sum())
    dropped["unknown base"] = dropped.get("unknown base", 0) + sum(not all_known for all_known in known.values())
    table = table[np.array([known.get(row, False) for row in table.index], dtype=bool)]
    codes = [codes[row] if strand == "+" else reverse_complement(codes[row]) for row, strand in table["strand"].items()]
    return table.reset_index(drop=True), codes


def thin(starts: pd.DataFrame, width: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out what follows a kept start on its strand within ``width`` bases; and how many those are."""
    starts = starts.sort_values(["contig", "position"], ignore_index=True)
    kept, last = [], {}
    for row in starts.itertuples():
        before = last.get((row.contig, row.strand))
        kept.append(before is None or row.position - before >= width)
        if kept[-1]:
            last[row.contig, row.strand] = row.position
    return starts[kept], {"start within a window of another": len(kept) - sum(kept)}


def match(
    genome: Mapping[str, np.ndarray],
    positives: pd.DataFrame,
    regions: Sequence[Region],
    starts: pd.DataFrame,
    repeats: pd.DataFrame | None,
    seed: int,
) -> np.ndarray:
    """First base of each promoter's match, int64, [n]; -1 where there is none.

    Both lie whole in the region of their split, so that none overlaps what another split holds.
    """
    found = np.full(len(positives), -1, dtype=np.int64)
    for region in regions:
        here = (positives["contig"] == region.contig) & (positives["split"] == region.split)
        here &= (positives["start"] >= region.start) & (positives["end"] <= region.end)
        if here.any():
            own = positives[here]
            found[here] = matched_windows(
                genome[region.contig],
                own["start"].to_numpy(),
                int(own["end"].iloc[0] - own["start"].iloc[0]),
                avoid=starts.loc[starts["contig"] == region.contig, "position"].to_numpy(),
                within=(region.start, region.end),
                repeats=None if repeats is None else repeats[repeats["contig"] == region.contig],
                seed=seed,
            )
    return found


def repeat_share(table: pd.DataFrame, repeats: pd.DataFrame) -> pd.Series:
    """Share of each window's bases that lie in a repeat, float64, [n]."""
    share = table["start"] * 0.0
    for contig, here in table.groupby("contig"):
        inside = covered(here["start"], here["end"], repeats[repeats["contig"] == contig])
        share[here.index] = inside / (here["end"] - here["start"])
    return share


def windows_about(starts: pd.DataFrame, known: pd.DataFrame, reach: int, width: int, stride: int) -> pd.DataFrame:
    """Windows within ``reach`` bases of the transcription starts of one contig (ascending), each window once.

    Returns
    -------
    DataFrame: contig, start, end, strand (of the start next to the window's middle), unit (that start's index), label
    (1 where a start of either strand lies in the window, -1 where none does but a ``known`` position, else 0).
    """
    places = starts["position"].to_numpy()
    begins = [grid(place - reach, place + reach, width, stride) for place in places]
    begins = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *begins]))
    windows = starts.iloc[np.searchsorted((places[1:] + places[:-1]) / 2, begins + width // 2)][["contig", "strand"]]
    windows = windows.rename_axis("unit").reset_index().assign(start=begins, end=begins + width)
    holds, doubtful = (
        np.searchsorted(at, windows["end"]) > np.searchsorted(at, windows["start"])
        for at in (places, np.sort(known["position"]))
    )
    return windows.assign(label=np.where(holds, 1, -doubtful.astype(np.int64)))


def grid(low: int, high: int, width: int, stride: int) -> np.ndarray:
    """Begins of the windows between two places, at the multiples of ``stride``: int64."""
    return np.arange(-(-low // stride) * stride, high - width + 1, stride, dtype=np.int64)


def motif_hits(codes: np.ndarray, weights: np.ndarray, threshold: float) -> pd.DataFrame:
    """Where a motif scores ``threshold`` bits or more on either strand, the best of hits that overlap: site, strand."""
    import pandas as pd

    forward, reverse = scan(codes, weights)
    score = np.maximum(forward, reverse)
    site = np.flatnonzero(score >= threshold)
    hits = pd.DataFrame({"site": site, "strand": np.where(forward[site] >= reverse[site], "+", "-")})
    best = pd.Series(score[site]).groupby(label_loci(site, site + len(weights))).idxmax()
    return hits.loc[best].reset_index(drop=True)


def look_alikes(codes: np.ndarray, sites: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """For each splice site of a contig a place in its gene that looks like one of its kind, each place once."""
    spans = sites.groupby("gene")["border"].agg(["min", "max"]).loc[sites["gene"]].to_numpy()
    tries = rng.integers(spans[:, :1], spans[:, 1:] + 1, size=(len(sites), TRIES))
    inner = (tries >= 2) & (tries <= len(codes) - 2)
    like = np.zeros(tries.shape, dtype=bool)
    for kind, (offset, bases) in DINUCLEOTIDES.items():
        for strand in "+-":
            here = ((sites["kind"] == kind) & (sites["strand"] == strand)).to_numpy()
            first, second = bases if strand == "+" else (3 - bases[1], 3 - bases[0])
            at = np.where(inner, tries, 2)[here] + (offset if strand == "+" else -2 - offset)
            like[here] = (codes[at] == first) & (codes[at + 1] == second)
    like &= inner & ~np.isin(tries, sites["border"])
    found = like.any(axis=1)
    border = tries[np.arange(len(tries)), like.argmax(axis=1)]
    decoys = sites.assign(border=border, label=0)[found]
    return decoys.drop_duplicates(["border", "strand"])
