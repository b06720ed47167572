"""Intervals for the study's numbers: percentile bootstraps that resample whole loci."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dnastudy.files import InputError

WORSE, BETTER, UNDECIDED = "worse than the floor", "better than the floor", "undecided"


class Interval(NamedTuple):
    """A value, its percentile interval, and the number of groups (loci) that were resampled."""

    value: float
    low: float
    high: float
    n: int


def ratio_bootstrap(
    numerator: ArrayLike,
    denominator: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """A ratio of sums (total bits / total bases) with a percentile interval over groups.

    Whole groups are drawn with replacement, since genes of one locus overlap and aren't independent
    (Davison & Hinkley 1997, ch. 2.4 and 3.8).
    """
    numerator, denominator, groups = _checked(numerator, denominator, groups)
    inverse = np.unique(groups, return_inverse=True)[1]
    sums = np.stack([np.bincount(inverse, weights=weights) for weights in (numerator, denominator)])
    if not (sums[1].sum() > 0 and np.all(sums[1] >= 0)):
        raise InputError(
            "the denominators of a ratio don't sum to a positive number in every group; nothing to divide by"
        )
    value, n = float(sums[0].sum() / sums[1].sum()), sums.shape[1]
    if n == 1:
        return Interval(value, float("nan"), float("nan"), 1)
    draws = weighted_sums(sums, resamples, seed)
    drawn = draws[:, draws[1] > 0]
    low, high = np.quantile(drawn[0] / drawn[1], [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)


def mean_bootstrap(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The mean of ``values`` ([n]) with a percentile interval; see `ratio_bootstrap` for the parameters."""
    return ratio_bootstrap(values, np.ones(len(values)), groups, resamples=resamples, seed=seed, level=level)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    denominator: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """``first`` minus ``second`` on the same rows, as a mean or a ratio of sums, with a paired interval.

    Drawing both values of a row together keeps what they have in common out of the interval.
    """
    first, second, _ = _checked(first, second, groups)
    below = np.ones(len(first)) if denominator is None else denominator
    return ratio_bootstrap(first - second, below, groups, resamples=resamples, seed=seed, level=level)


def summarise(
    table: pd.DataFrame, by: list[str], value: str, per: str | None = None, *, groups: str, resamples: int, seed: int
) -> pd.DataFrame:
    """The mean of a column, or its ratio to column ``per``, in each part of a table, with an interval over groups.

    Columns: those of ``by``, value, low, high, n (groups), interval.
    """
    rows = []
    for names, part in table.groupby(by, sort=False):
        below = np.ones(len(part)) if per is None else part[per]
        found = ratio_bootstrap(part[value], below, part[groups], resamples=resamples, seed=seed)
        rows.append((*names, *found, found))
    return pd.DataFrame(rows, columns=[*by, *Interval._fields, "interval"])


def compare(
    table: pd.DataFrame,
    by: list[str],
    value: str,
    per: str | None = None,
    *,
    against: str,
    on: list[str],
    groups: str,
    **draws: int,
) -> pd.DataFrame:
    """A column of each ``model`` less that of the one ``against`` on the same rows, paired, in each part of a table.

    Rows are the same where they agree in ``on``, which names them within each part of ``by`` (columns, ``model`` among
    them), and in ``per``: bits of different bases have no difference. Columns: those of ``by``, the sum of ``per`` (or
    ``rows``, their number), difference, low, high, n (groups), interval; NaN where no row is in both.
    """
    ours, theirs = table[table["model"] != against], table[table["model"] == against]
    keys = [*(name for name in by if name != "model"), *on]
    theirs = theirs[[*keys, value, *([per] if per else [])]]
    rows = []
    for names, part in ours.groupby(by, sort=False):
        both = part.merge(theirs, on=keys, suffixes=("", "_against"))
        if per:
            both = both[both[per] == both[f"{per}_against"]]
        found = Interval(np.nan, np.nan, np.nan, 0)
        if len(both):
            below = both[per] if per else None
            pair = both[value], both[f"{value}_against"]
            found = paired_difference(*pair, below, both[groups], **draws)
        rows.append((*names, both[per].sum() if per else len(both), *found, found))
    return pd.DataFrame(rows, columns=[*by, per or "rows", "difference", "low", "high", "n", "interval"])


def rank_correlations(
    first: ArrayLike, second: ArrayLike, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> np.ndarray:
    """Spearman's rho of each column of ``first`` with each of ``second``, with a percentile interval over rows."""
    columns = [np.asarray(part, dtype=np.float64) for part in (first, second)]
    n = len(columns[0])
    if not n or len(columns[1]) != n or not all(np.isfinite(part).all() for part in columns):
        raise InputError(f"{n} and {len(columns[1])} rows to correlate; expected as many, one or more, and no NaN")
    parts = [_rhos(*columns, np.ones((1, n)))]
    parts += [_rhos(*columns, times) for times in multiplicities(n, resamples, seed, together=max(1, 1_000_000 // n))]
    found = np.concatenate(parts)
    value = found[0]
    low, high = np.full((2, *value.shape), np.nan)
    for pair in zip(*np.nonzero(np.isfinite(value)), strict=True):
        drawn = found[1:, *pair]
        low[pair], high[pair] = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return np.stack([value, low, high], axis=-1)


def _rhos(first: np.ndarray, second: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Spearman's rho of columns [n, a] and [n, b] with each row taken so many times ([samples, n]): [samples, a, b]."""
    ranks = [np.stack([_middle_ranks(column, times) for column in part.T]) for part in (first, second)]
    with np.errstate(invalid="ignore", divide="ignore"):
        for part in ranks:
            part -= (part * times).sum(axis=-1, keepdims=True) / times.sum(axis=-1)[:, None]
            part /= np.sqrt((part**2 * times).sum(axis=-1, keepdims=True))
        return np.einsum("asn,sn,bsn->sab", ranks[0], times, ranks[1], optimize=True)


def _middle_ranks(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Rank of each value ([n]) where each stands so many times ([samples, n]); of equal ones the mean: [samples, n]."""
    order = np.argsort(values, kind="stable")
    _, first, number = np.unique(values[order], return_index=True, return_inverse=True)
    alike = np.add.reduceat(times[:, order], first, axis=1)
    ranks = alike.cumsum(axis=1) - (alike - 1) / 2
    found = np.empty(times.shape, dtype=np.float64)
    found[:, order] = ranks[:, number]
    return found


def _checked(
    first: ArrayLike, second: ArrayLike, groups: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two float arrays and a group array of one length; a group a row where none are given."""
    first = np.asarray(first, dtype=np.float64)
    second = np.asarray(second, dtype=np.float64)
    groups = np.arange(len(first)) if groups is None else np.asarray(groups)
    if not (first.shape == second.shape == groups.shape == (len(first),) and len(first)):
        raise InputError(
            f"values of shapes {first.shape}, {second.shape} and groups of {groups.shape}; expected one value and one "
            "group a row, and at least one row"
        )
    if len(rows := np.flatnonzero(~(np.isfinite(first) & np.isfinite(second)))):
        raise InputError(f"row {rows[0]} is not a finite number; leave out the rows that could not be scored")
    return first, second, groups


def weighted_sums(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Totals over bootstrap samples of the groups."""
    n = sums.shape[1]
    parts = [sums @ times.T for times in multiplicities(n, resamples, seed, together=max(1, 10_000_000 // n))]
    return np.concatenate(parts, axis=1)


def multiplicities(n: int, resamples: int, seed: int, *, together: int) -> Iterator[np.ndarray]:
    """How often each of ``n`` groups is drawn in bootstrap samples, so many together: int64 [together, n]."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, together):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(together, resamples - start))


def with_interval(table: pd.DataFrame, value: str, low: str, high: str) -> pd.Series:
    """Values of a column and, in brackets, their interval, as text; empty where there is none."""
    found = zip(table[value], table[low], table[high], strict=True)
    text = ["" if np.isnan(row[0]) else f"{row[0]:.2f} [{row[1]:.2f}, {row[2]:.2f}]" for row in found]
    return pd.Series(text, table.index, dtype=object)


def verdict(difference: Interval) -> str:
    """What an interval of a model less a floor says."""
    if difference.high < 0:
        return WORSE
    return BETTER if difference.low > 0 else UNDECIDED
