"""What a label set is, on a card, and by what its classes can be told apart without a look at any motif."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dnastudy.genes.corpus import SPLITS
from dnastudy.tasks.composition import kmer_counts, longest_runs
from dnastudy.tasks.copies import join, kmer_numbers
from dnastudy.tokens.tokenizer import BASES, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from dnastudy.tasks.labels import LabelSet

PARTS = 5  # of a sequence, between which its GC share varies
WORDS = 6  # bases of the words whose frequencies are compared


def card(labels: LabelSet) -> pd.DataFrame:
    """A label set in a few lines.

    Returns
    -------
    DataFrame: what, value (both text). How many examples of each class a split has and in how many groups, GC share
    and, where known, repeat share by class, and all that ``facts`` say.
    """
    import pandas as pd

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


def give_away(labels: LabelSet, tokenizer: Tokenizer) -> pd.DataFrame:
    """How well single numbers tell a label set's last class from its first, on the test split.

    Parameters
    ----------
    labels
        A label set of two classes, or of which the first and the last are compared.
    tokenizer
        By which sequences are encoded anew.

    Returns
    -------
    DataFrame, the most telling statistic first: statistic; learnt (whether frequencies of the training split went
    into it); first, last (mean of either class); auroc (chance that it is higher for a random example of the last
    class than for one of the first, ties one half). Of frequencies, the statistic is the log-ratio between the
    training examples of both classes (nats, add-one) summed over a sequence: "tokens by frequency", each by itself,
    and "6-mers", each base after the five before it.
    """
    import pandas as pd
    from sklearn.metrics import roc_auc_score

    rows, statistics = single_statistics(labels, tokenizer)
    is_last = labels.table["label"].to_numpy()[rows] > 0
    found = []
    for statistic, learnt, values in statistics:
        auroc = roc_auc_score(is_last, values)
        found.append((statistic, learnt, values[~is_last].mean(), values[is_last].mean(), auroc))
    table = pd.DataFrame(found, columns=["statistic", "learnt", "first", "last", "auroc"])
    return table.sort_values("auroc", key=lambda auroc: -abs(auroc - 0.5), kind="stable", ignore_index=True)


def single_statistics(
    labels: LabelSet, tokenizer: Tokenizer
) -> tuple[np.ndarray, Iterator[tuple[str, bool, np.ndarray]]]:
    """The numbers that `give_away` judges, of each test example of the first and the last class.

    Returns
    -------
    Rows of the label set, int64 [n]; and of each statistic its name, whether it was learnt, and float64 [n].
    """
    label, splits = labels.table["label"].to_numpy(), labels.table["split"].to_numpy()
    ends = np.isin(label, (0, len(labels.classes) - 1))
    train, test = (np.flatnonzero(ends & (splits == split)) for split in ("train", "test"))
    learn, judge = ([labels.codes[row] for row in rows] for rows in (train, test))
    return test, _statistics(learn, label[train] > 0, judge, tokenizer)


def _statistics(
    learn: Sequence[np.ndarray], is_last: np.ndarray, judge: Sequence[np.ndarray], tokenizer: Tokenizer
) -> Iterator[tuple[str, bool, np.ndarray]]:
    """Name of each statistic, whether it takes training examples, and its values, float64 [n]."""
    from dnastudy.tasks.discriminator import kmer_shares

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
