"""Turn what the tasks measured into tables with intervals, one row a number."""

from __future__ import annotations

import math

import pandas as pd

from dnastudy.files import InputError, nearest
from dnastudy.study.statistics import Interval, mean_bootstrap, paired_difference, ratio_bootstrap

DIFFERENCE = ["difference", "low", "high", "verdict", "interval"]


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


def floors_not_beaten(scores: pd.DataFrame, *, models: list[str]) -> pd.DataFrame:
    """Pairs of a model and a floor in a stratum where the model's interval reaches the floor's.

    Parameters
    ----------
    scores
        As `score_table` returns them, floors included.
    models
        Those that aren't floors.

    Returns
    -------
    stratum, model, bits, high, floor, floor_bits, floor_low.
    """
    of_models = scores[scores["model"].isin(models)][["stratum", "model", "bits", "high"]]
    floors = scores[~scores["model"].isin(models)][["stratum", "model", "bits", "low"]]
    floors = floors.rename(columns={"model": "floor", "bits": "floor_bits", "low": "floor_low"})
    pairs = of_models.merge(floors, on="stratum")
    return pairs[pairs["high"] >= pairs["floor_low"]].reset_index(drop=True)


def difference_table(scored: dict[str, pd.DataFrame], *, against: str, resamples: int, seed: int) -> pd.DataFrame:
    """Bits per base of each model minus those of ``against`` on the same windows, with paired intervals.

    Returns
    -------
    model, stratum, difference, low, high, verdict (better, worse, tie, or unknown with a single locus), interval.

    Raises
    ------
    InputError
        When ``against`` isn't among the models.
    """
    if against not in scored:
        raise InputError(f"against={against!r}: no such model here; {nearest(against, scored)}")
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
            rows.append({"model": model, "stratum": stratum} | _difference(interval, lower_is_better=True))
    return pd.DataFrame(rows, columns=["model", "stratum", *DIFFERENCE])


def accuracy_difference_table(
    judged: pd.DataFrame, by: list[str], *, against: str, resamples: int, seed: int
) -> pd.DataFrame:
    """Accuracy of each model minus that of ``against`` on the same pairs, in groups, with paired intervals.

    Parameters
    ----------
    judged
        One row a judged pair and model, pairs in the same order for each: the columns of ``by``, ``model``,
        ``group`` and ``correct``.

    Returns
    -------
    The columns of ``by``, model, difference, low, high, verdict, interval.
    """
    rows = []
    for keys, part in judged.groupby(by, sort=False):
        models = dict(list(part.groupby("model", sort=False)))
        for model, table in models.items():
            if model == against:
                continue
            pair = table["correct"].to_numpy(), models[against]["correct"].to_numpy()
            interval = paired_difference(*pair, groups=table["group"], resamples=resamples, seed=seed)
            names = dict(zip(by, keys, strict=True)) | {"model": model}
            rows.append(names | _difference(interval, lower_is_better=False))
    return pd.DataFrame(rows, columns=[*by, "model", *DIFFERENCE])


def _difference(interval: Interval, *, lower_is_better: bool) -> dict:
    below, above = ("better", "worse") if lower_is_better else ("worse", "better")
    verdict = below if interval.high < 0 else above if interval.low > 0 else "tie"
    if math.isnan(interval.low):
        verdict = "unknown"
    return dict(zip(DIFFERENCE, [interval.value, interval.low, interval.high, verdict, interval], strict=True))


def accuracy_table(judged: pd.DataFrame, by: list[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """Share of pairs told right, in groups of rows, resampling what ``group`` numbers (loci).

    Parameters
    ----------
    judged
        One row a judged pair: the columns of ``by``, ``group`` and ``correct`` (1, 0, or one half for a tie).

    Returns
    -------
    The columns of ``by``, accuracy, low, high, pairs, interval.
    """
    rows = []
    for keys, part in judged.groupby(by, sort=False):
        interval = mean_bootstrap(part["correct"], part["group"], resamples=resamples, seed=seed)
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
