"""Divide labelled windows by place into those to learn from and those held out, and see what both have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from dnastudy.files import InputError, nearest
from dnastudy.genes.corpus import SPLITS
from dnastudy.genes.intervals import merge
from dnastudy.genes.kmers import shared_mask

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 1_000_000  # bases that a bootstrap draws together
BLOCKS = 10  # of a contig, at least: a short one has shorter blocks


class Region(NamedTuple):
    """A part of a contig that belongs to one split, in whole blocks of ``block`` bases."""

    contig: str
    split: str
    start: int
    end: int
    block: int


def divide(genome: Mapping[str, np.ndarray], splits: Mapping[str, str]) -> list[Region]:
    """Cut a validation part from the far end of each contig to learn from: a tenth of its blocks.

    Parameters
    ----------
    genome
        Base codes (uint8) by contig.
    splits
        Contigs, each "train" or "test".

    Returns
    -------
    Regions, contig by contig in the order of ``splits``.

    Raises
    ------
    InputError
        When a contig isn't in the genome, is neither to be learnt from nor to be tested on, or one kind is missing.
    """
    found = []
    for contig, split in splits.items():
        if contig not in genome:
            raise InputError(f"no contig {contig!r} in the sequence; {nearest(contig, genome)}")
        if split not in ("train", "test"):
            raise InputError(f"contig {contig}: split {split!r}; expected train or test (validation is cut from train)")
        length = len(genome[contig])
        block = min(BLOCK, -(-length // BLOCKS))
        cut = length
        if split == "train":
            blocks = -(-length // block)
            cut = (blocks - max(1, round(blocks / BLOCKS))) * block
            found += [Region(contig, "train", 0, cut, block), Region(contig, "validation", cut, length, block)]
        else:
            found.append(Region(contig, "test", 0, length, block))
    for split in ("train", "test"):
        if split not in splits.values():
            raise InputError(f"{', '.join(splits) or 'no contig'}: none is {split}; give at least one for each split")
    return found


def assign(table: pd.DataFrame, regions: Sequence[Region]) -> pd.DataFrame:
    """Add the split of each window (contig, start, end) and its group, the block that its middle lies in.

    Returns
    -------
    The windows that lie in a region, with split (str) and group (int64).
    """
    import pandas as pd

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
    *,
    by: Literal["class", "pair", "locus"] = "class",
    most: Mapping[str, int] | int | None = None,
    drop_shared: bool = False,
    seed: int = 0,
) -> tuple[pd.DataFrame, list[np.ndarray], dict]:
    """Draw what is learnt from, take what it knows already out of what is held out, and draw from the rest.

    Parameters
    ----------
    name
        Of the label set, for messages.
    table
        contig, start, end, label, split and, unless drawn by class, unit (int64), [n].
    codes
        Sequence of each row, uint8.
    classes
        Name of each label.
    by
        Draw rows, as many of each class; or whole units: pairs, which are also dropped together, or loci.
    most
        Examples of a split at most; None or 0: all. Loci are drawn until there are so many, and the last one drawn may
        go past it: they come whole, and a large one would else leave little or nothing beside it.
    drop_shared
        Leave out held-out rows with 31 bases that stand in what is learnt from, on either strand; else they are
        only counted.
    seed
        Of the draws.

    Returns
    -------
    table
        What was drawn, by split, without unit; with shared (bool, whether a held-out row has such 31 bases).
    codes
    facts
        By split: candidates and, of those held out, overlapping (dropped, since they overlap a row that is learnt from)
        and sharing (rows with such 31 bases).

    Raises
    ------
    InputError
        When a split is left without a class.
    """
    import pandas as pd

    table = table.reset_index(drop=True).assign(shared=False)
    rng = np.random.default_rng(seed)
    drawn, facts = [], {}
    for split in SPLITS:
        rows = table[table["split"] == split]
        facts[split] = {"candidates": len(rows)}
        if split != "train":
            overlapping = _overlap(rows, drawn[0])
            shares = sharing([codes[row] for row in drawn[0].index], [codes[row] for row in rows.index])
            rows = rows.assign(shared=shares)
            facts[split] |= {"overlapping": int(overlapping.sum()), "sharing": int(shares.sum())}
            leaves = overlapping | (shares & drop_shared)
            rows = rows[~(rows["unit"].isin(rows["unit"][leaves]) if by == "pair" else leaves)]
        check_classes(name, split, rows["label"], classes)
        limit = (most.get(split) if isinstance(most, Mapping) else most) or None
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


def _overlap(rows: pd.DataFrame, train: pd.DataFrame) -> pd.Series:
    """Which rows have a base in common with a row that is learnt from, by their places: bool, [n]."""
    overlapping = rows["label"] < 0
    for contig, here in rows.groupby("contig"):
        known = train[train["contig"] == contig]
        starts, ends = merge(known["start"], known["end"])
        following = np.searchsorted(ends, here["start"], side="right")
        overlapping[here.index] = np.append(starts, np.iinfo(np.int64).max)[following] < here["end"]
    return overlapping


def sharing(train: Sequence[np.ndarray], held_out: Sequence[np.ndarray]) -> np.ndarray:
    """Which held-out sequences have 31 bases that stand in one of training, on either strand: bool, [n]."""
    if not len(held_out):
        return np.zeros(0, dtype=bool)
    parts = [*train, *held_out]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    split = (np.arange(len(parts)) >= len(train)).astype(np.uint8)
    covered = np.append(0, np.cumsum(shared_mask(np.concatenate(parts), offsets, split)))[offsets[len(train) :]]
    return np.diff(covered) > 0


def _draw(rows: pd.DataFrame, most: int | None, classes: int, by: str, rng: np.random.Generator) -> pd.DataFrame:
    """Draw rows, as many of each of the ``classes``; pairs, as many as fit; or loci, until there are ``most`` rows."""
    if by == "class":
        fewest = np.bincount(rows["label"], minlength=classes).min()
        count = fewest if most is None else min(fewest, most // classes)
        chosen = [
            rng.choice(rows.index[rows["label"] == label], count, replace=False, shuffle=False)
            for label in range(classes)
        ]
        return rows.loc[np.sort(np.concatenate(chosen))]
    sizes = rows.groupby("unit").size()
    order = rng.permutation(sizes.index)
    ends = np.cumsum(sizes[order])
    fits = ends - (sizes[order] if by == "locus" else 1) < (len(rows) if most is None else most)
    return rows[rows["unit"].isin(order[fits])]
