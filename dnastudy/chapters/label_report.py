"""Notebook 09's tables of outcomes: how well each predictor does, beside the floors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from dnastudy.chapters.label_cards import PROMOTERS, auroc
from dnastudy.chapters.label_regulatory_sequence import Outcome, rows_of
from dnastudy.study.metrics import calibration, judge, paired
from dnastudy.study.statistics import BETTER, UNDECIDED, WORSE, Interval, ratio_bootstrap, verdict, with_interval
from dnastudy.tasks.label_sets import LabelSet
from dnastudy.tasks.published import PUBLISHED_MCC

RUNS = ["predictor", "use", "strands"]
RANDOM = "random start"  # the use that is a floor: what a network learns without pre-training
ZERO_SHOT_FLOORS = ("GC", "positional", "CTCF motif")  # each of a single run
TUNED = "fine-tuned"
COLUMNS = ["task", "predictor", "use", "floor", "difference", "low", "high", "verdict"]


def costs_table(outcomes: Mapping[tuple[str, str], Outcome]) -> pd.DataFrame:
    """What each model had to read of each label set: parameters, sequences read in pieces, seconds in all."""
    rows = [{"task": task, "model": model, **outcome.facts} for (task, model), outcome in outcomes.items()]
    columns = ["task", "model", "kind", "parameters", "in_pieces", "longest", "seen", "seconds"]
    table = pd.DataFrame(rows, columns=columns).query("kind.notna()").reset_index(drop=True)
    # Missing where there is none: an n-gram has no parameters, and its context no end.
    return table.astype(dict.fromkeys(columns[3:-1], "Int64"))


def scores_table(
    label_sets: Mapping[str, LabelSet], outcomes: Mapping[tuple[str, str], Outcome], *, resamples: int, seed: int
) -> pd.DataFrame:
    """Every metric of every predictor on every label set, with intervals over blocks of the held-out contigs."""
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
            for name, its in metrics.items():
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), its[:3], strict=True))
            fewer = Interval(np.nan, np.nan, np.nan, 0)
            if complete:
                fewer = judge(truth[unshared], found[:, unshared], groups[unshared], resamples=resamples, **how)["mcc"]
            kind = outcomes[task, predictor].facts["kind"] if use != "floor" else ""
            row |= {"n": metrics["mcc"].n, "mcc_unshared": fewer.value, "paper": published(task, predictor, use, kind)}
            row |= {"mcc_sd": pd.Series([judge(truth, run, resamples=0, **how)["mcc"].value for run in found]).std()}
            rows.append(row | {"mcc_unshared_low": fewer.low, "mcc_unshared_high": fewer.high})
    return pd.DataFrame(rows)


def published(task: str, predictor: str, use: str, kind: str = "") -> float:
    """MCC that the paper gives for the like of a predictor on the like of a task, NaN where it has none."""
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
    """How sure and how right predictors are, on all label sets of two classes together."""
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

    Where a label set says what its rows are like (donors, acceptors), a class is compared with those like it alone;
    if there are none, its AUROC is NaN and n 0.
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
                found = Interval(np.nan, np.nan, np.nan, 0)
                if test.loc[pair, "label"].nunique() == 2:  # all that look like donors may be donors
                    found = auroc(test[pair], scores[pair, number], resamples, seed)
                rows.append((task, predictor, use, name, *found))
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
    """Held-out stretches of PromScan with a start in them, as the best model and floor (`best_first`) see them."""
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
    """What averaging both strands brings each model and use: MCC with one, with both, and their paired difference."""
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


def findings(floors: pd.DataFrame, scores: pd.DataFrame, pretraining: pd.DataFrame) -> str:
    """In words, by label set: the best floor (`best_first`), and which models beat it, don't, or are beaten by it."""
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
