"""Hold genes out by place, by family or at random, and measure what training has seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError, nearest
from dnastudy.genes.corpus import SPLITS, Corpus, contig_line
from dnastudy.genes.fasta import canonical_contig
from dnastudy.genes.intervals import merge, runs
from dnastudy.genes.kmers import either_strand, find_families, shared_mask

TRAIN, VALIDATION, TEST = range(3)
CROSSING, RELATED = 255, 254
EMPTIED = "Test genes equal to one of train were dropped: hold out others, or set allow_duplicates"
RULES = ("chromosome", "family", "random")
COPY = "a test gene equal to one of train or validation"
RELATIVE = "a relative of a gene in the test or validation file"


class HeldOut(NamedTuple):
    """Of each gene its split (uint8) and its family (int64), if they were found; the rule, in words and to be kept."""

    split: np.ndarray
    words: dict[str, str]
    rule: dict[str, object]
    families: np.ndarray | None


def check_rule(split: str) -> None:
    """Refuse a rule of splitting that there isn't, with the nearest right name."""
    if split not in RULES:
        raise InputError(f"split={split!r}: no such rule; {nearest(split, RULES)}")


def assign_splits(
    genes: pd.DataFrame,
    contigs: Sequence[str],
    *,
    test_contigs: Sequence[str] | None = None,
    validation: float = 0.1,
    test: float = 0.1,
) -> tuple[np.ndarray, dict[str, str]]:
    """Split genes by place: whole contigs for test, the far end of what is left for validation.

    Test is ``test_contigs`` if named; else the last contig with genes if there are several; else the far
    ``test`` share of the single contig's gene-carrying length. Validation is the far end of the other
    contigs: the last ``validation`` share of their gene-carrying length (merged loci).
    """
    _check_shares(validation=validation, test=test)
    split = np.full(len(genes), TRAIN, dtype=np.uint8)
    present = [name for name in contigs if (genes["contig"] == name).any()]
    if test_contigs is None and len(present) > 1:
        test_contigs = present[-1:]
    if test_contigs is not None:
        named = [canonical_contig(name) for name in test_contigs]
        for name in named:
            if name not in present:
                raise InputError(
                    f"test_contigs: contig {name!r} carries no gene that was kept; expected one of "
                    f"{', '.join(present[:10])}"
                )
        split[genes["contig"].isin(named)] = TEST
        rule = {"test": ", ".join(named)}
    else:
        rule = {"test": _hold_out_far_end(genes, split, TEST, test)}
    rule["validation"] = _hold_out_far_end(genes, split, VALIDATION, validation)
    check_filled(split, rule, "Name other test_contigs or another share for validation")
    return split, rule


def draw_splits(families: np.ndarray, shares: dict[str, float], *, seed: int = 0) -> tuple[np.ndarray, dict[str, str]]:
    """Draw whole families into held-out splits, in a random order, wherever one still fits; train has the rest.

    Where every gene is a family of its own this is a plain random split, such as the 60/20/20 of Ihtiyar and Ozgur
    (2024).
    """
    _check_shares(**shares)
    room = {SPLITS.index(name): max(1, round(share * len(families))) for name, share in shares.items()}
    names, family, sizes = np.unique(families, return_inverse=True, return_counts=True)
    drawn = np.full(len(names), TRAIN, dtype=np.uint8)
    for number in np.random.default_rng(seed).permutation(len(names)):
        place = next((place for place in room if sizes[number] <= room[place]), TRAIN)
        drawn[number] = place
        if place != TRAIN:
            room[place] -= sizes[number]
    whole = "" if len(names) == len(families) else f" in whole families (of {len(names):,}),"
    rule = {name: f"{share:.0%} of the genes,{whole} drawn at random by seed {seed}" for name, share in shares.items()}
    split = drawn[family]
    check_filled(split, rule, f"The largest family has {sizes.max():,} genes; take other shares")
    return split, rule


def hold_out(
    genes: Sequence[np.ndarray],
    split: np.ndarray,
    shares: dict[str, float],
    *,
    by_family: bool,
    method: str = "kmers",
    share: float = 0.1,
    seed: int = 0,
) -> HeldOut:
    """Hold genes out by file, by family or at random: files stay whole, and what none holds is drawn from train.

    By family, relatives of a gene in the test file leave train and validation (they are `RELATED`), and those of one
    in the validation file leave train, before anything is drawn. Families are found where the split is by them or
    the test set is a file, so that a corpus can say how many of its test genes have relatives elsewhere.
    """
    split = split.astype(np.uint8)
    words = {name: "a file of its own" for name in SPLITS[1:] if name not in shares}
    rule: dict[str, object] = {"split": "family" if by_family else "random" if shares else "given"}
    families, units = None, np.arange(len(genes))
    if by_family or "test" in words:
        families = find_families(genes, method=method, share=share)
        rule |= {"family_method": method, "family_share": share}
    if by_family:
        units = families
        farthest = np.zeros(len(genes), dtype=np.uint8)
        np.maximum.at(farthest, families, split)
        split[split < farthest[families]] = RELATED
        check_filled(split, words, f"Each {RELATIVE} was dropped: give other files, or a larger family_share")
    if shares:
        pool = np.flatnonzero(split == TRAIN)
        split[pool], drawn = draw_splits(units[pool], shares, seed=seed)
        words |= drawn
        rule["seed"] = seed
    return HeldOut(split, words, rule, families)


def find_copies(genes: Sequence[np.ndarray], split: np.ndarray) -> np.ndarray:
    """Which test genes equal, on either strand, a gene of train or validation; bool, ``(genes,)``."""
    seen = {either_strand(gene) for gene, place in zip(genes, split, strict=True) if place in (TRAIN, VALIDATION)}
    return np.array([place == TEST and either_strand(gene) in seen for gene, place in zip(genes, split, strict=True)])


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise InputError(f"{name}: expected a share between 0 and 1, found {share}")
    if sum(shares.values()) >= 1:
        raise InputError(f"{' and '.join(shares)}: expected shares that leave something to train from")


def check_filled(split: np.ndarray, rule: dict[str, str], mend: str) -> None:
    """Refuse a split, made by ``rule``, that leaves train, validation or test without genes."""
    for name in ("train", *rule):
        if not (split == SPLITS.index(name)).any():
            words = "; ".join(f"{held_out}: {what}" for held_out, what in rule.items())
            raise InputError(f"the {name} split holds none of the {len(split)} genes ({words}); expected some. {mend}")


def _hold_out_far_end(genes: pd.DataFrame, split: np.ndarray, number: int, share: float) -> str:
    """Mark the last ``share`` of the training loci's length, and genes across the cut; say where it lies."""
    chosen = np.flatnonzero(split == TRAIN)
    if not len(chosen):
        return "nothing"
    pool = genes.iloc[chosen]
    line = contig_line(pool)
    starts, ends = pool["start"].to_numpy() + line, pool["end"].to_numpy() + line
    locus_starts, locus_ends = merge(starts, ends)
    reach = np.cumsum(locus_ends - locus_starts)
    target = int(reach[-1] * (1 - share))
    locus = int(np.searchsorted(reach, target, side="right"))
    cut = int(locus_ends[locus] - (reach[locus] - target))
    split[chosen[starts >= cut]] = number
    split[chosen[(starts < cut) & (ends > cut)]] = CROSSING
    first = int(np.searchsorted(starts, locus_starts[locus]))
    contigs = pool["contig"].iloc[first:].unique()
    words = f"{contigs[0]} from base {cut - line[first] + 1:,}"
    return ", ".join([words, *contigs[1:]])


def shared_bases(corpus: Corpus, k: int = 31) -> np.ndarray:
    """Bases of each gene in a ``k``-mer, of either strand, that training holds too; int64, ``(genes,)``."""
    if k == 31:  # that is in the corpus
        shared = corpus.intervals[corpus.intervals["kind"] == "shared"]
        starts, ends = shared["start"].to_numpy(), shared["end"].to_numpy()
    else:
        starts, ends = runs(shared_mask(corpus.all_codes, corpus.offsets, corpus.split, k=k), corpus.offsets)
    gene = np.searchsorted(corpus.offsets, starts, side="right") - 1
    return np.bincount(gene, weights=ends - starts, minlength=len(corpus)).astype(np.int64)


def leakage(corpus: Corpus, k: int = 31) -> pd.DataFrame:
    """Say how much of each held-out split stands verbatim in training, in exact ``k``-mers of either strand."""
    table = _held_out(corpus, k)
    table["any"], table["half"] = table["shared"] > 0, table["shared"] > table["bases"] / 2
    groups = pd.concat([table.assign(type="all"), table]).groupby(["split", "type", "k"], observed=True)
    report = groups.agg(
        genes=("bases", "size"),
        genes_shared=("any", "sum"),
        genes_half_shared=("half", "sum"),
        share_genes=("any", "mean"),
        share_bases=("shared", "sum"),
    )
    report["share_bases"] /= groups["bases"].sum()
    return report.reset_index()


def coverage(corpus: Corpus, k: int = 31, *, bins: int = 10) -> pd.DataFrame:
    """Histogram of held-out genes by the share of their bases in ``k``-mers that training holds too."""
    table = _held_out(corpus, k)
    edges = np.linspace(0, 1, bins + 1)
    parts = []
    for (split, kind), part in pd.concat([table.assign(type="all"), table]).groupby(
        ["split", "type"], observed=True, sort=False
    ):
        genes = np.histogram(part["shared"] / part["bases"], edges)[0]
        row = {"split": split, "type": kind, "low": edges[:-1], "high": edges[1:]}
        parts.append(pd.DataFrame(row | {"genes": genes, "share_genes": genes / len(part)}))
    return pd.concat(parts, ignore_index=True)


def _held_out(corpus: Corpus, k: int) -> pd.DataFrame:
    """One row a gene outside training: split, type, k, bases, shared."""
    table = pd.DataFrame(
        {
            "split": pd.Categorical.from_codes(corpus.split, SPLITS),
            "type": corpus.genes["type"],
            "k": k,
            "bases": np.diff(corpus.offsets),
            "shared": shared_bases(corpus, k),
        }
    )
    return table[table["split"] != "train"]
