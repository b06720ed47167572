"""Notebook 09's tables: what label sets hold, and how well each predictor does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dnastudy.chapters.label_regulatory_sequence import Outcome, card, rows_of, single_statistics
from dnastudy.study.figures import FLOOR, PROTOCOLS, colour, grid_of_panels
from dnastudy.study.metrics import calibration, judge, paired
from dnastudy.study.statistics import BETTER, UNDECIDED, WORSE, Interval, ratio_bootstrap, verdict, with_interval
from dnastudy.tasks.label_sets import LabelSet
from dnastudy.tasks.published import PUBLISHED_MCC
from dnastudy.tokens import Tokenizer

RUNS = ["predictor", "use", "strands"]
PROMOTERS = "Prom300, "  # and the kind of negatives
RANDOM = "random start"  # the use that is a floor: what a network learns without pre-training
ZERO_SHOT_FLOORS = ("GC", "positional", "CTCF motif")  # each of a single run
TUNED = "fine-tuned"
COLUMNS = ["task", "predictor", "use", "floor", "difference", "low", "high", "verdict"]


def cards(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """The card of every label set: task, what, value."""
    return pd.concat([card(labels).assign(task=name) for name, labels in label_sets.items()], ignore_index=True)[
        ["task", "what", "value"]
    ]


def given_away(label_sets: Mapping[str, LabelSet], tokenizer: Tokenizer, *, resamples: int, seed: int) -> pd.DataFrame:
    """AUROC of single statistics between held-out promoters and each kind of negatives, the most telling ones first."""
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


def scores_figure(table: pd.DataFrame) -> Axes:
    """MCC with 95% intervals, a panel a label set, a row a predictor and a mark a use; floors are grey.

    More than three panels stand in two rows, so that a page's column shows them large enough to read.
    A black tick is the paper's figure. Columns: task, predictor, use ("floor", "fine-tuned", "probe", "random start"
    ...), mcc, low, high, paper (NaN where there is none; mcc of what the paper alone has).
    """
    tasks, names = (list(dict.fromkeys(table[column])) for column in ("task", "predictor"))
    looks = _looks(table)
    columns = len(tasks) if len(tasks) < 4 else (len(tasks) + 1) // 2
    panels = grid_of_panels(len(tasks), columns, (max(2.1, 6.3 / columns), 0.7 + 0.3 * len(names)))
    figure = panels[0].figure
    rows = {name: len(names) - 1 - number for number, name in enumerate(names)}
    for axes, task in zip(panels, tasks, strict=True):
        for row in table[table["task"] == task].itertuples():
            marker, shift = looks[row.use]
            y, shade = rows[row.predictor] - shift, _shade(row.predictor, row.use)
            axes.plot([row.low, row.high], [y, y], color=shade, lw=1.5)
            axes.plot(row.mcc, y, marker, color=shade, ms=5, mfc="white" if row.use.startswith("random") else shade)
            axes.plot(row.paper, rows[row.predictor], "|", color="black", ms=14, mew=1.8)
        axes.axvline(0, color=FLOOR, ls=":", lw=1)
        axes.set(title=task.replace(", ", "\n"), xlim=(min(-0.1, table["low"].min() - 0.02), 1.02))
        axes.grid(axis="y", lw=0.3)
    panels[0].set_yticks(list(rows.values()), list(rows), va="center")
    figure.supxlabel("MCC on held-out sequences (0: chance, 1: all right)", size="medium")
    for use, (marker, _) in looks.items():
        fill = {"mfc": "white"} if use.startswith("random") else {}
        panels[0].plot([], [], marker, color=colour("held out") if use != "floor" else FLOOR, ms=5, label=use, **fill)
    if table["paper"].notna().any():
        panels[0].plot([], [], "|", color="black", ms=12, mew=1.8, label="in the paper")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return panels[0]


def given_away_figure(table: pd.DataFrame, kinds: Sequence[str]) -> Axes:
    """AUROC of single statistics between promoters and negatives, a row a statistic and a mark a kind of negatives.

    Columns: statistic, learnt (from the training split), and of each kind its AUROC, and ``_low`` and ``_high``.
    """
    axes = plt.subplots(figsize=(7.2, 0.8 + 0.42 * len(table)), layout="constrained")[1]
    rows = np.arange(len(table))
    for number, (kind, shade) in enumerate(zip(kinds, PROTOCOLS, strict=False)):
        ends = [table[kind] - table[f"{kind}_low"], table[f"{kind}_high"] - table[kind]]
        y = rows + 0.18 * (number - (len(kinds) - 1) / 2)
        axes.errorbar(table[kind], y, xerr=ends, fmt="osD"[number], color=shade, ms=4.5, lw=1.2, label=kind)
    axes.axvline(0.5, color=FLOOR, ls=":", lw=1)
    names = [f"{row.statistic} (learnt)" if row.learnt else row.statistic for row in table.itertuples()]
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set(xlabel="AUROC of held-out promoters against negatives", xlim=(0, 1))
    axes.figure.legend(title="negatives", loc="outside right center")
    return axes


def negatives_figure(table: pd.DataFrame) -> Axes:
    """MCC of each predictor against each kind of negatives, a line a predictor and use; floors are grey.

    Where lines fall from the first kind to the last, what was told apart there was how the negatives were made. Black
    ticks are the paper's figures. Columns: negatives, predictor, use, mcc, low, high, paper (NaN where there is none).
    """
    axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")[1]
    kinds = list(dict.fromkeys(table["negatives"]))
    parts = list(table.groupby(["predictor", "use"], sort=False))
    looks, marks = _looks(table), _floor_marks(table)
    for number, ((name, use), part) in enumerate(parts):
        part = part.set_index("negatives").reindex(kinds)
        x = np.arange(len(kinds)) + 0.035 * (number - (len(parts) - 1) / 2)
        shade, marker = _shade(name, use), marks[name] if use == "floor" else looks[use][0]
        look = {"color": shade, "lw": 1, "ms": 5, "mfc": "white" if use.startswith("random") else shade}
        ends = [part["mcc"] - part["low"], part["high"] - part["mcc"]]
        line = "--" if use == "floor" else "-"
        axes.errorbar(x, part["mcc"], ends, fmt=f"{marker}{line}", label=_label(name, use), **look)
        axes.plot(x, part["paper"], "_", color="black", ms=14, mew=1.8)
    axes.axhline(0, color=FLOOR, ls=":", lw=1)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(xlabel="negatives", ylabel="MCC on held-out promoters", ylim=(None, 1.05))
    if table["paper"].notna().any():
        axes.plot([], [], "_", color="black", ms=12, mew=1.8, label="in the paper")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return axes


def track_figure(windows: pd.DataFrame, probabilities: Mapping[str, ArrayLike], starts: pd.DataFrame) -> Axes:
    """Probability that a window holds a transcription start, along a panel a region and a line a model.

    Starts are marked with an arrow in their direction; the first of a gene has its symbol, where there is room for it.
    """
    regions = list(windows.groupby("region", sort=False))
    size = (7.2, 0.9 + 1.7 * len(regions))
    figure, panels = plt.subplots(len(regions), figsize=size, sharey=True, squeeze=False, layout="constrained")
    numbers = pd.Series(np.arange(len(windows)), windows.index)
    for axes, (region, part) in zip(panels[:, 0], regions, strict=True):
        for name, values in probabilities.items():
            chosen = np.asarray(values)[numbers[part.index]]
            predictor, _, use = name.partition(", ")
            look = {"color": _shade(predictor, use or "floor"), "lw": 1.2, "ms": 4}
            axes.plot((part["start"] + part["end"]) / 2e3, chosen, ".-", label=name, **look)
        inside = starts[
            (starts["contig"] == part["contig"].iloc[0])
            & starts["position"].between(part["start"].min(), part["end"].max(), inclusive="left")
        ]
        low, high = part["start"].min() / 1e3, part["end"].max() / 1e3
        named, taken = set(), -np.inf
        for start in inside.sort_values("position").itertuples():
            place, ahead = start.position / 1e3, (high - low) * (0.04 if start.strand == "+" else -0.04)
            axes.axvline(place, color=FLOOR, lw=1, ls=":")
            look = {"arrowstyle": "->", "color": colour("held out")}
            axes.annotate("", (place + ahead, 1.08), (place, 1.08), annotation_clip=False, arrowprops=look)
            if start.symbol not in named and place - taken > 0.1 * (high - low):
                axes.annotate(start.symbol, (place, 1.12), ha="center", va="bottom", size=8, annotation_clip=False)
                named.add(start.symbol)
                taken = place
        axes.set(xlim=(low, high), ylim=(0, 1.05))
        axes.set_title(region, loc="left", size="small", pad=16)
        axes.ticklabel_format(useOffset=False)
    panels[-1, 0].set_xlabel("position on the contig (kb)")
    figure.supylabel("probability of a transcription start", size="medium")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(probabilities))
    return panels[0, 0]


def calibration_figure(table: pd.DataFrame) -> Axes:
    """How often a prediction is right, by how sure it is, a line a predictor; on the diagonal the two are the same.

    Marks are larger the more predictions they stand for. Columns: predictor, use, confidence, accuracy, share (as of
    `dnastudy.study.metrics.calibration`).
    """
    axes = plt.subplots(figsize=(5.4, 3.8), layout="constrained")[1]
    looks, marks = _looks(table), _floor_marks(table)
    low = min(0.5, table["confidence"].min(), table["accuracy"].min())
    axes.plot([low, 1], [low, 1], color=FLOOR, ls=":", lw=1)
    for (name, use), part in table.groupby(["predictor", "use"], sort=False):
        line, marker = ("--", marks[name]) if use == "floor" else ("-", looks[use][0])
        look = {"color": _shade(name, use), "marker": marker}
        axes.plot(part["confidence"], part["accuracy"], line, lw=1.2, ms=3, label=_label(name, use), **look)
        axes.scatter(part["confidence"], part["accuracy"], s=8 + 160 * part["share"], alpha=0.8, lw=0, **look)
    axes.set(xlabel="probability of the likeliest class", ylabel="share that is right")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return axes


def _looks(table: pd.DataFrame) -> dict[str, tuple[str, float]]:
    """Marker of each use, and how far below the middle of its row it stands."""
    uses = list(dict.fromkeys(table["use"]))
    others = [use for use in uses if use != "floor"]
    places = np.linspace(-0.27, 0.27, len(others)) if len(others) > 1 else [0.0]
    return dict.fromkeys(uses, ("o", 0.0)) | dict(zip(others, zip("osD^v<>", places, strict=False), strict=False))


def _floor_marks(table: pd.DataFrame) -> dict[str, str]:
    """Markers of the floors, which share a colour and so have one each."""
    floors = dict.fromkeys(table.loc[table["use"] == "floor", "predictor"])
    return dict(zip(floors, itertools.cycle("o^v<>pPX*d"), strict=False))


def _shade(name: str, use: str) -> str:
    return FLOOR if use == "floor" else colour(name)


def _label(name: str, use: str) -> str:
    return name if use == "floor" else f"{name}, {use}"
