"""Notebook 09's tables: what label sets hold, and how well each predictor does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dnastudy.study.classification import calibration, judge
from dnastudy.study.statistics import Interval, ratio_bootstrap
from dnastudy.tasks.label_cards import card, single_statistics
from dnastudy.tasks.labelling import rows_of
from dnastudy.tasks.published import PUBLISHED_MCC

if TYPE_CHECKING:
    from dnastudy.tasks.labelling import Outcome
    from dnastudy.tasks.labels import LabelSet
    from dnastudy.tokens import Tokenizer

RUNS = ["predictor", "use", "strands"]
PROMOTERS = "Prom300, "  # and the kind of negatives
RANDOM = "random start"  # the use that is a floor: what a network learns without pre-training
ZERO_SHOT_FLOORS = ("GC", "positional", "CTCF motif")  # each of a single run


def cards(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """The card of every label set: task, what, value."""
    return pd.concat([card(labels).assign(task=name) for name, labels in label_sets.items()], ignore_index=True)[
        ["task", "what", "value"]
    ]


def given_away(label_sets: Mapping[str, LabelSet], tokenizer: Tokenizer, *, resamples: int, seed: int) -> pd.DataFrame:
    """AUROC of single statistics between held-out promoters and each kind of negatives, the most telling ones first.

    Returns
    -------
    DataFrame: statistic, learnt (from the training split), and a column a kind of negatives, then each kind's with
    ``_low`` and ``_high``; empty where there are no promoters.
    """
    values, ends = {}, {}
    for name, labels in label_sets.items():
        if name.startswith(PROMOTERS):
            kind = name.removeprefix(PROMOTERS)
            rows, statistics = single_statistics(labels, tokenizer)
            test = labels.table.iloc[rows]
            found = {(name, learnt): _auroc(test, each, resamples, seed) for name, learnt, each in statistics}
            values[kind] = {key: interval.value for key, interval in found.items()}
            ends[f"{kind}_low"] = {key: interval.low for key, interval in found.items()}
            ends[f"{kind}_high"] = {key: interval.high for key, interval in found.items()}
    if not values:
        return pd.DataFrame()
    table = pd.DataFrame(values | ends).rename_axis(index=["statistic", "learnt"])
    order = (table.iloc[:, 0] - 0.5).abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index()


def kinds_of(given_away: pd.DataFrame) -> list[str]:
    """Kinds of negatives that a table of `given_away` has a column of."""
    return [name for name in given_away if f"{name}_low" in given_away]


def _auroc(test: pd.DataFrame, values: np.ndarray, resamples: int, seed: int) -> Interval:
    """How well one number (float [n]) tells held-out rows of label 0 from those of a higher one."""
    columns, truth = np.stack([-values, values], axis=1), (test["label"] > 0).to_numpy(np.int64)
    how = {"metrics": ["auroc"], "resamples": resamples, "seed": seed}
    return judge(truth, columns, test["group"].to_numpy(), **how)["auroc"]


def costs_table(outcomes: Mapping[tuple[str, str], Outcome]) -> pd.DataFrame:
    """What each model had to read of each label set: parameters, sequences read in pieces, seconds in all."""
    rows = [{"task": task, "model": model, **outcome.facts} for (task, model), outcome in outcomes.items()]
    columns = ["task", "model", "kind", "parameters", "in_pieces", "longest", "seen", "seconds"]
    table = pd.DataFrame(rows, columns=columns).query("kind.notna()").reset_index(drop=True)
    # Missing where there is none: an n-gram has no parameters, and its context no end.
    return table.astype(dict.fromkeys(columns[3:-1], "Int64"))


def labels_table(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """Every labelled sequence: task, row (its number among those of its split), split, label (word), and its place.

    The place (contig, start, end, strand) is missing of sequences that have none. Predictions are in the order of rows.
    """
    parts = []
    for name, labels in label_sets.items():
        words = labels.table["label"].map(dict(enumerate(labels.classes)))
        row = labels.table.groupby("split").cumcount()
        parts.append(labels.table.assign(task=name, row=row, label=words))
    columns = ["task", "split", "row", "label", "contig", "start", "end", "strand"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


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
    Sanabria et al. 2024; NaN where they have no such), ``mcc_sd`` (standard deviation over seeds, which the interval
    doesn't hold; NaN of a single one), ends of ``mcc_unshared``.
    """
    rows = []
    for task, part in by_task(outcomes).items():
        labels = label_sets[task]
        test = labels.table.iloc[rows_of(labels, "test")]
        truth, groups = test["label"].to_numpy(), test["group"].to_numpy()
        unshared = ~test["shared"].to_numpy()
        complete = len(np.unique(truth[unshared])) == len(labels.classes)
        how = {"metrics": ["mcc"], "seed": seed}
        for (predictor, use, strands), found in part.items():
            metrics = judge(truth, found, groups, resamples=resamples, seed=seed)
            row = {"task": task, "predictor": predictor, "use": use, "strands": strands, "runs": len(found)}
            for name, interval in metrics.items():
                row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            fewer = Interval(np.nan, np.nan, np.nan, 0)
            if complete:
                fewer = judge(truth[unshared], found[:, unshared], groups[unshared], resamples=resamples, **how)["mcc"]
            kind = outcomes[task, predictor].facts["kind"] if use != "floor" else ""
            row |= {"n": metrics["mcc"].n, "mcc_unshared": fewer.value}
            row |= {"paper": published(task, predictor, use, kind)}
            row |= {"mcc_sd": pd.Series([judge(truth, run, resamples=0, **how)["mcc"].value for run in found]).std()}
            rows.append(row | {"mcc_unshared_low": fewer.low, "mcc_unshared_high": fewer.high})
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


def best_first(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the highest MCC first; of those alike (0 where all is called one class) the highest AUROC."""
    return scores.sort_values(["mcc", "auroc"], ascending=False)


def on_its_strand(scores: pd.DataFrame) -> pd.DataFrame:
    """What is shown of the scores: those of the strand that a sequence is given on, which is all that floors read."""
    return scores[scores["strands"] == "one"]


def mcc_table(scores: pd.DataFrame) -> pd.DataFrame:
    """MCC as `across_tasks` has it, with the paper's figures below, to as many digits as it gives."""
    table = across_tasks(on_its_strand(scores), "mcc", "mcc_low", "mcc_high").reset_index()
    tasks = list(table.columns[2:])
    theirs = dict.fromkeys(name for figures in PUBLISHED_MCC.values() for name in figures)
    for name in theirs:
        row = {task: _theirs(task).get(name, np.nan) for task in tasks}
        if any(np.isfinite(value) for value in row.values()):
            said = {task: "" if np.isnan(value) else f"{value:.3g}" for task, value in row.items()}
            table.loc[len(table)] = {"predictor": name, "use": "in the paper", **said}
    return table


def across_tasks(table: pd.DataFrame, value: str, low: str = "low", high: str = "high") -> pd.DataFrame:
    """A column of a table with its interval, as text: a row a predictor and use, a column a label set."""
    parts = {task: part.set_index(["predictor", "use"]) for task, part in table.groupby("task", sort=False)}
    parts = {task: with_interval(part, value, low, high) for task, part in parts.items()}
    rows = list(dict.fromkeys(zip(table["predictor"], table["use"], strict=True)))
    index = pd.MultiIndex.from_tuples(rows, names=["predictor", "use"])
    return pd.DataFrame(parts, index=index).fillna("")


def with_interval(table: pd.DataFrame, value: str, low: str, high: str) -> pd.Series:
    """Values of a column and, in brackets, their interval, as text; empty where there is none."""
    found = zip(table[value], table[low], table[high], strict=True)
    text = ["" if np.isnan(row[0]) else f"{row[0]:.2f} [{row[1]:.2f}, {row[2]:.2f}]" for row in found]
    return pd.Series(text, table.index, dtype=object)


def for_figure(scores: pd.DataFrame) -> pd.DataFrame:
    """What the figures of scores take: MCC with its interval, negatives by kind."""
    table = on_its_strand(scores).drop(columns=["low", "high"], errors="ignore")
    table = table.rename(columns={"mcc_low": "low", "mcc_high": "high"})
    return table.assign(negatives=[task.partition(", ")[2] for task in table["task"]])


def against_negatives(scores: pd.DataFrame) -> pd.DataFrame:
    """What the figure of negatives takes: promoters, without the floors that know least."""
    chosen = scores["task"].str.startswith(PROMOTERS)
    return for_figure(scores[chosen & ~scores["predictor"].isin(["majority", "GC", "positional"])])


def reliability_table(
    label_sets: Mapping[str, LabelSet], outcomes: Mapping[tuple[str, str], Outcome], scores: pd.DataFrame
) -> pd.DataFrame:
    """How sure and how right predictors are, on all label sets of two classes together.

    Of each model its best use, no random start, and the floor that is best in the mean (`best_first`).

    Returns
    -------
    DataFrame: predictor, use, and as of `dnastudy.study.classification.calibration`; empty without such label sets.
    """
    found = by_task(outcomes)
    tasks = [task for task in found if len(label_sets[task].classes) == 2]
    truth = [label_sets[task].table["label"].to_numpy()[rows_of(label_sets[task], "test")] for task in tasks]
    scores = scores[scores["task"].isin(tasks) & (scores["use"] != RANDOM)]
    by_use = on_its_strand(scores).groupby(RUNS, sort=False)[["mcc", "auroc"]]
    means = best_first(by_use.mean()[by_use.size() == len(tasks)].reset_index())
    means["whose"] = means["predictor"].where(means["use"] != "floor", "floor")
    parts = []
    for row in means.drop_duplicates("whose").itertuples():
        probabilities = np.concatenate([found[task][row.predictor, row.use, row.strands] for task in tasks], axis=1)
        table = calibration(np.concatenate(truth), probabilities)
        parts.append(table.assign(predictor=row.predictor, use=row.use))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def zero_shot_table(
    label_sets: Mapping[str, LabelSet], outcomes: Mapping[tuple[str, str], Outcome], *, resamples: int, seed: int
) -> pd.DataFrame:
    """AUROC of zero-shot scores, each class against the first: task, predictor, use, against, auroc, low, high, n.

    Where a label set says what its rows are like (donors, acceptors), a class is compared with those like it alone.
    Beside them, of use "floor", are `ZERO_SHOT_FLOORS` on the same rows, of which one class's probability counts
    against the first's. They were shown labels; what lies below them can be had from so little.
    """
    asked = {task for (task, _), outcome in outcomes.items() if len(outcome.scores)}
    rows = []
    for (task, _), outcome in outcomes.items():
        labels = label_sets[task]
        test = labels.table.iloc[rows_of(labels, "test")].reset_index(drop=True)
        for predictor, use, scores in _scores_by_class(outcome, len(labels.classes)) if task in asked else ():
            for number, name in enumerate(labels.classes[1:], 1):
                pair = test["label"].isin([0, number])
                if "like" in test:
                    pair &= test["like"] == name
                rows.append((task, predictor, use, name, *_auroc(test[pair], scores[pair, number], resamples, seed)))
    return pd.DataFrame(rows, columns=["task", "predictor", "use", "against", "auroc", "low", "high", "n"])


def _scores_by_class(outcome: Outcome, classes: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """Predictor, use, and how much each test row looks like each class beside the first, float64 [n, classes]."""
    for (predictor, use), found in outcome.scores.groupby(["predictor", "use"], sort=False):
        yield predictor, use, np.tile(found.sort_values("example")[["score"]].to_numpy(np.float64), classes)
    for (name, use), found in outcome.predictions.groupby(["predictor", "use"], sort=False):
        if use == "floor" and name in ZERO_SHOT_FLOORS:
            chances = found.sort_values("example")[[f"p{number}" for number in range(classes)]].to_numpy(np.float64)
            both = chances + chances[:, :1]
            yield name, use, np.divide(chances, both, out=np.full_like(both, 0.5), where=both > 0)


def scan_track(
    label_sets: Mapping[str, LabelSet],
    outcomes: Mapping[tuple[str, str], Outcome],
    scores: pd.DataFrame,
    shown: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Held-out stretches of PromScan with a start in them, as the best model and floor (`best_first`) see them.

    A random start is neither.

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
    here = best_first(on_its_strand(scores[(scores["task"] == "PromScan") & (scores["use"] != RANDOM)]))
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
