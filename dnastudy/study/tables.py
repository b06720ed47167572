"""Turn what the tasks measured into tables with intervals, one row a number."""

from __future__ import annotations

import pandas as pd

from dnastudy.study.statistics import mean_bootstrap, paired_difference, ratio_bootstrap


def score_table(scored: dict[str, pd.DataFrame], *, resamples: int, seed: int) -> pd.DataFrame:
    """Bits per base of each model in each stratum, resampling loci.

    Parameters
    ----------
    scored
        For each model the table of `dnastudy.tasks.score_windows`: window, locus, stratum, bits, bases.

    Returns
    -------
    model, stratum, bits, low, high (bits per base), perplexity (2 to the bits), bases, loci, interval.
    """
    rows = []
    for model, table in scored.items():
        for stratum, part in table.groupby("stratum", sort=False):
            interval = ratio_bootstrap(part["bits"], part["bases"], part["locus"], resamples=resamples, seed=seed)
            rows.append(
                {
                    "model": model,
                    "stratum": stratum,
                    "bits": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "perplexity": 2**interval.value,
                    "bases": int(part["bases"].sum()),
                    "loci": interval.n,
                    "interval": interval,
                }
            )
    return pd.DataFrame(rows)


def difference_table(scored: dict[str, pd.DataFrame], *, against: str, resamples: int, seed: int) -> pd.DataFrame:
    """Bits per base of each model minus those of ``against`` on the same windows, with paired intervals.

    Returns
    -------
    model, stratum, difference, low, high, verdict (better, worse or tie), interval.
    """
    rows = []
    base = scored[against].groupby("stratum", sort=False)
    for model, table in scored.items():
        if model == against:
            continue
        for stratum, part in table.groupby("stratum", sort=False):
            other = base.get_group(stratum)
            interval = paired_difference(
                part["bits"], other["bits"], part["bases"], part["locus"], resamples=resamples, seed=seed
            )
            verdict = "better" if interval.high < 0 else "worse" if interval.low > 0 else "tie"
            rows.append(
                {
                    "model": model,
                    "stratum": stratum,
                    "difference": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "verdict": verdict,
                    "interval": interval,
                }
            )
    return pd.DataFrame(rows)


def accuracy_table(judged: pd.DataFrame, by: list[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """Share of pairs told right, in groups, resampling genes.

    Parameters
    ----------
    judged
        One row a judged pair: the columns of ``by``, ``gene`` and ``correct`` (1, 0, or one half for a tie).

    Returns
    -------
    The columns of ``by``, accuracy, low, high, pairs, interval.
    """
    rows = []
    for keys, part in judged.groupby(by, sort=False):
        interval = mean_bootstrap(part["correct"], part["gene"], resamples=resamples, seed=seed)
        rows.append(
            dict(zip(by, keys, strict=True))
            | {
                "accuracy": interval.value,
                "low": interval.low,
                "high": interval.high,
                "pairs": len(part),
                "interval": interval,
            }
        )
    return pd.DataFrame(rows)
