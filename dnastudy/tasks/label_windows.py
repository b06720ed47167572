"""Labelled windows: find them, match and shuffle negatives, and divide them by place into training and held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import UNKNOWN, encode, reverse_complement
from dnastudy.genes.corpus import SPLITS
from dnastudy.genes.intervals import covered, label_loci
from dnastudy.genes.motifs import DINUCLEOTIDES, scan
from dnastudy.tasks.memorization import copied_bases
from dnastudy.tokens.tokenizer import Tokenizer

BLOCK = 1_000_000  # bases that a bootstrap draws together
BLOCKS = 10  # of a contig, at least: a short one has shorter blocks
TRIES = 128  # places of a gene that are looked at for one that is like a splice site
STRIDE = 25  # bases between the windows that are looked at for a match
GC, REPEATS = 0.02, 0.1  # by which a match's shares may differ
NEAR, FAR = 10_000, 1_000_000  # bases between the starts of a window and its match
CLEAR = 1000  # bases between a match and a place to be avoided


class Draw(NamedTuple):
    """Which windows of a label set are drawn: at most how many (of a split), and whether those that share bases."""

    most: Mapping[str, int] | int | None = None
    drop_shared: bool = False
    seed: int = 0

    def limit(self, split: str) -> int | None:
        """Rows of a split that are drawn at most; None for all."""
        return (self.most.get(split) if isinstance(self.most, Mapping) else self.most) or None


EVERYTHING = Draw()


Genome = Mapping[str, np.ndarray]  # codes by contig


class Region(NamedTuple):
    """A part of a contig that belongs to one split, in whole blocks of ``block`` bases."""

    contig: str
    split: str
    start: int
    end: int
    block: int


def divide(genome: Genome, splits: Mapping[str, str]) -> list[Region]:
    """Cut a validation part from the far end of each training contig: a tenth of its blocks."""
    found = []
    for contig, split in splits.items():
        if contig not in genome:
            raise InputError(f"no contig {contig!r} in the sequence; {nearest(contig, genome)}")
        if split not in ("train", "test"):
            raise InputError(f"contig {contig}: split {split!r}; expected train or test (validation is cut from train)")
        length = len(genome[contig])
        block = min(BLOCK, -(-length // BLOCKS))
        blocks = -(-length // block)
        cut = (blocks - max(1, round(blocks / BLOCKS))) * block
        parts = [("train", 0, cut), ("validation", cut, length)] if split == "train" else [("test", 0, length)]
        found += [Region(contig, *part, block) for part in parts]
    for split in ("train", "test"):
        if split not in splits.values():
            raise InputError(f"{', '.join(splits) or 'no contig'}: none is {split}; give at least one for each split")
    return found


def assign(table: pd.DataFrame, regions: Sequence[Region]) -> pd.DataFrame:
    """Add the split of each window (contig, start, end) and its group, the block that its middle lies in."""
    middle = (table["start"] + table["end"]) // 2
    parts, first = [], 0
    for contig, split, start, end, block in regions:
        here = (table["contig"] == contig) & (middle >= start) & (middle < end)
        parts.append(table[here].assign(split=split, group=first + (middle[here] - start) // block))
        first += -(-(end - start) // block)
    return pd.concat(parts).sort_index()


def hold_out(
    name: str,
    table: pd.DataFrame,
    codes: Sequence[np.ndarray],
    classes: Sequence[str],
    draw: Draw = EVERYTHING,
    *,
    by: Literal["class", "pair", "locus"] = "class",
) -> tuple[pd.DataFrame, list[np.ndarray], dict]:
    """Draw training rows, take what they know already out of the held-out ones, and draw from the rest."""
    table = table.reset_index(drop=True).assign(shared=False)
    rng = np.random.default_rng(draw.seed)
    drawn, facts = [], {}
    for split in SPLITS:
        rows = table[table["split"] == split]
        facts[split] = {"candidates": len(rows)}
        if split != "train":
            overlapping = bases_in(rows, drawn[0]) > 0
            train, held_out = ([codes[row] for row in table.index] for table in (drawn[0], rows))
            shares = copied_bases(train, held_out) > 0
            rows = rows.assign(shared=shares)
            facts[split] |= {"overlapping": int(overlapping.sum()), "sharing": int(shares.sum())}
            leaves = overlapping | (shares & draw.drop_shared)
            rows = rows[~(rows["unit"].isin(rows["unit"][leaves]) if by == "pair" else leaves)]
        check_classes(name, split, rows["label"], classes)
        limit = draw.limit(split)
        drawn.append(_draw(rows, limit, len(classes), by, rng))
        check_classes(name, split, drawn[-1]["label"], classes, f"among {limit} examples")
    table = pd.concat(drawn).drop(columns="unit", errors="ignore")
    return table.reset_index(drop=True), [codes[row] for row in table.index], facts


def check_classes(name: str, split: str, labels: Sequence[int], classes: Sequence[str], of: str = "") -> None:
    """Refuse a split that lacks a class (`InputError`)."""
    counts = np.bincount(labels, minlength=len(classes))
    if len(classes) < 2 or not counts.all():
        found = ", ".join(f"{count:,} of {word!r}" for word, count in zip(classes, counts, strict=True)) or "nothing"
        mend = "Let more of them be drawn" if of else "Add sequences of what is missing"
        raise InputError(
            f"{name}, {split}: found {found}{of and ' '}{of}; expected at least two classes and an example of "
            f"each. {mend}"
        )


def _draw(rows: pd.DataFrame, most: int | None, classes: int, by: str, rng: np.random.Generator) -> pd.DataFrame:
    """Draw rows, as many of each of the ``classes``; pairs, as many as fit; or loci, until there are ``most`` rows."""
    if by == "class":
        fewest = np.bincount(rows["label"], minlength=classes).min()
        count = fewest if most is None else min(fewest, most // classes)
        by_class = [rows.index[rows["label"] == label] for label in range(classes)]
        chosen = [rng.choice(index, count, replace=False, shuffle=False) for index in by_class]
        return rows.loc[np.sort(np.concatenate(chosen))]
    sizes = rows.groupby("unit").size()
    order = rng.permutation(sizes.index)
    ends = np.cumsum(sizes[order])
    fits = ends - (sizes[order] if by == "locus" else 1) < (len(rows) if most is None else most)
    return rows[rows["unit"].isin(order[fits])]


def cut(
    genome: Genome, table: pd.DataFrame, dropped: dict[str, int], regions: Sequence[Region] = ()
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Windows (in regions, if any) with no base unknown or past an end, and their codes; ``dropped`` counts others."""
    lengths = table["contig"].map({name: len(codes) for name, codes in genome.items()}).astype(np.int64)
    inside = (table["start"] >= 0) & (table["end"] <= lengths)
    table, past = table[inside], int((~inside).sum())
    codes = [genome[row.contig][row.start : row.end] for row in table.itertuples()]
    known = np.array([bool((each < UNKNOWN).all()) for each in codes], dtype=bool)
    for what, count in (("past a contig's end", past), ("unknown base", int((~known).sum()))):
        dropped[what] = dropped.get(what, 0) + count
    strands = zip(codes, table["strand"] == "+", known, strict=True)
    codes = [each if forward else reverse_complement(each) for each, forward, whole in strands if whole]
    table = table[known].reset_index(drop=True)
    return (assign(table, regions) if regions else table), codes


def thin(starts: pd.DataFrame, width: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out starts within ``width`` bases of the one before on their strand; and how many those are."""
    starts = starts.sort_values(["contig", "position"], ignore_index=True)
    apart, last = [], {}
    for row in starts.itertuples():
        apart.append(row.position - last.get((row.contig, row.strand), -width) >= width)
        if apart[-1]:
            last[row.contig, row.strand] = row.position
    return starts[apart], {"start within a window of another": len(apart) - sum(apart)}


def match(
    genome: Genome,
    positives: pd.DataFrame,
    regions: Sequence[Region],
    starts: pd.DataFrame,
    repeats: pd.DataFrame | None,
    seed: int,
) -> np.ndarray:
    """First base of each promoter's match, int64, [n]; -1 where not both lie whole in the region of their split."""
    found = np.full(len(positives), -1, dtype=np.int64)
    for contig, split, low, high, _ in regions:
        here = (positives["contig"] == contig) & (positives["split"] == split)
        here &= (positives["start"] >= low) & (positives["end"] <= high)
        if here.any():
            start, end = positives.loc[here, ["start", "end"]].to_numpy().T
            avoid = starts.loc[starts["contig"] == contig, "position"].to_numpy()
            own = None if repeats is None else repeats[repeats["contig"] == contig]
            how = {"avoid": avoid, "within": (low, high), "repeats": own, "seed": seed}
            found[here] = matched_windows(genome[contig], start, int(end[0] - start[0]), **how)
    return found


def bases_in(windows: pd.DataFrame, intervals: pd.DataFrame) -> pd.Series:
    """Bases of each window (contig, start, end) that lie in intervals, int64, [n]."""
    inside = pd.Series(0, windows.index)
    for contig, here in windows.groupby("contig"):
        inside[here.index] = covered(here["start"], here["end"], intervals[intervals["contig"] == contig])
    return inside


def windows_about(starts: pd.DataFrame, known: pd.DataFrame, reach: int, width: int, stride: int) -> pd.DataFrame:
    """Windows within ``reach`` bases of the transcription starts of one contig (ascending), each window once."""
    places = starts["position"].to_numpy()
    begins = [np.arange(-(-(at - reach) // stride) * stride, at + reach - width + 1, stride) for at in places]
    begins = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *begins]))
    windows = starts.iloc[np.searchsorted((places[1:] + places[:-1]) / 2, begins + width // 2)][["contig", "strand"]]
    windows = windows.rename_axis("unit").reset_index().assign(start=begins, end=begins + width)
    holds, doubtful = (
        np.searchsorted(at, windows["end"]) > np.searchsorted(at, windows["start"])
        for at in (places, np.sort(known["position"]))
    )
    return windows.assign(label=np.where(holds, 1, -doubtful.astype(np.int64)))


def motif_hits(codes: np.ndarray, weights: np.ndarray, threshold: float) -> pd.DataFrame:
    """Where a motif scores ``threshold`` bits or more on either strand, the best of hits that overlap: site, strand."""
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
    return sites.assign(border=border, label=0)[found].drop_duplicates(["border", "strand"])


def token_shuffle(codes: np.ndarray, tokenizer: Tokenizer, rng: np.random.Generator) -> np.ndarray:
    """The tokens of a sequence in random order, as codes (uint8, [n]): the negatives of Sanabria et al. 2024."""
    return encode(tokenizer.decode(rng.permutation(tokenizer.encode(codes))))


def matched_windows(
    codes: np.ndarray,
    starts: np.ndarray,
    width: int,
    *,
    avoid: np.ndarray,
    within: tuple[int, int],
    repeats: pd.DataFrame | None = None,
    seed: int = 0,
) -> np.ndarray:
    """First base of a window like each, drawn: int64, [n]; -1 where there is none.

    Of like GC and repeat share (`GC`, `REPEATS`), `NEAR` to `FAR` away; none overlaps another, comes near a place to be
    avoided, or has an unknown base.
    """
    rng = np.random.default_rng(seed)
    grid = np.arange(within[0], within[1] - width + 1, STRIDE)
    unknown = np.append(np.int32(0), np.cumsum(codes >= UNKNOWN, dtype=np.int32))
    grid = grid[unknown[grid + width] == unknown[grid]]
    avoid = np.sort(avoid)
    grid = grid[np.searchsorted(avoid, grid + width + CLEAR) == np.searchsorted(avoid, grid - CLEAR)]
    gc = np.append(np.int32(0), np.cumsum((codes == 1) | (codes == 2), dtype=np.int32))

    def describe(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = np.zeros(len(places)) if repeats is None else covered(places, places + width, repeats)
        return gc[places + width] - gc[places], inside

    (grid_gc, grid_repeats), free = describe(grid), np.ones(len(grid), dtype=bool)
    own_gc, own_repeats = describe(starts)
    found = np.full(len(starts), -1, dtype=np.int64)
    for number in rng.permutation(len(starts)):
        start = starts[number]
        edges = np.searchsorted(grid, [start - FAR, start - NEAR + 1, start + NEAR, start + FAR + 1])
        about = slice(edges[0], edges[3])
        like = free[about] & (abs(grid_gc[about] - own_gc[number]) <= round(GC * width))
        like &= abs(grid_repeats[about] - own_repeats[number]) <= round(REPEATS * width)
        like[edges[1] - edges[0] : edges[2] - edges[0]] = False
        if like.any():
            found[number] = chosen = grid[about][rng.choice(np.flatnonzero(like))]
            low, high = np.searchsorted(grid, [chosen - width + 1, chosen + width])
            free[low:high] = False
    return found
