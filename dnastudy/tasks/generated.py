"""How generated sequence differs from real: k-mer spectra, composition, runs, copies, a discriminator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import decode
from dnastudy.tasks.copies import END, join, kmer_numbers, longest_copies
from dnastudy.tokens.tokenizer import as_codes

if TYPE_CHECKING:
    import pandas as pd

HELD_OUT, TRAIN = "held out", "train"


class Comparison(NamedTuple):
    """The tables of `compare`; each names a row's set in a column ``set``."""

    sequences: pd.DataFrame
    spectra: pd.DataFrame
    discriminator: pd.DataFrame


def compare(
    generated: Mapping[str, Sequence[str]],
    held_out: Sequence[str],
    train: Sequence[str | np.ndarray],
    *,
    seed: int = 0,
) -> Comparison:
    """Compare sets of generated sequences with held-out sequence of about the same number and length.

    Two sets are added for reference: pieces of training sequence as long as the held-out ones ("train"),
    which show how far real sequence is from real; and the held-out sequences themselves ("held out"), whose
    longest copies show how much real genes repeat of one another.

    Parameters
    ----------
    generated
        Sequences by the name of their set (a model's; a short n-gram's as the floor).
    held_out
        Real sequences that no model was trained on.
    train
        Training sequences, strings or base codes (uint8, [length]).
    seed
        Draws the training pieces, the discriminator's folds and its interval.

    Returns
    -------
    Comparison of `describe` (all sets), `spectrum_divergence` and `discriminate_sets`.

    Raises
    ------
    InputError
        When a set is empty or carries the name of a reference.
    """
    for name, sequences in {**generated, HELD_OUT: held_out, TRAIN: train}.items():
        if not any(map(len, sequences)):
            raise InputError(f"set {name!r}: no sequence; expected at least one base in every set")
    clash = {HELD_OUT, TRAIN} & set(generated)
    if clash:
        raise InputError(f"set {clash.pop()!r}: that name is a reference's; call the generated set otherwise")
    pieces = cut_pieces(train, [len(sequence) for sequence in held_out], seed=seed)
    against = {**generated, TRAIN: pieces}
    everything = {**against, HELD_OUT: held_out}
    return Comparison(
        describe(everything, train),
        spectrum_divergence(against, held_out),
        discriminate_sets(against, held_out, seed=seed),
    )


def cut_pieces(train: Sequence[str | np.ndarray], lengths: Iterable[int], *, seed: int = 0) -> list[str]:
    """Cut a piece of each length out of ``train``, all places alike; or the longest sequence whole."""
    rng = np.random.default_rng(seed)
    sizes = np.array([len(sequence) for sequence in train])
    pieces = []
    for length in lengths:
        places = np.cumsum(np.maximum(sizes - length + 1, 0))
        if not places[-1]:
            pieces.append(decode(as_codes(train[int(sizes.argmax())])))
            continue
        place = rng.integers(places[-1])
        number = int(np.searchsorted(places, place, side="right"))
        start = int(sizes[number] - length + 1 - (places[number] - place))
        pieces.append(decode(as_codes(train[number][start : start + length])))
    return pieces


def describe(sets: Mapping[str, Sequence[str]], train: Sequence[str | np.ndarray]) -> pd.DataFrame:
    """Composition, longest run and longest exact copy from ``train`` of each sequence.

    Returns
    -------
    DataFrame, a row a sequence: set, sequence (its number in the set), bases (known ones), gc (share), cpg
    (observed over expected, Gardiner-Garden & Frommer 1987; NaN without C or G), longest_run and longest_copy
    (bases). The copies of the set "train" are left out (NaN), being copies whole.
    """
    import pandas as pd

    tables = []
    for name, sequences in sets.items():
        counts = np.array([np.bincount(as_codes(sequence), minlength=5)[:4] for sequence in sequences])
        bases = counts.sum(axis=1)
        cpg = np.array([sequence.upper().count("CG") for sequence in sequences])
        with np.errstate(divide="ignore", invalid="ignore"):
            gc = (counts[:, 1] + counts[:, 2]) / bases
            ratio = cpg / (counts[:, 1] * counts[:, 2] / bases)
        tables.append(
            pd.DataFrame(
                {
                    "set": name,
                    "sequence": np.arange(len(sequences)),
                    "bases": bases,
                    "gc": gc,
                    "cpg": ratio,
                    "longest_run": [run_lengths([sequence]).max(initial=0) for sequence in sequences],
                }
            )
        )
    table = pd.concat(tables, ignore_index=True)
    # One pass over the training sequence serves all sets.
    ours = (table["set"] != TRAIN).to_numpy()
    looked_up = [sequence for name, sequences in sets.items() if name != TRAIN for sequence in sequences]
    table["longest_copy"] = np.nan
    table.loc[ours, "longest_copy"] = longest_copies(looked_up, train)
    return table


def spectrum_divergence(
    sets: Mapping[str, Sequence[str]], held_out: Sequence[str], ks: Iterable[int] = range(1, 9)
) -> pd.DataFrame:
    """Jensen-Shannon divergence of each set's k-mer spectrum from that of held-out sequence.

    It grows as a sample shrinks, the more the larger ``k``: compare sets of the same size only.

    Returns
    -------
    DataFrame, a row a set and k: set, k, divergence (bits, 0 to 1).
    """
    import pandas as pd

    rows = []
    for k in ks:
        reference = kmer_counts(held_out, k)
        for name, sequences in sets.items():
            rows.append((name, k, jensen_shannon(kmer_counts(sequences, k), reference)))
    return pd.DataFrame(rows, columns=["set", "k", "divergence"])


def kmer_counts(sequences: Sequence[str], k: int) -> np.ndarray:
    """Counts of all k-mers of known bases in alphabetical order, int64, [4^k]."""
    numbers = kmer_numbers(join(sequences)[0], k)
    return np.bincount(numbers[numbers >= 0], minlength=4**k)


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """Divergence in bits (Lin 1991) of two tables of counts, [m] each; NaN where one holds nothing."""
    from scipy.spatial.distance import jensenshannon

    if not (first.any() and second.any()):
        return float("nan")
    return float(jensenshannon(first, second, base=2) ** 2)


def run_lengths(sequences: Sequence[str]) -> np.ndarray:
    """Lengths of all runs of one known base, in order, int64, [runs]."""
    text, _ = join(sequences)
    starts = np.flatnonzero(np.diff(text, prepend=END))
    lengths = np.diff(starts, append=len(text))
    return lengths[text[starts] < 4]


def discriminate_sets(
    sets: Mapping[str, Sequence[str]],
    held_out: Sequence[str],
    *,
    k: int = 5,
    folds: int = 5,
    seed: int = 0,
    resamples: int = 1000,
) -> pd.DataFrame:
    """How well a logistic regression on k-mer shares tells each set from held-out sequence, cross-validated.

    It sees no order beyond ``k`` bases, so 0.5 (no better than chance) doesn't say that the two are alike.

    Returns
    -------
    DataFrame, a row a set: set, auroc, low, high (95% percentile interval over sequences, with the
    classifiers as they are).

    Raises
    ------
    InputError
        When a set has fewer sequences than there are folds.
    """
    import pandas as pd
    from scipy.stats import bootstrap

    rows = []
    real = _kmer_shares(held_out, k)
    for name, sequences in sets.items():
        if min(len(sequences), len(held_out)) < folds:
            raise InputError(
                f"set {name!r}: {len(sequences)} sequences against {len(held_out)} held out; expected at "
                f"least {folds} of both to tell them apart"
            )
        real_scores, other_scores = _cross_validated(real, _kmer_shares(sequences, k), folds, seed)
        interval = bootstrap(
            (real_scores, other_scores),
            _auroc,
            n_resamples=resamples,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        rows.append((name, _auroc(real_scores, other_scores), float(interval.low), float(interval.high)))
    return pd.DataFrame(rows, columns=["set", "auroc", "low", "high"])


def _kmer_shares(sequences: Sequence[str], k: int) -> np.ndarray:
    """Share of each k-mer in each sequence, float64, [n, 4^k]."""
    text, starts = join(sequences)
    numbers = kmer_numbers(text, k)
    row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(text)))
    counts = np.bincount((4**k * row + numbers)[numbers >= 0], minlength=len(starts) * 4**k)
    counts = counts.reshape(len(starts), 4**k)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _cross_validated(real: np.ndarray, other: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of real and other sequences, each by a classifier that hasn't seen it: float, [n] and [m]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Many k-mers and few sequences: a strong penalty keeps the classifier from learning the sample by heart.
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    is_real = np.repeat([1, 0], [len(real), len(other)])
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_predict(classifier, np.concatenate([real, other]), is_real, cv=split, method="decision_function")
    return scores[is_real == 1], scores[is_real == 0]


def _auroc(real: np.ndarray, other: np.ndarray) -> float:
    """Chance that a real sequence scores above another (Mann-Whitney), ties counted half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([real, other]))[: len(real)].sum()
    return float((ranks - len(real) * (len(real) + 1) / 2) / (len(real) * len(other)))
