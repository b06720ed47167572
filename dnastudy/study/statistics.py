"""Intervals for the study's numbers: percentile bootstraps that resample whole loci."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dnastudy.files import InputError


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

    Parameters
    ----------
    numerator, denominator
        One value a row, float, [n].
    groups
        The group (merged locus) of each row, [n]; None: each row is its own.
    resamples, seed
        How many bootstrap samples, and the seed that draws them.
    level
        The share of the bootstrap distribution that the interval covers.

    Returns
    -------
    Interval, its ``n`` the number of groups. With a single group the interval can't be known: its ends are
    NaN.

    Raises
    ------
    InputError
        When lengths differ, there is no row, a value isn't finite, or the denominators sum to nothing.
    """
    numerator, denominator, groups = _checked(numerator, denominator, groups)
    _, inverse = np.unique(groups, return_inverse=True)
    tops = np.bincount(inverse, weights=numerator)
    bottoms = np.bincount(inverse, weights=denominator)
    if not (bottoms.sum() > 0 and np.all(bottoms >= 0)):
        raise InputError(
            "the denominators of a ratio don't sum to a positive number in every group; nothing to divide by"
        )
    value = float(tops.sum() / bottoms.sum())
    n = len(tops)
    if n == 1:
        return Interval(value, float("nan"), float("nan"), 1)
    draws = weighted_sums(np.stack([tops, bottoms]), resamples, seed)
    drawn = draws[1] > 0
    low, high = np.quantile(draws[0, drawn] / draws[1, drawn], [(1 - level) / 2, (1 + level) / 2])
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

    Both models are judged on the same windows or genes; drawing both values of a row together keeps what
    they have in common out of the interval.

    Parameters
    ----------
    first, second
        The two models' values (bits, or right answers) row by row, [n].
    denominator
        What the sums are divided by (bases), [n]; None: the number of rows.
    groups, resamples, seed, level
        As in `ratio_bootstrap`.
    """
    first, second, _ = _checked(first, second, groups)
    difference = first - second
    if denominator is None:
        return mean_bootstrap(difference, groups, resamples=resamples, seed=seed, level=level)
    return ratio_bootstrap(difference, denominator, groups, resamples=resamples, seed=seed, level=level)


def _checked(
    first: ArrayLike, second: ArrayLike, groups: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two float arrays and a group array of one length; a group a row where none are given."""
    first = np.asarray(first, dtype=np.float64)
    second = np.asarray(second, dtype=np.float64)
    groups = np.arange(len(first)) if groups is None else np.asarray(groups)
    if not (first.shape == second.shape == groups.shape and first.ndim == 1):
        raise InputError(
            f"values of shapes {first.shape}, {second.shape} and groups of {groups.shape}; expected one "
            "value and one group a row"
        )
    if not len(first):
        raise InputError("no row to resample; expected at least one")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        row = int(np.flatnonzero(~np.isfinite(first) | ~np.isfinite(second))[0])
        raise InputError(f"row {row} is not a finite number; leave out the rows that could not be scored")
    return first, second, groups


def weighted_sums(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Totals over bootstrap samples of the groups.

    Drawing n groups with replacement is drawing how often each is taken from a multinomial distribution.

    Parameters
    ----------
    sums
        Sums by group, float, [m, n groups].

    Returns
    -------
    float array, [m, resamples].
    """
    rng = np.random.default_rng(seed)
    n = sums.shape[1]
    batch = max(1, 10_000_000 // n)
    parts = [
        sums @ rng.multinomial(n, np.full(n, 1 / n), size=min(batch, resamples - start)).T
        for start in range(0, resamples, batch)
    ]
    return np.concatenate(parts, axis=1)
