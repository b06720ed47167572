"""Choose a vocabulary by how well the next k-mer is predicted from its tokens: one rule, stated beforehand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.study.statistics import weighted_sums

RULE = """For each k, a vocabulary's accuracy on held-out contigs (mean over seeds) is divided by the mean
over the byte-pair vocabularies; the mean of these ratios over k is its score. Of the byte-pair
vocabularies whose score is within one standard error of the best one's, the one with the fewest
merges is chosen."""


def choose(outcomes: pd.DataFrame, *, resamples: int, seed: int) -> tuple[pd.DataFrame, str]:
    """Choose among byte-pair vocabularies by `RULE`.

    It is the one-standard-error rule of Breiman et al. 1984 (Classification and Regression Trees, ch. 3.4.3). The
    standard error is that of the difference from the best score, by a bootstrap over blocks of sequence that draws
    the same ones for all. A k of which no byte-pair vocabulary gets any right tells none from another: its ratios
    are 1.

    Parameters
    ----------
    outcomes
        A row a prediction: vocabulary; merges (NaN for rivals, as single bases and k-mers are, which have a score but
        aren't chosen); k; block (what is drawn together); right (1 or 0). Rows of all seeds together.
    resamples, seed
        How many bootstrap samples, and the seed that draws them.

    Returns
    -------
    table
        A row a vocabulary: vocabulary, merges, score, low, high (95% percentile interval), difference (from the
        best), error (its standard error), within (whether it is no further below the best than that), chosen. With
        a single block intervals and errors can't be known and are NaN, and nothing below the best is within.
    chosen
        The chosen one's name.

    Raises
    ------
    InputError
        When no vocabulary has merges, or one has no prediction of a k in a block where others have.
    """
    merges = outcomes.groupby("vocabulary", sort=False)["merges"].first()
    candidates = merges.notna().to_numpy()
    if not candidates.any():
        raise InputError(f"{', '.join(merges.index)}: none has merges; expected a byte-pair vocabulary to choose")
    cells = outcomes.groupby(["vocabulary", "k", "block"])["right"].agg(["sum", "size"]).unstack("block")
    cells = cells.reindex(pd.MultiIndex.from_product([merges.index, cells.index.unique("k")]))
    if (missing := cells.isna().any(axis=1)).any():
        name, k = missing.idxmax()
        raise InputError(f"{name}: no {k}-mers predicted in some block; expected the same examples of all vocabularies")
    sums = np.concatenate([cells["sum"], cells["size"]])
    score = _scores(sums.sum(axis=1, keepdims=True), candidates)[:, 0]
    drawn = np.full((len(merges), 2), np.nan)
    if sums.shape[1] > 1:
        drawn = _scores(weighted_sums(sums, resamples, seed), candidates)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    best = np.where(candidates, score, -np.inf).argmax()
    difference, error = score - score[best], (drawn - drawn[best]).std(axis=1, ddof=1)
    within = difference >= -np.nan_to_num(error)
    chosen = np.where(candidates & within, merges, np.inf).argmin()
    table = merges.reset_index().assign(
        score=score,
        low=low,
        high=high,
        difference=difference,
        error=error,
        within=within,
        chosen=np.arange(len(merges)) == chosen,
    )
    return table, merges.index[chosen]


def _scores(sums: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Scores from sums of right answers, then of questions, by vocabulary and k.

    Parameters
    ----------
    sums
        float, [2 x vocabularies x k, samples].
    candidates
        Which vocabularies the others are compared with, bool, [vocabularies].

    Returns
    -------
    float64, [vocabularies, samples].
    """
    right, asked = sums.reshape(2, len(candidates), -1, sums.shape[1])
    accuracy = right / asked
    mean = np.broadcast_to(accuracy[candidates].mean(axis=0), accuracy.shape)
    return np.divide(accuracy, mean, out=np.ones_like(accuracy), where=mean > 0).mean(axis=1)
