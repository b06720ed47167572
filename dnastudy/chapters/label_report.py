"""Notebook 09's tables of outcomes: how well each predictor does, beside the floors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from dnastudy.chapters.label_inputs import auroc
from dnastudy.chapters.label_regulatory_sequence import Outcome
from dnastudy.study.metrics import calibration, judge, paired
from dnastudy.study.statistics import BETTER, UNDECIDED, WORSE, Interval, ratio_bootstrap, verdict, with_interval
from dnastudy.tasks.label_sets import LabelSet
from dnastudy.tasks.published import PUBLISHED_MCC

RUNS = ["predictor", "use", "strands"]
RANDOM = "random start"  # the use that is a floor: what a network learns without pre-training
ZERO_SHOT_FLOORS = ("GC", "positional", "CTCF motif")  # each of a single run
TUNED = "fine-tuned"
COLUMNS = ["task", "predictor", "use", "floor", "difference", "low", "high", "verdict"]
NONE = Interval(np.nan, np.nan, np.nan, 0)

LabelSets = Mapping[str, LabelSet]  # by task
Outcomes = Mapping[tuple[str, str], Outcome]  # by task and model
Runs = tuple[str, str, str]  # predictor, use and strands


def costs_table(outcomes: Outcomes) -> pd.DataFrame:
    """What each model had to read of each label set: parameters, sequences read in pieces, seconds in all."""
    rows = [{"task": task, "model": model, **outcome.facts} for (task, model), outcome in outcomes.items()]
    columns = ["task", "model", "kind", "parameters", "in_pieces", "longest", "seen", "seconds"]
    table = pd.DataFrame(rows, columns=columns).query("kind.notna()").reset_index(drop=True)
    # Missing where there is none: an n-gram has no parameters, and its context no end.
    return table.astype(dict.fromkeys(columns[3:-1], "Int64"))


def scores_table(label_sets: LabelSets, outcomes: Outcomes, *, resamples: int, seed: int) -> pd.DataFrame:
    """Every metric of every predictor on every label set, with intervals over blocks of the held-out contigs."""
    rows = []
    for task, runs in _by_task(outcomes).items():
        truth, groups, shared = (label_sets[task].test[name].to_numpy() for name in ("label", "group", "shared"))
        unshared = ~shared
        complete = len(np.unique(truth[unshared])) == len(label_sets[task].classes)
        how = {"metrics": ["mcc"], "seed": seed}
        for (predictor, use, strands), found in runs.items():
            row = {"task": task, "predictor": predictor, "use": use, "strands": strands, "runs": len(found)}
            metrics = judge(truth, found, groups, resamples=resamples, seed=seed)
            for name, its in metrics.items():
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), its[:3], strict=True))
            fewer = NONE
            if complete:
                fewer = judge(truth[unshared], found[:, unshared], groups[unshared], resamples=resamples, **how)["mcc"]
            kind = outcomes[task, predictor].facts["kind"] if use != "floor" else ""
            paper = published(label_sets[task], predictor, use, kind)
            row |= {"n": metrics["mcc"].n, "mcc_unshared": fewer.value, "paper": paper}
            row["mcc_sd"] = pd.Series([judge(truth, run, resamples=0, **how)["mcc"].value for run in found]).std()
            rows.append(row | {"mcc_unshared_low": fewer.low, "mcc_unshared_high": fewer.high})
    return pd.DataFrame(rows)


def published(labels: LabelSet, predictor: str, use: str, kind: str = "") -> float:
    """MCC that the paper gives for the like of a predictor on the like of a task, NaN where it has none."""
    name = {("bert", "fine-tuned"): "GROVER", ("", "floor"): predictor}.get((kind, use), "")
    return _theirs(labels).get(name, np.nan)


def _theirs(labels: LabelSet) -> dict[str, float]:
    """The paper's figures of a task by predictor; of the kinds of negatives it has shuffled tokens alone."""
    return PUBLISHED_MCC.get(labels.name, {}) if labels.negatives in ("", "tokens") else {}


def _by_task(outcomes: Outcomes) -> dict[str, dict[Runs, np.ndarray]]:
    """Probabilities, float32 [runs, n, classes], by task and by predictor, use and strands."""
    found: dict[str, dict[Runs, np.ndarray]] = {}
    for (task, _), outcome in outcomes.items():
        columns = [name for name in outcome.predictions if name[0] == "p" and name[1:].isdigit()]
        for key, table in outcome.predictions.groupby(RUNS, sort=False):
            runs = [run[columns].to_numpy() for _, run in table.sort_values(["seed", "example"]).groupby("seed")]
            found.setdefault(task, {})[key] = np.stack(runs)
    return found


def _best_first(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the highest MCC first; of those alike (0 where all is called one class) the highest AUROC."""
    return scores.sort_values(["mcc", "auroc"], ascending=False)


def on_its_strand(scores: pd.DataFrame) -> pd.DataFrame:
    """What is shown of the scores: those of the strand that a sequence is given on, which is all that floors read."""
    return scores[scores["strands"] == "one"]


def mcc_table(scores: pd.DataFrame, label_sets: LabelSets) -> pd.DataFrame:
    """MCC as `across_tasks` has it, with the paper's figures below, to as many digits as it gives."""
    table = across_tasks(on_its_strand(scores), "mcc", "mcc_low", "mcc_high").reset_index()
    theirs = pd.DataFrame({task: _theirs(label_sets[task]) for task in table.columns[2:]}, dtype=float)
    names = [
        name for name in dict.fromkeys(name for one in PUBLISHED_MCC.values() for name in one) if name in theirs.index
    ]
    theirs = theirs.loc[names].map(lambda value: "" if np.isnan(value) else f"{value:.3g}")
    theirs = theirs.rename_axis("predictor").reset_index().assign(use="in the paper")
    return pd.concat([table, theirs], ignore_index=True)


def across_tasks(table: pd.DataFrame, value: str, low: str = "low", high: str = "high") -> pd.DataFrame:
    """A column of a table with its interval, as text: a row a predictor and use, a column a label set."""
    rows = pd.MultiIndex.from_frame(table[["predictor", "use"]].drop_duplicates())
    table = table.assign(text=with_interval(table, value, low, high))
    wide = table.pivot(index=["predictor", "use"], columns="task", values="text")
    return wide.reindex(rows)[table["task"].unique()].rename_axis(columns=None).fillna("")


def for_figure(scores: pd.DataFrame, label_sets: LabelSets) -> pd.DataFrame:
    """What the figures of scores take: MCC with its interval, negatives by kind."""
    table = on_its_strand(scores).rename(columns={"mcc_low": "low", "mcc_high": "high"})
    return table.assign(negatives=[label_sets[task].negatives for task in table["task"]])


def against_negatives(scores: pd.DataFrame, label_sets: LabelSets) -> pd.DataFrame:
    """What the figure of negatives takes: promoters, without the floors that know least."""
    table = for_figure(scores, label_sets)
    return table[(table["negatives"] != "") & ~table["predictor"].isin(["majority", "GC", "positional"])]


def reliability_table(label_sets: LabelSets, outcomes: Outcomes, scores: pd.DataFrame) -> pd.DataFrame:
    """How sure and how right predictors are, on all label sets of two classes together."""
    found = _by_task(outcomes)
    tasks = [task for task in found if len(label_sets[task].classes) == 2]
    scores = scores[scores["task"].isin(tasks) & (scores["use"] != RANDOM)]
    by_use = on_its_strand(scores).groupby(RUNS, sort=False)[["mcc", "auroc"]]
    means = _best_first(by_use.mean()[by_use.size() == len(tasks)].reset_index())
    means["whose"] = means["predictor"].where(means["use"] != "floor", "floor")
    parts = []
    for predictor, use, strands in means.drop_duplicates("whose")[RUNS].itertuples(index=False):
        probabilities = np.concatenate([found[task][predictor, use, strands] for task in tasks], axis=1)
        table = calibration(np.concatenate([label_sets[task].test["label"] for task in tasks]), probabilities)
        parts.append(table.assign(predictor=predictor, use=use))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def zero_shot_table(label_sets: LabelSets, outcomes: Outcomes, *, resamples: int, seed: int) -> pd.DataFrame:
    """AUROC of zero-shot scores, each class against the first: task, predictor, use, against, auroc, low, high, n.

    Where a label set says what its rows are like (donors, acceptors), a class is compared with those like it alone;
    if there are none, its AUROC is NaN and n 0. `ZERO_SHOT_FLOORS`, which were shown labels, stand beside them.
    """
    asked = {task for (task, _), outcome in outcomes.items() if len(outcome.scores)}
    rows = []
    for (task, _), outcome in outcomes.items():
        labels, test = label_sets[task], label_sets[task].test
        for predictor, use, scores in _scores_by_class(outcome, len(labels.classes)) if task in asked else ():
            for number, name in enumerate(labels.classes[1:], 1):
                pair = test["label"].isin([0, number])
                if "like" in test:
                    pair &= test["like"] == name
                found = NONE
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
    label_sets: LabelSets, outcomes: Outcomes, scores: pd.DataFrame, shown: int
) -> tuple[pd.DataFrame, dict[tuple[str, str], np.ndarray]]:
    """Held-out stretches of PromScan with a start in them, and its probability by the best model and the best floor."""
    if "PromScan" not in label_sets:
        return pd.DataFrame(), {}
    test = label_sets["PromScan"].test.sort_values(["contig", "start"])
    apart = (test["contig"] != test["contig"].shift()) | (test["start"] > test["end"].shift())
    stretch = apart.cumsum()
    sizes = test[test.groupby(stretch)["label"].transform("max") > 0].groupby(stretch).size()
    chosen = test[stretch.isin(sizes.nlargest(shown).index)]
    ends = chosen.groupby(stretch).agg(contig=("contig", "first"), start=("start", "min"), end=("end", "max"))
    names = {row.Index: f"{row.contig}:{row.start + 1:,}-{row.end:,}" for row in ends.itertuples()}
    found = _by_task(outcomes)["PromScan"]
    here = _best_first(on_its_strand(scores[(scores["task"] == "PromScan") & (scores["use"] != RANDOM)]))
    best = here.groupby(here["use"] == "floor")[RUNS].first().itertuples(index=False, name=None)
    probabilities = {key[:2]: found[key][..., 1].mean(0)[chosen.index] for key in best}
    columns = ["contig", "start", "end", "strand", "label"]
    return chosen[columns].assign(region=stretch[chosen.index].map(names)), probabilities


def variants_table(scored: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """How often a known variant is likelier than its control, ties one half; and the mean ratio (nats) of either."""
    rows = []
    for name, part in scored.groupby("model", sort=False) if len(scored) else ():
        part = part[np.isfinite(part["llr"]) & np.isfinite(part["control"])]
        above = (part["llr"] > part["control"]) + 0.5 * (part["llr"] == part["control"])
        found = ratio_bootstrap(above, np.ones(len(above)), part["group"], resamples=resamples, seed=seed)
        rows.append((name, *found[:3], len(part), part["llr"].mean(), part["control"].mean()))
    return pd.DataFrame(rows, columns=["model", "above", "low", "high", "n", "variants", "controls"])


def _differences(
    pairs: Iterable[tuple], label_sets: LabelSets, resamples: int, seed: int, metric: str = "mcc"
) -> pd.DataFrame:
    """A metric of a predictor less that of a floor, of pairs: task, predictor, use, floor, and both's probabilities."""
    rows = []
    for task, predictor, use, floor, *both in pairs:
        test = label_sets[task].test
        how = {"metric": metric, "resamples": resamples, "seed": seed}
        found = paired(test["label"].to_numpy(), *both, test["group"].to_numpy(), **how)
        rows.append((task, predictor, use, floor, *found[:3], verdict(found)))
    return pd.DataFrame(rows, columns=COLUMNS)


def floors_table(
    scores: pd.DataFrame, label_sets: LabelSets, outcomes: Outcomes, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Each model and use beside the best floor of its task (`_best_first`): MCC less that of the floor, paired.

    A random start, a floor of its own network alone (`pretraining_table`), is never the best floor, but has a row.
    """
    pairs = []
    for task, runs in _by_task(outcomes).items():
        here = _best_first(on_its_strand(scores[scores["task"] == task]))
        floor = here[here["use"] == "floor"].iloc[0]["predictor"]
        for key in here.loc[here["use"] != "floor", RUNS].itertuples(index=False, name=None):
            pairs.append((task, *key[:2], floor, runs[key], runs[floor, "floor", "one"]))
    return _differences(pairs, label_sets, resamples, seed)


def pretraining_table(label_sets: LabelSets, outcomes: Outcomes, *, resamples: int, seed: int) -> pd.DataFrame:
    """What pre-training brought: AUROC of each fine-tuned network less that from random weights, paired.

    AUROC and not MCC, since many a random start calls all sequences one class. How random starts differ among
    themselves isn't in the interval: there is one, of the first seed.
    """
    pairs = [
        (task, name, TUNED, RANDOM, runs[name, TUNED, "one"], start)
        for task, runs in _by_task(outcomes).items()
        for (name, use, strands), start in runs.items()
        if (use, strands) == (RANDOM, "one")
    ]
    return _differences(pairs, label_sets, resamples, seed, "auroc")


def strands_table(
    scores: pd.DataFrame, label_sets: LabelSets, outcomes: Outcomes, *, resamples: int, seed: int
) -> pd.DataFrame:
    """What averaging both strands brings each model and use: MCC with one, with both, and their paired difference."""
    pairs = [
        (task, name, use, "", both, runs[name, use, "one"])
        for task, runs in _by_task(outcomes).items()
        for (name, use, strands), both in runs.items()
        if strands == "both"
    ]
    keys = ["task", "predictor", "use"]
    mcc = scores.pivot(index=keys, columns="strands", values="mcc").reindex(columns=["one", "both"])
    table = _differences(pairs, label_sets, resamples, seed).join(mcc, on=keys)
    return table[[*keys, "one", "both", "difference", "low", "high"]]


def findings(floors: pd.DataFrame, scores: pd.DataFrame, pretraining: pd.DataFrame) -> str:
    """In words, by label set: the best floor (`_best_first`), and which models beat it, don't, or are beaten by it."""
    lines = []
    for task, part in floors.groupby("task", sort=False):
        here = _best_first(scores[(scores["task"] == task) & (scores["use"] == "floor")])
        floor, alike = here.iloc[0], int((here["mcc"] == here["mcc"].iloc[0]).sum())
        tie = f" ({alike} floors have it; of these the highest AUROC, {floor['auroc']:.2f})" if alike > 1 else ""
        lines.append(f"{task}: the best floor is {floor['predictor']} with an MCC of {floor['mcc']:.2f}{tie}")
        models, starts = part[part["use"] != RANDOM], part[part["use"] == RANDOM]
        for name, said in (("better", BETTER), ("undecided", UNDECIDED), ("worse", WORSE)):
            lines.append(f"  {name}: {_names(models[models['verdict'] == said])}")
        if len(starts):
            everything = _best_first(on_its_strand(scores[scores["task"] == task]))
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
