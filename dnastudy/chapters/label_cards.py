"""Notebook 09's tables of label sets: what they hold, and which single statistics give their classes away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from dnastudy.chapters.label_regulatory_sequence import rows_of
from dnastudy.genes.codes import join, kmer_numbers
from dnastudy.genes.corpus import SPLITS
from dnastudy.study.metrics import judge
from dnastudy.study.statistics import Interval
from dnastudy.tasks.composition import kmer_counts, kmer_shares, longest_runs
from dnastudy.tasks.label_sets import LabelSet
from dnastudy.tokens import Tokenizer
from dnastudy.tokens.tokenizer import BASES

PROMOTERS = "Prom300, "  # and the kind of negatives
PARTS = 5  # of a sequence, between which its GC share varies
WORDS = 6  # bases of the words whose frequencies are compared


def cards(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """The card of every label set: task, what, value."""
    return pd.concat([card(labels).assign(task=name) for name, labels in label_sets.items()], ignore_index=True)[
        ["task", "what", "value"]
    ]


def card(labels: LabelSet) -> pd.DataFrame:
    """A label set in a few lines."""
    table, rows = labels.table, [("examples", f"{len(labels.codes):,}"), ("bases of an example", _range(labels.codes))]
    for split in SPLITS:
        here = table[table["split"] == split]
        counts = np.bincount(here["label"], minlength=len(labels.classes))
        found = ", ".join(f"{count:,} {name}" for name, count in zip(labels.classes, counts, strict=True))
        rows.append((split, f"{found}; {here['group'].nunique():,} groups"))
    gc = pd.Series([np.isin(codes, (1, 2)).sum() / max((codes < 4).sum(), 1) for codes in labels.codes])
    shares = {"GC share": gc} | ({"share in repeats": table["repeats"]} if "repeats" in table else {})
    for what, share in shares.items():
        means = share.groupby(table["label"]).mean()
        rows.append((what, ", ".join(f"{name} {means[number]:.1%}" for number, name in enumerate(labels.classes))))
    return pd.DataFrame([*rows, *_said(labels.facts)], columns=["what", "value"])


def sizes_table(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """What each label set holds: examples by split, classes, bases, and of held-out rows two shares."""
    rows = []
    for name, labels in label_sets.items():
        table, test = labels.table, rows_of(labels, "test")
        row = {"task": name, "classes": len(labels.classes)}
        row |= {split: int((table["split"] == split).sum()) for split in SPLITS}
        row |= {"bases": int(np.median([len(codes) for codes in labels.codes]))}
        row |= {"blocks": table["group"].iloc[test].nunique()}
        row |= {"commonest": float(table["label"].iloc[test].value_counts(normalize=True).max())}
        rows.append(row | {"shared": float(table["shared"].iloc[test].mean())})
    return pd.DataFrame(rows)


def labels_table(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """Every labelled sequence: task, row (its number among those of its split), split, label (word), and its place."""
    parts = []
    for name, labels in label_sets.items():
        words = labels.table["label"].map(dict(enumerate(labels.classes)))
        row = labels.table.groupby("split").cumcount()
        parts.append(labels.table.assign(task=name, row=row, label=words))
    columns = ["task", "split", "row", "label", "contig", "start", "end", "strand"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def given_away(label_sets: Mapping[str, LabelSet], tokenizer: Tokenizer, *, resamples: int, seed: int) -> pd.DataFrame:
    """AUROC of single statistics between held-out promoters and each kind of negatives, the most telling ones first."""
    values, ends = {}, {}
    for name, labels in label_sets.items():
        if name.startswith(PROMOTERS):
            kind = name.removeprefix(PROMOTERS)
            rows, statistics = single_statistics(labels, tokenizer)
            test = labels.table.iloc[rows]
            found = {(name, learnt): auroc(test, each, resamples, seed) for name, learnt, each in statistics}
            values[kind], ends[f"{kind}_low"], ends[f"{kind}_high"] = (
                {key: interval[at] for key, interval in found.items()} for at in range(3)
            )
    if not values:
        return pd.DataFrame()
    table = pd.DataFrame(values | ends).rename_axis(index=["statistic", "learnt"])
    order = (table.iloc[:, 0] - 0.5).abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index()


def kinds_of(given_away: pd.DataFrame) -> list[str]:
    """Kinds of negatives that a table of `given_away` has a column of."""
    return [name for name in given_away if f"{name}_low" in given_away]


def auroc(test: pd.DataFrame, values: np.ndarray, resamples: int, seed: int) -> Interval:
    """How well one number (float [n]) tells held-out rows of label 0 from those of a higher one."""
    columns, truth = np.stack([-values, values], axis=1), (test["label"] > 0).to_numpy(np.int64)
    how = {"metrics": ["auroc"], "resamples": resamples, "seed": seed}
    return judge(truth, columns, test["group"].to_numpy(), **how)["auroc"]


def single_statistics(
    labels: LabelSet, tokenizer: Tokenizer
) -> tuple[np.ndarray, Iterator[tuple[str, bool, np.ndarray]]]:
    """The numbers that `given_away` evaluates, of each test example of the first and the last class."""
    label, splits = labels.table["label"].to_numpy(), labels.table["split"].to_numpy()
    ends = np.isin(label, (0, len(labels.classes) - 1))
    train, test = (np.flatnonzero(ends & (splits == split)) for split in ("train", "test"))
    learn, judge = ([labels.codes[row] for row in rows] for rows in (train, test))
    return test, _statistics(learn, label[train] > 0, judge, tokenizer)


def _statistics(
    learn: Sequence[np.ndarray], is_last: np.ndarray, judge: Sequence[np.ndarray], tokenizer: Tokenizer
) -> Iterator[tuple[str, bool, np.ndarray]]:
    """Name of each statistic, whether it takes training examples, and its values, float64 [n]."""
    ids = [tokenizer.encode(codes) for codes in judge]
    yield "tokens", False, np.array([len(each) for each in ids], dtype=np.float64)
    yield "longest token", False, np.array([tokenizer.lengths[each].max(initial=0) for each in ids], dtype=np.float64)
    yield "longest run of a base", False, longest_runs(judge).astype(np.float64)
    yield "GC share", False, kmer_shares(judge, 1)[:, 1:3].sum(axis=1)
    gc = [[np.isin(part, (1, 2)).mean() for part in np.array_split(codes, PARTS)] for codes in judge]
    yield f"spread of GC over {PARTS} parts", False, np.std(gc, axis=1)
    names = [first + second for first in BASES for second in BASES]
    yield from ((name, False, share) for name, share in zip(names, kmer_shares(judge, 2).T, strict=True))
    first, last = ([learn[row] for row in np.flatnonzero(is_last == end)] for end in (False, True))
    ratio = np.log(_shares(last, tokenizer)) - np.log(_shares(first, tokenizer))
    yield "tokens by frequency", True, np.array([ratio[each].sum() for each in ids])
    first, last = (1.0 + kmer_counts(each, WORDS).reshape(-1, 4) for each in (first, last))
    ratio = np.log(last / last.sum(axis=1, keepdims=True)) - np.log(first / first.sum(axis=1, keepdims=True))
    text, begins = join(judge)
    numbers = kmer_numbers(text, WORDS)
    values = np.where(numbers >= 0, ratio.ravel()[numbers], 0.0)
    yield f"{WORDS}-mers", True, np.add.reduceat(values, begins)


def _shares(sequences: Sequence[np.ndarray], tokenizer: Tokenizer) -> np.ndarray:
    """Share of each token among all, add-one, float64 [tokens]."""
    ids = np.concatenate([tokenizer.encode(codes) for codes in sequences])
    counts = 1 + np.bincount(ids, minlength=len(tokenizer))
    return counts / counts.sum()


def _range(codes: Sequence[np.ndarray]) -> str:
    low, high = min(map(len, codes)), max(map(len, codes))
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _said(facts: dict, before: str = "") -> Iterator[tuple[str, str]]:
    """Facts in facts line by line: their names, with colons between, and their values as text."""
    for name, value in facts.items():
        words = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _said(value, f"{words}: ")
        else:
            yield words, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
