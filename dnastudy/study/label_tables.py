"""Notebook 09's tables: what label sets hold, how well each predictor does, where a floor wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dnastudy.study.classification import calibration, judge, paired
from dnastudy.study.statistics import Interval, ratio_bootstrap
from dnastudy.tasks.label_cards import card, give_away
from dnastudy.tasks.labelling import rows_of
from dnastudy.tasks.published import PUBLISHED_MCC

if TYPE_CHECKING:
    from dnastudy.tasks.labelling import Outcome
    from dnastudy.tasks.labels import LabelSet
    from dnastudy.tokens import Tokenizer

RUNS = ["predictor", "use", "strands"]
PROMOTERS = "Prom300, "  # and the kind of negatives
WORSE, BETTER, UNDECIDED = "worse than the floor", "better than the floor", "undecided"


def cards(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """The card of every label set: task, what, value."""
    return pd.concat([card(labels).assign(task=name) for name, labels in label_sets.items()], ignore_index=True)[
        ["task", "what", "value"]
    ]


def given_away(label_sets: Mapping[str, LabelSet], tokenizer: Tokenizer) -> pd.DataFrame:
    """AUROC of single statistics between held-out promoters and each kind of negatives, the most telling ones first.

    Returns
    -------
    DataFrame: statistic, learnt (from the training split), and a column a kind of negatives; empty where there are no
    promoters.
    """
    parts = {
        name.removeprefix(PROMOTERS): give_away(labels, tokenizer).set_index(["statistic", "learnt"])["auroc"]
        for name, labels in label_sets.items()
        if name.startswith(PROMOTERS)
    }
    if not parts:
        return pd.DataFrame()
    table = pd.DataFrame(parts)
    order = (table.iloc[:, 0] - 0.5).abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index()


def costs_table(outcomes: Mapping[tuple[str, str], Outcome]) -> pd.DataFrame:
    """What each model had to read of each label set: parameters, sequences read in pieces, seconds in all."""
    rows = [{"task": task, "model": model, **outcome.facts} for (task, model), outcome in outcomes.items()]
    columns = ["task", "model", "kind", "parameters", "in_pieces", "longest", "seen", "seconds"]
    table = pd.DataFrame(rows, columns=columns).query("kind.notna()").reset_index(drop=True)
    # Missing where there is none: an n-gram has no parameters, and its context no end.
    return table.astype(dict.fromkeys(columns[3:-1], "Int64"))


def sizes_table(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """What each label set holds: examples by split, classes, bases, and of held-out rows two shares.

    Those of the commonest class, and those that stand in training, whole or with 31 of their bases.
    """
    rows = []
    for name, labels in label_sets.items():
        table, test = labels.table, rows_of(labels, "test")
        row = {"task": name, "classes": len(labels.classes)}
        row |= {split: int((table["split"] == split).sum()) for split in ("train", "validation", "test")}
        row["bases"] = int(np.median([len(codes) for codes in labels.codes]))
        row["blocks"] = table["group"].iloc[test].nunique()
        row["commonest"] = float(table["label"].iloc[test].value_counts(normalize=True).max())
        row["shared"] = float(table["shared"].iloc[test].mean())
        rows.append(row)
    return pd.DataFrame(rows)


def scores_table(
    label_sets: Mapping[str, LabelSet], outcomes: Mapping[tuple[str, str], Outcome], *, resamples: int, seed: int
) -> pd.DataFrame:
    """Every metric of every predictor on every label set, with intervals over blocks of the held-out contigs.

    Returns
    -------
    DataFrame, a row a task, predictor, use and strands: runs (seeds), each metric of
    `dnastudy.study.classification.judge` with ``_low`` and ``_high``, n (groups), ``mcc_unshared`` (on the test
    sequences that aren't ``shared``; NaN where a class is left without one), paper (MCC in
    Sanabria et al. 2024; NaN where they have no such).
    """
    rows = []
    for task, part in by_task(outcomes).items():
        labels = label_sets[task]
        test = labels.table.iloc[rows_of(labels, "test")]
        truth, groups = test["label"].to_numpy(), test["group"].to_numpy()
        unshared = ~test["shared"].to_numpy()
        for (predictor, use, strands), found in part.items():
            metrics = judge(truth, found, groups, resamples=resamples, seed=seed)
            row = {"task": task, "predictor": predictor, "use": use, "strands": strands, "runs": len(found)}
            for name, interval in metrics.items():
                row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            row |= {"n": metrics["mcc"].n, "mcc_unshared": _unshared(truth, found, unshared, len(labels.classes))}
            kind = outcomes[task, predictor].facts["kind"] if use != "floor" else ""
            rows.append(row | {"paper": published(task, predictor, use, kind)})
    return pd.DataFrame(rows)


def published(task: str, predictor: str, use: str, kind: str = "") -> float:
    """MCC that the paper gives for the like of a predictor on the like of a task, NaN where it has none.

    A fine-tuned BERT is beside GROVER, a forest beside theirs.
    """
    name = {("bert", "fine-tuned"): "GROVER", ("", "floor"): predictor}.get((kind, use), "")
    return _theirs(task).get(name, np.nan)


def _theirs(task: str) -> dict[str, float]:
    """The paper's figures of a task by predictor; of the kinds of negatives it has shuffled tokens alone."""
    task, _, negatives = task.partition(", ")
    return PUBLISHED_MCC.get(task, {}) if negatives in ("", "tokens") else {}


def by_task(outcomes: Mapping[tuple[str, str], Outcome]) -> dict[str, dict[tuple, np.ndarray]]:
    """Probabilities, float32 [runs, n, classes], by task and by predictor, use and strands."""
    found: dict[str, dict[tuple, np.ndarray]] = {}
    for (task, _), outcome in outcomes.items():
        columns = [name for name in outcome.predictions if name[0] == "p" and name[1:].isdigit()]
        for key, table in outcome.predictions.groupby(RUNS, sort=False):
            runs = [run[columns].to_numpy() for _, run in table.sort_values(["seed", "example"]).groupby("seed")]
            found.setdefault(task, {})[key] = np.stack(runs)
    return found


def _unshared(truth: np.ndarray, found: np.ndarray, rows: np.ndarray, classes: int) -> float:
    if len(np.unique(truth[rows])) < classes:
        return np.nan
    return judge(truth[rows], found[:, rows], resamples=1)["mcc"].value


def floors_table(
    scores: pd.DataFrame,
    label_sets: Mapping[str, LabelSet],
    outcomes: Mapping[tuple[str, str], Outcome],
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Each model and use beside the best floor of its task (`best_first`): MCC less that of the floor, paired.

    Returns
    -------
    DataFrame: task, predictor, use, floor, difference, low, high, verdict (`WORSE`, `BETTER`, or `UNDECIDED`:
    the interval covers zero).
    """
    rows = []
    for task, part in by_task(outcomes).items():
        labels = label_sets[task]
        test = labels.table.iloc[rows_of(labels, "test")]
        here = best_first(on_its_strand(scores[scores["task"] == task]))
        floor = here[here["use"] == "floor"].iloc[0]
        for row in here[here["use"] != "floor"].itertuples():
            pair = part[row.predictor, row.use, row.strands], part[floor["predictor"], "floor", "one"]
            groups = test["group"].to_numpy()
            found = paired(test["label"].to_numpy(), *pair, groups, resamples=resamples, seed=seed)
            rows.append((task, row.predictor, row.use, floor["predictor"], *found[:3], verdict(found)))
    return pd.DataFrame(rows, columns=["task", "predictor", "use", "floor", "difference", "low", "high", "verdict"])


def verdict(difference: Interval) -> str:
    """What an interval of a model less a floor says."""
    if difference.high < 0:
        return WORSE
    return BETTER if difference.low > 0 else UNDECIDED


def findings(floors: pd.DataFrame, scores: pd.DataFrame) -> str:
    """In words, a line a label set: the best floor (`best_first`), and which models beat it, and how many it beats."""
    lines = []
    for task, part in floors.groupby("task", sort=False):
        here = best_first(scores[(scores["task"] == task) & (scores["use"] == "floor")])
        floor, alike = here.iloc[0], int((here["mcc"] == here["mcc"].iloc[0]).sum())
        tie = f" ({alike} floors have it; of these the highest AUROC, {floor['auroc']:.2f})" if alike > 1 else ""
        verdicts = part["verdict"].value_counts()
        above = [f"{row.predictor} ({row.use})" for row in part[part["verdict"] == BETTER].itertuples()]
        lines.append(
            f"{task}: the best floor is {floor['predictor']} with an MCC of {floor['mcc']:.2f}{tie}; better: "
            f"{', '.join(above) or 'none'}; undecided: {verdicts.get(UNDECIDED, 0)}; worse: {verdicts.get(WORSE, 0)}"
        )
    return "\n".join(lines)


def best_first(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the highest MCC first; of those alike (0 where all is called one class) the highest AUROC."""
    return scores.sort_values(["mcc", "auroc"], ascending=False)


def on_its_strand(scores: pd.DataFrame) -> pd.DataFrame:
    """What is shown of the scores: those of the strand that a sequence is given on, which is all that floors read."""
    return scores[scores["strands"] == "one"]


def mcc_table(scores: pd.DataFrame) -> pd.DataFrame:
    """MCC with its interval, as text: a row a predictor and use, a column a label set; the paper's figures below."""
    shown = on_its_strand(scores)
    text = [f"{row.mcc:.2f} [{row.mcc_low:.2f}, {row.mcc_high:.2f}]" for row in shown.itertuples()]
    tasks = list(dict.fromkeys(shown["task"]))
    table = shown.assign(text=text).pivot_table(
        index=["predictor", "use"], columns="task", values="text", aggfunc="first", sort=False
    )
    table = table[tasks].reset_index()
    theirs = dict.fromkeys(name for figures in PUBLISHED_MCC.values() for name in figures)
    for name in theirs:
        row = {task: _theirs(task).get(name, np.nan) for task in tasks}
        if any(np.isfinite(value) for value in row.values()):
            said = {task: "" if np.isnan(value) else f"{value:.2f}" for task, value in row.items()}
            table.loc[len(table)] = {"predictor": name, "use": "in the paper", **said}
    return table.fillna("").rename_axis(columns=None)


def for_figure(scores: pd.DataFrame) -> pd.DataFrame:
    """What the figures of scores take: MCC with its interval, negatives by kind."""
    table = on_its_strand(scores).drop(columns=["low", "high"], errors="ignore")
    table = table.rename(columns={"mcc_low": "low", "mcc_high": "high"})
    return table.assign(negatives=[task.partition(", ")[2] for task in table["task"]])


def against_negatives(scores: pd.DataFrame) -> pd.DataFrame:
    """What the figure of negatives takes: promoters, without random starts and the floors that know least."""
    chosen = scores["task"].str.startswith(PROMOTERS) & ~scores["use"].str.startswith("random")
    return for_figure(scores[chosen & ~scores["predictor"].isin(["majority", "GC", "positional"])])


def reliability_table(
    label_sets: Mapping[str, LabelSet], outcomes: Mapping[tuple[str, str], Outcome], scores: pd.DataFrame
) -> pd.DataFrame:
    """How sure and how right predictors are, on all label sets of two classes together.

    Of each model its best use, and the floor that is best in the mean (`best_first`).

    Returns
    -------
    DataFrame: predictor, use, and as of `dnastudy.study.classification.calibration`; empty without such label sets.
    """
    found = by_task(outcomes)
    tasks = [task for task in found if len(label_sets[task].classes) == 2]
    truth = [label_sets[task].table["label"].to_numpy()[rows_of(label_sets[task], "test")] for task in tasks]
    scores = scores[scores["task"].isin(tasks)]
    by_use = on_its_strand(scores).groupby(RUNS, sort=False)[["mcc", "auroc"]]
    means = best_first(by_use.mean()[by_use.size() == len(tasks)].reset_index())
    means["whose"] = means["predictor"].where(means["use"] != "floor", "floor")
    parts = []
    for row in means.drop_duplicates("whose").itertuples():
        probabilities = np.concatenate([found[task][row.predictor, row.use, row.strands] for task in tasks], axis=1)
        table = calibration(np.concatenate(truth), probabilities)
        parts.append(table.assign(predictor=row.predictor, use=row.use))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def strands_table(scores: pd.DataFrame) -> pd.DataFrame:
    """What averaging both strands brings each model and use: MCC with one and both strands, and their difference."""
    models = scores[scores["use"] != "floor"]
    if models.empty:
        return pd.DataFrame(columns=["task", "predictor", "use", "one", "both", "difference"])
    table = models.pivot_table(index=["task", "predictor", "use"], columns="strands", values="mcc", sort=False)
    return table.assign(difference=table["both"] - table["one"]).reset_index().rename_axis(columns=None)


def zero_shot_table(
    label_sets: Mapping[str, LabelSet], outcomes: Mapping[tuple[str, str], Outcome], *, resamples: int, seed: int
) -> pd.DataFrame:
    """AUROC of zero-shot scores, each class against the first: task, predictor, use, against, auroc, low, high, n.

    Where a label set says what its rows are like (donors, acceptors), a class is compared with those like it alone.
    """
    rows = []
    for (task, _), outcome in outcomes.items():
        labels = label_sets[task]
        test = labels.table.iloc[rows_of(labels, "test")].reset_index(drop=True)
        for (predictor, use), found in outcome.scores.groupby(["predictor", "use"], sort=False):
            score = found.sort_values("example")["score"].to_numpy()
            for number, name in enumerate(labels.classes[1:], 1):
                pair = test["label"].isin([0, number])
                if "like" in test:
                    pair &= test["like"] == name
                truth = (test["label"][pair] == number).to_numpy(np.int64)
                ranks = pd.Series(score[pair]).rank(pct=True).to_numpy()
                columns = np.stack([1 - ranks, ranks], axis=1)
                groups = test["group"][pair].to_numpy()
                interval = judge(truth, columns, groups, resamples=resamples, seed=seed)["auroc"]
                rows.append((task, predictor, use, name, *interval))
    return pd.DataFrame(rows, columns=["task", "predictor", "use", "against", "auroc", "low", "high", "n"])


def scan_track(
    label_sets: Mapping[str, LabelSet],
    outcomes: Mapping[tuple[str, str], Outcome],
    scores: pd.DataFrame,
    shown: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Held-out stretches of PromScan with a start in them, as the best model and floor (`best_first`) see them.

    Returns
    -------
    Windows (contig, start, end, strand, label, region: the stretch they are of), the longest ``shown`` stretches; and
    the probability of a start in each, by predictor. Empty where there is no scan.
    """
    if "PromScan" not in label_sets:
        return pd.DataFrame(), {}
    labels = label_sets["PromScan"]
    rows = rows_of(labels, "test")
    test = labels.table.iloc[rows].reset_index(drop=True).sort_values(["contig", "start"])
    apart = (test["contig"] != test["contig"].shift()) | (test["start"] > test["end"].shift())
    stretch = apart.cumsum()
    sizes = test[stretch.map(test.groupby(stretch)["label"].max()) > 0].groupby(stretch).size()
    chosen = test[stretch.isin(sizes.nlargest(shown).index)]
    ends = chosen.groupby(stretch).agg(contig=("contig", "first"), start=("start", "min"), end=("end", "max"))
    names = {row.Index: f"{row.contig}:{row.start + 1:,}-{row.end:,}" for row in ends.itertuples()}
    found = by_task(outcomes)["PromScan"]
    here = best_first(on_its_strand(scores[scores["task"] == "PromScan"]))
    best = [part.iloc[0] for _, part in here.groupby(here["use"] == "floor", sort=True) if len(part)]
    drawn = {
        row["predictor"] if row["use"] == "floor" else f"{row['predictor']}, {row['use']}": found[tuple(row[RUNS])]
        for row in best
    }
    probabilities = {name: runs[..., 1].mean(0)[chosen.index] for name, runs in drawn.items()}
    columns = ["contig", "start", "end", "strand", "label"]
    return chosen[columns].assign(region=stretch[chosen.index].map(names)), probabilities


def variants_table(scored: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """How often the variant that people carry is likelier than its control: share, low, high, by model; ties one half.

    Besides, the mean of either's log-likelihood ratio (nats).
    """
    rows = []
    for name, part in scored.groupby("model", sort=False) if len(scored) else ():
        part = part[np.isfinite(part["llr"]) & np.isfinite(part["control"])]
        above = (part["llr"] > part["control"]) + 0.5 * (part["llr"] == part["control"])
        found = ratio_bootstrap(above, np.ones(len(above)), part["group"], resamples=resamples, seed=seed)
        rows.append((name, *found[:3], len(part), part["llr"].mean(), part["control"].mean()))
    return pd.DataFrame(rows, columns=["model", "above", "low", "high", "n", "variants", "controls"])
