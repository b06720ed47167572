"""What a data sweep shows: cost by size, a power law through it, and what is saved a doubling, with intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.study.statistics import Interval

LEAST_SIZES = 4  # three parameters are fitted

_EXPONENTS = np.geomspace(0.02, 2, 200)
_LEVEL = (0.025, 0.975)


class PowerLaw(NamedTuple):
    """bits(D) = limit + scale (D / largest D)^-exponent; arrays of one shape where many were fitted at once."""

    limit: np.ndarray
    scale: np.ndarray
    exponent: np.ndarray


def fit_power_law(sizes: np.ndarray, bits: np.ndarray) -> PowerLaw:
    """Fit a power law with a limit by least squares, the form of Hestness et al. 2017 (arXiv 1712.00409, eq. 1).

    For each of 200 exponents from 0.02 to 2, limit and scale are linear least squares with neither below 0;
    the best exponent is taken.

    Parameters
    ----------
    sizes
        float [S], ascending.
    bits
        float [S], or [R, S]: R curves fitted apart.
    """
    bits = np.asarray(bits, dtype=np.float64)
    powers = (np.asarray(sizes) / sizes[-1]) ** -_EXPONENTS[:, None]  # [exponents, S]
    means, centre = bits.mean(-1), powers.mean(-1)
    spread = powers - centre[:, None]
    scale = np.maximum((bits @ spread.T) / (spread**2).sum(-1), 0)
    limit = means[..., None] - scale * centre
    # Where the best limit is below 0 it is 0, and the line goes through the origin.
    scale = np.where(limit < 0, (bits @ powers.T) / (powers**2).sum(-1), scale)
    limit = np.maximum(limit, 0)
    error = ((limit[..., None] + scale[..., None] * powers - bits[..., None, :]) ** 2).sum(-1)
    best = error.argmin(-1)
    chosen = (np.take_along_axis(part, best[..., None], -1)[..., 0][()] for part in (limit, scale))
    return PowerLaw(*chosen, _EXPONENTS[best])


def curve_table(runs: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Cost by unit, kind and size, resampling groups and seeds.

    Parameters
    ----------
    runs
        As `dnastudy.tasks.sweep` returns them, curves end to end.

    Returns
    -------
    unit, kind, size, bits, low, high (bits per base or character), runs, seen (mean), limited (runs that were
    limited by their steps), interval.
    """
    rows = []
    for (unit, kind), part in runs.groupby(["unit", "kind"], sort=False):
        sizes, bits, draws, groups = _resampled(part, resamples, seed)
        by_run = part.drop_duplicates(["size", "seed"]).groupby("size")
        for column, size in enumerate(sizes):
            interval = _interval(bits[column], draws[:, column], groups)
            few = by_run.get_group(size)
            counts = {"runs": len(few), "seen": few["seen"].mean(), "limited": int(few["limited"].sum())}
            costs = {"bits": interval.value, "low": interval.low, "high": interval.high}
            rows.append({"unit": unit, "kind": kind, "size": size} | costs | counts | {"interval": interval})
    return pd.DataFrame(rows)


def fit_table(runs: pd.DataFrame, uniform: dict[str, float], *, resamples: int, seed: int) -> pd.DataFrame:
    """What each curve says of its model's hunger, from the sizes at which no run was limited by its steps.

    Two numbers need no fit. ``saving`` is the share of the cost that a doubling of the data saved over the
    last ten-fold. ``tenth`` looks at the gain, what a model costs less than the uniform one: the share of the
    gain at ``largest`` that a tenth of those data give; ``largest`` is the same for all curves of a kind. A
    model that has learnt what it can is near 1 whatever its alphabet; a hungry one is far below.

    Parameters
    ----------
    runs
        See `curve_table`.
    uniform
        Bits per base or character, by unit, when every symbol is equally likely.

    Returns
    -------
    A row a curve: unit, kind, sizes (used), saving, largest, tenth, and of the power law limit and scale (bits
    at the largest size used), exponent, halving (how many times the data halve the excess over the limit), and
    whether it is identified.

    The numbers are Intervals, resampling groups and seeds; NaN where there are too few sizes. ``tenth`` is NaN too
    where the model isn't shown to gain at ``largest``, or gains nothing with a tenth of that. The power law's
    are NaN too where the sizes don't identify it: fewer than four of them, or a limit of 0 or an exponent at
    an end of the range searched in more than one resample of forty. What is known of the limit then is that
    it lies between 0 and the interval's upper end.
    """
    free = runs[~runs.groupby(["unit", "kind", "size"])["limited"].transform("any")]
    ends = free.groupby(["kind", "unit"])["size"].agg(["min", "max"])
    unknown = Interval(float("nan"), float("nan"), float("nan"), 0)
    rows = []
    for unit, kind in runs[["unit", "kind"]].drop_duplicates().itertuples(index=False):
        part = free[(free["unit"] == unit) & (free["kind"] == kind)]
        row = {"unit": unit, "kind": kind, "sizes": part["size"].nunique(), "largest": 0, "identified": False}
        row |= dict.fromkeys(("saving", "tenth", *PowerLaw._fields, "halving"), unknown)
        rows.append(row)
        if row["sizes"] < 2:
            continue
        sizes, bits, draws, groups = _resampled(part, resamples, seed)
        first = min(int(np.searchsorted(sizes, sizes[-1] / 10)), len(sizes) - 2)
        doublings = np.log2(sizes[-1] / sizes[first])
        savings = (1 - (costs[..., -1] / costs[..., first]) ** (1 / doublings) for costs in (bits, draws))
        row["saving"] = _interval(*savings, groups)
        row["largest"] = ends.loc[kind, "max"].min()
        if ends.loc[kind, "min"].max() <= row["largest"] / 10:
            gains = ([_along(sizes, uniform[unit] - c, row["largest"] / n) for n in (10, 1)] for c in (bits, draws))
            (tenth, whole), (tenths, wholes) = gains
            if tenth > 0 and min(whole, np.quantile(wholes, _LEVEL[0])) > 0:
                row["tenth"] = _interval(tenth / whole, tenths / wholes, groups)
        if row["sizes"] >= LEAST_SIZES:
            law, laws = fit_power_law(sizes, bits), fit_power_law(sizes, draws)
            at_an_end = (laws.limit <= 0) | (laws.exponent <= _EXPONENTS[0]) | (laws.exponent >= _EXPONENTS[-1])
            row["identified"] = bool(at_an_end.mean() <= _LEVEL[0])
            row["limit"] = Interval(float("nan"), 0.0, float(np.quantile(laws.limit, _LEVEL[1])), groups)
            if row["identified"]:
                row |= {name: _interval(getattr(law, name), getattr(laws, name), groups) for name in law._fields}
                row["halving"] = _interval(2 ** (1 / law.exponent), 2 ** (1 / laws.exponent), groups)
    return pd.DataFrame(rows)


def fitted_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """The power law through the unlimited sizes of each curve of `curve_table`, to be drawn: unit, kind, size, bits."""
    parts = []
    for (unit, kind), part in curves[curves["limited"] == 0].groupby(["unit", "kind"], sort=False):
        if len(part) >= LEAST_SIZES:
            sizes = part["size"].to_numpy()
            law, along = fit_power_law(sizes, part["bits"].to_numpy()), np.geomspace(sizes[0], sizes[-1], 60)
            bits = law.limit + law.scale * (along / sizes[-1]) ** -law.exponent
            parts.append(pd.DataFrame({"unit": unit, "kind": kind, "size": along, "bits": bits}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["unit", "kind", "size", "bits"])


def gain_table(curves: pd.DataFrame, fits: pd.DataFrame, uniform: dict[str, float]) -> pd.DataFrame:
    """The share of its gain at ``largest`` that a model has at each size: unit, kind, size, share.

    Only of the curves that have a ``tenth`` (see `fit_table`).
    """
    known = fits[[tenth.value == tenth.value for tenth in fits["tenth"]]]
    joined = curves[curves["limited"] == 0].merge(known[["unit", "kind", "largest"]], on=["unit", "kind"])
    parts = []
    for (unit, kind), part in joined.groupby(["unit", "kind"], sort=False):
        gains = uniform[unit] - part["bits"].to_numpy()
        whole = _along(part["size"].to_numpy(), gains, part["largest"].iloc[0])
        parts.append(pd.DataFrame({"unit": unit, "kind": kind, "size": part["size"], "share": gains / whole}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["unit", "kind", "size", "share"])


def _along(sizes: np.ndarray, values: np.ndarray, size: float) -> np.ndarray:
    """Values [..., S] interpolated at ``size`` along the logarithm of the sizes."""
    right = max(1, int(np.searchsorted(sizes, size)))
    way = np.log(size / sizes[right - 1]) / np.log(sizes[right] / sizes[right - 1])
    return (1 - way) * values[..., right - 1] + way * values[..., right]


def _interval(value: float, draws: np.ndarray, groups: int) -> Interval:
    low, high = np.quantile(draws, _LEVEL) if groups > 1 else (float("nan"),) * 2
    return Interval(float(value), float(low), float(high), groups)


def _resampled(runs: pd.DataFrame, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Sizes [S], costs [S], resampled costs [resamples, S], and how many groups there are.

    The same groups are drawn for every size, since all were judged on the same windows; seeds are drawn for
    each size apart. A cost is the mean over seeds of a ratio of sums.
    """
    random = np.random.default_rng(seed)
    sums = runs.groupby(["group", "size", "seed"])[["bits", "amount"]].sum()
    groups, sizes, seeds = (level.to_numpy() for level in sums.index.levels)
    bits = sums["bits"].to_numpy().reshape(len(groups), len(sizes), len(seeds))
    amounts = sums["amount"].to_numpy().reshape(bits.shape)[:, 0, 0]
    drawn = random.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=resamples)
    drawn = drawn[drawn @ amounts > 0]
    costs = np.tensordot(drawn, bits, 1) / (drawn @ amounts)[:, None, None]
    picks = random.integers(len(seeds), size=costs.shape)
    point = (bits.sum(0) / amounts.sum()).mean(-1)
    return sizes, point, np.take_along_axis(costs, picks, -1).mean(-1), len(groups)
