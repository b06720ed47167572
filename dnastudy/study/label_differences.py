"""Notebook 09's differences: models less floors, less their own random start, and both strands less one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dnastudy.study.classification import paired
from dnastudy.study.label_tables import RANDOM, best_first, by_task, on_its_strand
from dnastudy.tasks.labelling import rows_of

if TYPE_CHECKING:
    from dnastudy.study.statistics import Interval
    from dnastudy.tasks.labelling import Outcome
    from dnastudy.tasks.labels import LabelSet

TUNED = "fine-tuned"
WORSE, BETTER, UNDECIDED = "worse than the floor", "better than the floor", "undecided"
COLUMNS = ["task", "predictor", "use", "floor", "difference", "low", "high", "verdict"]


def floors_table(
    scores: pd.DataFrame,
    label_sets: Mapping[str, LabelSet],
    outcomes: Mapping[tuple[str, str], Outcome],
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Each model and use beside the best floor of its task (`best_first`): MCC less that of the floor, paired.

    A random start is a floor of its own network alone (`pretraining_table`). Here it is never the best floor, but has
    a row, which says whether it beats that.

    Returns
    -------
    DataFrame: task, predictor, use, floor, difference, low, high, verdict (`WORSE`, `BETTER`, or `UNDECIDED`:
    the interval covers zero).
    """
    rows = []
    for task, part in by_task(outcomes).items():
        here = best_first(on_its_strand(scores[scores["task"] == task]))
        floor = here[here["use"] == "floor"].iloc[0]["predictor"]
        for row in here[here["use"] != "floor"].itertuples():
            pair = part[row.predictor, row.use, row.strands], part[floor, "floor", "one"]
            found = _less(label_sets[task], *pair, resamples, seed)
            rows.append((task, row.predictor, row.use, floor, *found[:3], verdict(found)))
    return pd.DataFrame(rows, columns=COLUMNS)


def pretraining_table(
    label_sets: Mapping[str, LabelSet], outcomes: Mapping[tuple[str, str], Outcome], *, resamples: int, seed: int
) -> pd.DataFrame:
    """What pre-training brought: AUROC of each fine-tuned network less that from random weights, paired.

    AUROC and not MCC, since many a random start calls all sequences one class. A random start has the first seed
    alone, and a fine-tuning the mean of all: how random starts differ among themselves isn't in the interval.

    Returns
    -------
    DataFrame, as of `floors_table`, its floor the random start; empty where there is none.
    """
    rows = []
    for task, part in by_task(outcomes).items():
        for predictor in (name for name, use, strands in part if (use, strands) == (RANDOM, "one")):
            tuned, start = (part[predictor, use, "one"] for use in (TUNED, RANDOM))
            difference = _less(label_sets[task], tuned, start, resamples, seed, metric="auroc")
            rows.append((task, predictor, TUNED, RANDOM, *difference[:3], verdict(difference)))
    return pd.DataFrame(rows, columns=COLUMNS)


def strands_table(
    scores: pd.DataFrame,
    label_sets: Mapping[str, LabelSet],
    outcomes: Mapping[tuple[str, str], Outcome],
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """What averaging both strands brings each model and use: MCC with one and with both, and their difference, paired.

    Returns
    -------
    DataFrame: task, predictor, use, one, both, difference, low, high; empty without models.
    """
    mcc = scores.set_index(["task", "predictor", "use", "strands"])["mcc"]
    rows = []
    for task, part in by_task(outcomes).items():
        for predictor, use in (key[:2] for key in part if key[2] == "both"):
            one, both = ((predictor, use, strands) for strands in ("one", "both"))
            found = _less(label_sets[task], part[both], part[one], resamples, seed)
            rows.append((task, predictor, use, mcc[task, *one], mcc[task, *both], *found[:3]))
    return pd.DataFrame(rows, columns=["task", "predictor", "use", "one", "both", "difference", "low", "high"])


def _less(
    labels: LabelSet, first: np.ndarray, second: np.ndarray, resamples: int, seed: int, metric: str = "mcc"
) -> Interval:
    """A metric of one predictor less that of another (probabilities [runs, n, classes]) on the held-out rows."""
    test = labels.table.iloc[rows_of(labels, "test")]
    groups = test["group"].to_numpy()
    return paired(test["label"].to_numpy(), first, second, groups, metric=metric, resamples=resamples, seed=seed)


def verdict(difference: Interval) -> str:
    """What an interval of a model less a floor says."""
    if difference.high < 0:
        return WORSE
    return BETTER if difference.low > 0 else UNDECIDED


def findings(floors: pd.DataFrame, scores: pd.DataFrame, pretraining: pd.DataFrame) -> str:
    """In words, by label set: the best floor (`best_first`), and which models beat it, don't, or are beaten by it.

    A random start is no model: lines of their own say whether one stands above all, which beat the best floor, and
    which models are worse than their own.
    """
    lines = []
    for task, part in floors.groupby("task", sort=False):
        here = best_first(scores[(scores["task"] == task) & (scores["use"] == "floor")])
        floor, alike = here.iloc[0], int((here["mcc"] == here["mcc"].iloc[0]).sum())
        tie = f" ({alike} floors have it; of these the highest AUROC, {floor['auroc']:.2f})" if alike > 1 else ""
        lines.append(f"{task}: the best floor is {floor['predictor']} with an MCC of {floor['mcc']:.2f}{tie}")
        models, starts = part[part["use"] != RANDOM], part[part["use"] == RANDOM]
        for name, said in (("better", BETTER), ("undecided", UNDECIDED), ("worse", WORSE)):
            lines.append(f"  {name}: {_names(models[models['verdict'] == said])}")
        if len(starts):
            everything = best_first(on_its_strand(scores[scores["task"] == task]))
            top, others = everything.iloc[0], everything[everything["use"] != RANDOM]
            if top["mcc"] > others["mcc"].max():
                lines.append(f"  above it and all models: {top['predictor']} from random weights, {top['mcc']:.2f}")
            above = ", ".join(starts.loc[starts["verdict"] == BETTER, "predictor"])
            lines.append(f"  random starts that are better than the floor: {above or 'none'}")
            own = pretraining[(pretraining["task"] == task) & (pretraining["verdict"] == WORSE)]
            lines.append(f"  worse than from random weights, by AUROC: {_names(own)}")
    return "\n".join(lines)


def _names(rows: pd.DataFrame) -> str:
    """Predictors, each with its uses."""
    uses = rows.groupby("predictor", sort=False)["use"].agg(", ".join)
    return ", ".join(f"{name} ({use})" for name, use in uses.items()) or "none"
