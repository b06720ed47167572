"""How well sequences are told apart: MCC, AUROC, AUPRC, F1, calibration and accuracy, with bootstrap intervals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dnastudy.files import InputError
from dnastudy.study.statistics import Interval, multiplicities

BINS = 10  # of equal width, over which calibration is judged (Guo et al. 2017)
# Labels, probabilities [n, classes] and weights of the rows [samples, n] to values [samples].
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_TOGETHER = 2_000_000  # weights held at once


def judge(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    metrics: Collection[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Metrics of `METRICS` of labels int [n] and probabilities [runs, n, classes], with 95% intervals over groups.

    Each is the mean over runs; a bootstrap sample draws whole groups, and doesn't count where it lacks a class.
    """
    values, n = _values(METRICS if metrics is None else metrics, labels, probabilities, groups, resamples, seed)
    return {name: _interval(found, n) for name, found in values.items()}


def paired(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    metric: str = "mcc",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """One metric of ``first`` minus that of ``second`` on the same rows (as in `judge`), with a paired 95% interval."""
    (ours, n), (others, _) = (_values([metric], labels, one, groups, resamples, seed) for one in (first, second))
    return _interval(ours[metric] - others[metric], n)


def calibration(labels: ArrayLike, probabilities: ArrayLike) -> pd.DataFrame:
    """What the likeliest class's probability is worth, in the ten bins of ``ece``, the rows of all runs together."""
    labels, runs, _ = _checked(labels, probabilities, None)
    rows = np.concatenate([np.stack(_confidence(labels, run), axis=1) for run in runs])
    bins = pd.DataFrame(rows, columns=["bin", "confidence", "right"]).groupby("bin")
    table = bins.agg(confidence=("confidence", "mean"), accuracy=("right", "mean"), share=("bin", "size"))
    return table.assign(share=table["share"] / len(rows)).reset_index(drop=True)


def _values(
    metrics: Collection[str],
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None,
    resamples: int,
    seed: int,
) -> tuple[dict[str, np.ndarray], int]:
    """Means over runs of each metric, of all rows and then of each bootstrap sample, and the number of groups.

    float64 [1 + resamples]; NaN where a class is missing.
    """
    labels, probabilities, group = _checked(labels, probabilities, groups)
    n, classes = group.max() + 1, probabilities.shape[-1]
    together = max(1, _TOGETHER // len(labels))
    samples = itertools.chain([np.ones((1, n), dtype=np.int64)], multiplicities(n, resamples, seed, together=together))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for times in samples:
        weights = times[:, group].astype(np.float64)
        complete = (_totals(weights, labels, classes) > 0).all(axis=1)
        for name in metrics:
            found = np.full(len(weights), np.nan)
            found[complete] = np.mean([METRICS[name](labels, run, weights[complete]) for run in probabilities], axis=0)
            parts[name].append(found)
    return {name: np.concatenate(found) for name, found in parts.items()}, int(n)


def _interval(values: np.ndarray, n: int) -> Interval:
    """The first value, and where 95% of the others lie that are known; with a single group ends are NaN."""
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if n > 1 and len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high), n)


def _checked(
    labels: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels int64 [n], probabilities float64 [runs, n, classes], and the number of each row's group, int64 [n]."""
    labels, runs = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    runs = runs[None] if runs.ndim == 2 else runs
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if not (len(labels) == len(groups) == runs.shape[1]):
        raise InputError(f"{len(labels)} labels, {runs.shape[1]} rows of probabilities, {len(groups)} groups")
    counts = np.bincount(labels, minlength=runs.shape[2])
    if len(counts) > runs.shape[2] or len(counts) < 2 or not counts.all():
        raise InputError(
            f"{', '.join(map(str, counts))} rows of class {', '.join(map(str, range(len(counts))))}; expected two "
            "classes or more with at least a row each. Judge on more rows, or leave the empty class out"
        )
    if not np.isfinite(runs).all():
        row = int(np.argwhere(~np.isfinite(runs))[0, 1])
        raise InputError(f"probabilities of row {row} aren't all finite; leave out the rows that could not be scored")
    return labels, runs, np.unique(groups, return_inverse=True)[1]


def _totals(weights: np.ndarray, cells: np.ndarray, count: int) -> np.ndarray:
    """Sums of weights ([samples, n]) by the cell of each row (int [n], below ``count``): float64 [samples, count]."""
    return weights @ (cells[:, None] == np.arange(count)).astype(np.float64)


def _confusion(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rows by true and by likeliest class, float64 [samples, classes, classes]."""
    classes = probabilities.shape[1]
    cells = classes * labels + probabilities.argmax(axis=1)
    return _totals(weights, cells, classes**2).reshape(-1, classes, classes)


def _mcc(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """R_K; 0 where all rows are told the same."""
    confusion = _confusion(labels, probabilities, weights)
    true, told = confusion.sum(axis=2), confusion.sum(axis=1)
    right, rows = np.trace(confusion, axis1=1, axis2=2), confusion.sum(axis=(1, 2))
    spread = (rows**2 - (true**2).sum(axis=1)) * (rows**2 - (told**2).sum(axis=1))
    return _divided(right * rows - (true * told).sum(axis=1), np.sqrt(spread))


def _f1(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    confusion = _confusion(labels, probabilities, weights)
    right = np.diagonal(confusion, axis1=1, axis2=2)
    scores = _divided(2 * right, confusion.sum(axis=1) + confusion.sum(axis=2))
    return scores[:, 1] if scores.shape[1] == 2 else scores.mean(axis=1)


def _accuracy(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ (probabilities.argmax(axis=1) == labels) / weights.sum(axis=1)


def _ece(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    bins, confidence, right = _confidence(labels, probabilities)
    excess = weights * (confidence - right)
    return np.abs(_totals(excess, bins, BINS)).sum(axis=1) / weights.sum(axis=1)


def _confidence(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row the bin and the probability of its likeliest class, and whether that is the true one."""
    confidence = probabilities.max(axis=1)
    bins = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.int64)
    return bins, confidence, probabilities.argmax(axis=1) == labels


def _one_against_rest(area: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Metric:
    """The area for class 1 of two, or the mean of each class's."""

    def metric(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
        chosen = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
        return np.mean([area(*_taken(labels == one, probabilities[:, one], weights)) for one in chosen], axis=0)

    return metric


def _taken(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives that score at least so much, for each score from the highest: [samples, scores] each."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of the rows that score alike
    ordered = weights[:, order]
    true = (ordered * positive[order]).cumsum(axis=1)[:, last]
    return true, ordered.cumsum(axis=1)[:, last] - true


def _area_under_roc(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    """By trapezia, so that ties count one half."""
    twice = (np.diff(false, prepend=0) * (true + np.pad(true, ((0, 0), (1, 0)))[:, :-1])).sum(axis=1)
    return twice / (2 * true[:, -1] * false[:, -1])


def _average_precision(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    return (np.diff(true, prepend=0) * _divided(true, true + false)).sum(axis=1) / true[:, -1]


def _divided(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """A quotient that is 0 where there is nothing to divide by."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


METRICS: dict[str, Metric] = {
    "mcc": _mcc,
    "auroc": _one_against_rest(_area_under_roc),
    "auprc": _one_against_rest(_average_precision),
    "f1": _f1,
    "ece": _ece,
    "accuracy": _accuracy,
}
