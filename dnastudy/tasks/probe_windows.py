"""Windows of contigs, what lies in each of them, and what a probe of their embeddings can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.genes.codes import UNKNOWN
from dnastudy.genes.intervals import covered, touched
from dnastudy.tasks.next_kmer import draw_examples

REPEATS = ("SINE", "LINE", "LTR")  # the classes that a probe is asked to tell from one another and from none
MOSTLY, HARDLY = 0.5, 0.1  # share of a window that counts as being of a kind, and up to which it counts as not
ORIENTED = 0.25  # share of a window in Alus of one strand, to ask which
TOLD_BY = {  # what windows are told by a track
    "any gene": ("in_gene", "gene", "in_any_gene", "tss", "any_start"),
    "CpG islands": ("island",),
    "repeats": ("in_repeats", "repeat", "alu"),
}


class Claim(NamedTuple):
    """Something that embeddings are said to tell: names of the answers, and each window's, int64 [n].

    The answer is -1 where a window isn't asked.
    """

    classes: tuple[str, ...]
    labels: np.ndarray


def draw_regions(
    codes: np.ndarray, *, count: int, length: int, places: Mapping[str, np.ndarray], most: int, seed: int = 0
) -> pd.DataFrame:
    """Draw windows of known bases that don't overlap: some from anywhere, and some about places of a kind."""
    random = np.random.default_rng(seed)
    starts = draw_examples(codes, count, context=length, most=0, seed=seed) - length
    rows = [(start, "anywhere") for start in starts.tolist()]
    taken = codes >= UNKNOWN
    for start in starts:
        taken[start : start + length] = True
    for kind, its in places.items():
        found = 0
        for start in (its[random.permutation(len(its))] - random.integers(length, size=len(its))).tolist():
            if found == most:
                break
            if 0 <= start <= len(codes) - length and not taken[start : start + length].any():
                taken[start : start + length] = True
                rows.append((start, kind))
                found += 1
    table = pd.DataFrame(rows, columns=["start", "drawn"]).sort_values("start", ignore_index=True)
    return table.assign(end=table["start"] + length)[["start", "end", "drawn"]]


def describe(
    regions: pd.DataFrame,
    codes: np.ndarray,
    tracks: Mapping[str, pd.DataFrame],
    silent: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> pd.DataFrame:
    """What lies in windows, from intervals in the same coordinates."""

    def share(table: pd.DataFrame) -> np.ndarray:
        return covered(regions["start"], regions["end"], table) / (regions["end"] - regions["start"]).to_numpy()

    def net(table: pd.DataFrame) -> np.ndarray:
        return share(table[table["strand"] == "+"]) - share(table[table["strand"] == "-"])

    windows = [codes[start:end] for start, end in zip(regions["start"], regions["end"], strict=True)]
    found = {"gc": [np.isin(one, (1, 2)).mean() for one in windows]}
    if "repeats" in tracks:
        repeats = tracks["repeats"]
        shares = {name: share(repeats[repeats["klass"].str.startswith(name)]) for name in REPEATS}
        found["in_repeats"] = share(repeats)
        kinds = pd.Series(pd.NA, index=regions.index, dtype="string")
        kinds[found["in_repeats"] <= HARDLY] = "none"
        for name, its in shares.items():
            kinds[its >= MOSTLY] = name
        found |= {"repeat": kinds, "alu": net(repeats[repeats["klass"] == "SINE/Alu"])}
    if "genes" in tracks:
        found |= {"in_gene": share(tracks["genes"]), "gene": net(tracks["genes"])}
    if "any gene" in tracks:
        found["in_any_gene"] = share(tracks["any gene"])
    if "TSS" in tracks:
        found["tss"] = covered(regions["start"], regions["end"], tracks["TSS"])
    if "any start" in tracks:
        found["any_start"] = covered(regions["start"], regions["end"], tracks["any start"])
    if "CpG islands" in tracks:
        found["island"] = share(tracks["CpG islands"])
    described = regions.assign(**found)
    for track, where in silent.items():
        columns = [name for name in TOLD_BY[track] if name in described]
        described[columns] = described.loc[~touched(regions, where), columns]  # others become missing
    return described


def claims(regions: pd.DataFrame) -> dict[str, Claim]:
    """What can be asked of windows, from what `describe` found in them; nothing of what is missing.

    Windows drawn about a kind of place are asked whether they hold a TSS or are a CpG island, and nothing else: so are
    those of either kind without the other, which composition alone tells less well. One that holds the start of a
    transcript that codes for nothing, or lies in such a gene, isn't asked about starts, or genes, of those that do.
    """
    anywhere = (regions["drawn"] == "anywhere").to_numpy()
    found = {}
    if "repeat" in regions:
        classes = (*REPEATS, "none")
        numbers = {name: number for number, name in enumerate(classes)}
        labels = regions["repeat"].map(numbers).fillna(-1).to_numpy(dtype=np.int64)
        found["repeat class"] = Claim(classes, np.where(anywhere, labels, -1))
        strands = _either(regions["alu"] >= ORIENTED, regions["alu"] <= -ORIENTED)
        found["strand of an Alu"] = Claim(("-", "+"), np.where(anywhere, strands, -1))
    if "tss" in regions:
        other = regions.get("any_start", regions["tss"])
        found["TSS"] = Claim(("no", "yes"), _either(regions["tss"] > 0, other == 0))
    if "island" in regions:
        found["CpG island"] = Claim(("no", "yes"), _either(regions["island"] >= MOSTLY, regions["island"] == 0))
    if "in_gene" in regions:
        any_gene = regions.get("in_any_gene", regions["in_gene"])
        body = _either(regions["in_gene"] == 1, any_gene == 0)
        found["gene body"] = Claim(("no", "yes"), np.where(anywhere, body, -1))
        strands = _either(regions["gene"] == 1, regions["gene"] == -1)
        found["strand of the gene"] = Claim(("-", "+"), np.where(anywhere, strands, -1))
    return found


def claim_of(regions: pd.DataFrame, intervals: pd.DataFrame, classes: tuple[str, ...]) -> Claim:
    """Which of some classes of intervals (start, end, klass) a window lies mostly in; not asked where in none.

    Nor are windows that were drawn about places.
    """
    labels = np.full(len(regions), -1)
    for number, name in enumerate(classes):
        its = covered(regions["start"], regions["end"], intervals[intervals["klass"] == name])
        labels[its >= MOSTLY * (regions["end"] - regions["start"])] = number
    return Claim(classes, np.where(regions["drawn"] == "anywhere", labels, -1))


def _either(yes: pd.Series, no: pd.Series) -> np.ndarray:
    """1, 0, and -1 where neither holds."""
    return np.select([yes, no], [1, 0], -1)
