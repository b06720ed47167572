"""Notebook 03's inputs and tables: which vocabularies are compared, by what plan, and what came of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dnastudy.chapters.select_tokenizer import Material, Outcome, Plan, evaluate_vocabularies, gather, slug
from dnastudy.files import InputError, nearest, sha256
from dnastudy.genes.contigs import Contigs
from dnastudy.study.figures import FLOOR, PROTOCOLS, colour
from dnastudy.study.statistics import mean_bootstrap, paired_difference, ratio_bootstrap, weighted_sums
from dnastudy.tokens import KmerTokenizer, Tokenizer, train_bpe

KINDS = ("lstm", "gru", "bert")
MEASURES = {"exact": "exact", "upper bound": "bits"}
# How a k-mer was predicted: protocol and start, and what that is called in a figure.
WAYS = {
    ("mended", "pre-trained"): "fine-tuned, mended",
    ("mended", "read off"): "read off the causal model",
    ("published", "pre-trained"): "fine-tuned, as published",
    ("mended", "random start"): "never pre-trained, mended",
}
RULE = """For each k, a vocabulary's accuracy on held-out contigs (mean over seeds) is divided by the mean
over the byte-pair vocabularies; the mean of these ratios over k is its score. Of the byte-pair
vocabularies whose score is within one standard error of the best one's, the one with the fewest
merges is chosen."""
_LINES = ("o-", "s--", "^:", "D-.")


def read_plan(run) -> Plan:
    """What the parameters of 03_select_tokenizer ask for."""
    sizes, seeds = tuple(sorted(set(run.listed("k", int)))), tuple(run.listed("seeds", int))
    if not sizes or not set(sizes) <= set(range(1, 7)):
        raise InputError(f"k={run.k!r}: expected one or more of 1 to 6, between commas")
    if not seeds:
        raise InputError("seeds is empty: give one or more numbers, between commas")
    fine = {"batch": run.fine_batch, "learning_rate": run.fine_rate, "precision": run.precision}
    fine["head_rate"] = run.fine_head_rate
    training = "batch masked learning_rate warmup weight_decay precision seed".split()
    same = "bases window context margin examples published read_off fine_dropout block".split()
    given = {name: run.parameters[name] for name in same} | {"sizes": sizes, "seeds": seeds, "fine_tuning": fine}
    return Plan(model=_network(run, run.model), training={name: run.parameters[name] for name in training}, **given)


def bert_plan(run, plan: Plan) -> Plan:
    """The same for a BERT, with a budget of its own: one seed, mended."""
    own = {"model": _network(run, "bert"), "training": plan.training | {"learning_rate": run.bert_rate}}
    return dataclasses.replace(plan, **own, bases=run.bert_bases, seeds=plan.seeds[:1], published=0)


def _network(run, kind: str) -> dict:
    """Hyper-parameters of a kind of model."""
    if kind not in KINDS:
        raise InputError(f"model={kind!r}: no kind of model that this chapter knows; {nearest(kind, KINDS)}")
    names = {"bert": ("heads",)}.get(kind, ("embedding",))
    model = {"kind": kind} | {name: run.parameters[name] for name in ("layers", "width", "dropout", *names)}
    return model | ({"context": max(run.window, run.context) + 2} if kind == "bert" else {})


def gather_material(run, contigs: dict[str, Contigs], plan: Plan) -> Material:
    """Places and windows of a run (see `select_tokenizer.gather`); notes say where there are fewer."""
    asked = {"test_examples": run.test_examples, "windows": run.windows}
    material = gather(contigs["train"].codes, contigs["test"].codes, plan, length=run.length, seed=run.seed, **asked)
    for name, found in (("test_examples", len(material.test)), ("windows", len(material.windows))):
        if found < asked[name]:
            run.note(f"asked for {asked[name]:,} {name}; {found:,} fit side by side into the held-out contigs")
    if len(material.learn) < plan.examples:
        run.note(f"asked for {plan.examples:,} examples; {len(material.learn):,} fit side by side into the contigs")
    return material


def read_vocabularies(run, train: Contigs) -> dict[str, Path]:
    """Tokenizer files by name: the user's byte pairs, or some learnt from the training contigs, and k-mers."""
    made: list[Tokenizer] = [KmerTokenizer(k) for k in run.listed("kmers", int)]
    if run.tokenizers:
        made += [Tokenizer.load(path) for path in run.listed("tokenizers", Path)]
    elif sizes := run.listed("merges", int):
        longest = train_bpe(train.codes, max(sizes)).merges
        if len(longest) < max(sizes):
            raise InputError(
                f"merges={run.merges!r}: no pair is left after {len(longest):,}; ask for fewer, or give more sequence"
            )
        made += [Tokenizer(longest[:size]) for size in sizes]
    found = {}
    for tokenizer in made:
        name = f"BPE {len(tokenizer.merges)}" if tokenizer.merges else f"{getattr(tokenizer, 'k', 1)}-mer"
        if name in found:
            raise InputError(f"two vocabularies are {name}; give one of so many merges, or bases, alone")
        found[name] = run.out / f"{slug(name)}.tokenizer.json"
        tokenizer.save(found[name])
    if not any(tokenizer.merges for tokenizer in made):
        raise InputError("no byte-pair vocabulary to choose from: give tokenizers, or numbers of merges")
    if run.bert and run.rival not in found:
        raise InputError(f"rival={run.rival!r}: no vocabulary of this run; {nearest(run.rival, found)}")
    run.data["tokenizers"] = {name: sha256(path) for name, path in found.items()}
    return found


def read_pretrained(run, candidates: dict[str, Path]) -> dict[str, str]:
    """Folders and ``hf:`` names of models to be fine-tuned as they are, by the last part of their names."""
    found = {name: str(folder) for name, folder in run.folders("pretrained").items()}
    if taken := found.keys() & candidates.keys():
        raise InputError(f"pretrained={run.pretrained!r}: {min(taken)} is a vocabulary's name too; rename the folder")
    return found


def windows_table(material: Material, seen: np.ndarray, repeats: np.ndarray | None) -> pd.DataFrame:
    """What the task is made of: what, value, unit. ``seen``: share of each held-out window that training holds."""
    rows = [
        ("to learn from, at most", len(material.learn), "windows"),
        ("held out", len(material.test), "windows"),
        ("published protocol", len(material.published), "windows"),
        ("held-out bases in 31-mers of the training contigs", seen.mean(), "share"),
        ("held-out windows wholly in such", (seen == 1).mean(), "share"),
    ]
    if repeats is not None:
        rows.append(("k-mers to predict that begin in a repeat", repeats[material.test].mean(), "share"))
    return pd.DataFrame(rows, columns=["what", "value", "unit"])


def vocabulary_table(outcomes: dict[str, Outcome]) -> pd.DataFrame:
    """A row a vocabulary: name, merges, and what is known of it and of its model."""
    return pd.DataFrame([{"vocabulary": name} | o.facts | {"merges": o.merges} for name, o in outcomes.items()])


def bits_table(outcomes: dict[str, Outcome], *, resamples: int, seed: int) -> pd.DataFrame:
    """Bits per base of each vocabulary under its causal model, with intervals over blocks of the held-out contigs."""
    rows = []
    for name, outcome in outcomes.items():
        for measure, column in MEASURES.items() if len(outcome.bits) else ():
            scored = outcome.bits
            found = ratio_bootstrap(scored[column], scored["bases"], scored["block"], resamples=resamples, seed=seed)
            row = {"vocabulary": name, "merges": outcome.merges, "measure": measure}
            rows.append(row | {"bits": found.value, "low": found.low, "high": found.high, "n": found.n})
    return pd.DataFrame(rows)


def join_predictions(outcomes: dict[str, Outcome]) -> pd.DataFrame:
    """The predictions of all vocabularies in one table, with ``vocabulary`` and ``merges``."""
    parts = [o.predictions.assign(vocabulary=name, merges=o.merges) for name, o in outcomes.items()]
    return pd.concat(parts, ignore_index=True)


def accuracy_table(predictions: pd.DataFrame, by: list[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """Accuracy with an interval, and bits, for each group of predictions; seeds are averaged example by example."""
    rows = []
    for key, part in predictions.groupby(by, sort=False, dropna=False):
        each = part.groupby("example").agg({"right": "mean", "bits": "mean", "block": "first"})
        found = mean_bootstrap(each["right"], each["block"], resamples=resamples, seed=seed)
        rows.append((*key, *found[:3], each["bits"].mean(), len(part) // len(each), len(each)))
    return pd.DataFrame(rows, columns=[*by, "accuracy", "low", "high", "bits", "runs", "n"])


def by_k(accuracy: pd.DataFrame, way: tuple[str, str] = ("mended", "pre-trained")) -> pd.DataFrame:
    """Vocabularies by k: accuracies of one protocol and start in percent with their intervals, as text."""
    chosen = accuracy[(accuracy["protocol"] == way[0]) & (accuracy["start"] == way[1])]
    percent = 100 * chosen[["accuracy", "low", "high"]]
    told = [f"{value:.1f} ({low:.1f} to {high:.1f})" for value, low, high in percent.itertuples(index=False)]
    wide = chosen.assign(told=told).pivot(index="vocabulary", columns="k", values="told")
    return wide.loc[chosen["vocabulary"].unique()]


def by_way(accuracy: pd.DataFrame) -> pd.DataFrame:
    """A table of accuracies in the order of `WAYS`, with their names as ``protocol``, for a figure."""
    ways = pd.Series(list(zip(accuracy["protocol"], accuracy["start"], strict=True)), index=accuracy.index)
    named = accuracy.assign(protocol=pd.Categorical(ways.map(WAYS), WAYS.values(), ordered=True))
    return named.sort_values("protocol", kind="stable").astype({"protocol": str})


def floor_differences(
    predictions: pd.DataFrame, floors: pd.DataFrame, chosen: str, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Accuracy of a vocabulary's fine-tuned model (mended) minus each floor's, on the same windows, paired by block."""
    mine = predictions.query("vocabulary == @chosen and protocol == 'mended' and start == 'pre-trained'")
    mine = mine.groupby(["k", "example"])["right"].mean()
    rows = []
    for (floor, k), part in floors.groupby(["floor", "k"], sort=False):
        ours = mine[k].loc[part["example"]]
        found = paired_difference(ours, part["right"], groups=part["block"], resamples=resamples, seed=seed)
        rows.append({"floor": floor, "k": k, "difference": found.value, "low": found.low, "high": found.high})
    return pd.DataFrame(rows)


def shortages(table: pd.DataFrame) -> list[str]:
    """Which vocabularies were fine-tuned on fewer windows than the same operations pay for, in words."""
    told = "{vocabulary}: fine-tuned on {examples:,} windows, all there are; equal operations pay for "
    told += "{examples_paid_for:,}"
    short = table[table["examples"] < table["examples_paid_for"]]
    return [told.format(**row) for row in short.to_dict("records")]


def findings(
    ranking: pd.DataFrame, differences: pd.DataFrame, predictions: pd.DataFrame, paper: int = 600
) -> list[str]:
    """What the tables say, in words: paper's choice, edges, rivals ahead, floors not beaten, worth of pre-training."""
    byname = ranking.set_index("vocabulary")
    chosen = byname.index[byname["chosen"]][0]
    lines = []
    for within in byname.loc[byname["merges"] == paper, "within"]:
        stands = "stands: it is" if within else "doesn't stand: it isn't"
        lines.append(
            f"at this budget the paper's choice of {paper} merges {stands} within one standard error of the best"
        )
    merges = byname["merges"].dropna()
    for extreme, edge, beyond in (("smallest", merges.min(), "smaller"), ("largest", merges.max(), "larger")):
        if len(merges) > 1 and merges[chosen] == edge:
            lines.append(f"{chosen} is the {extreme} compared; {beyond} ones weren't tried")
    rivals = byname[byname["merges"].isna() & (byname["score"] > byname.loc[chosen, "score"])]
    if len(rivals):
        scores = ", ".join(f"{name} ({row.score:.2f})" for name, row in rivals.iterrows())
        lines.append(f"ahead of {chosen} ({byname.loc[chosen, 'score']:.2f}) by the same score: {scores}")
    for k, part in differences[~(differences["low"] > 0)].groupby("k"):
        lines.append(f"k = {k}: {chosen} is not shown to beat {', '.join(part['floor'])}")
    ours = predictions.query("vocabulary == @chosen and protocol == 'mended'")
    ours = ours.pivot_table(index=["k", "example"], columns="start", values="right").dropna()
    for k, part in ours.groupby("k"):
        told = ", ".join(f"{start} {part[start].mean():.1%}" for start in part)
        lines.append(f"k = {k}, {chosen}, on the same {len(part):,} windows: {told}")
    return lines


def evaluate_berts(run, candidates: dict[str, Path], chosen: str, material: Material, plan: Plan, how: dict) -> dict:
    """Outcomes of a BERT on the chosen vocabulary and on its rival; none where they aren't wanted."""
    if not run.bert:
        return {}
    two = {name: candidates[name] for name in dict.fromkeys((chosen, run.rival))}
    return evaluate_vocabularies(two, material, bert_plan(run, plan), **how | {"out": how["out"] / "bert"})


def choose(outcomes: pd.DataFrame, *, resamples: int, seed: int) -> tuple[pd.DataFrame, str]:
    """Choose among byte-pair vocabularies by `RULE`, that of Breiman et al. 1984 (CART, ch. 3.4.3).

    The standard error is that of the difference from the best score, by a bootstrap over blocks that draws the same
    ones for all. A k of which no byte-pair vocabulary gets any right tells none from another: its ratios are 1.
    """
    merges = outcomes.groupby("vocabulary", sort=False)["merges"].first()
    candidates = merges.notna().to_numpy()
    if not candidates.any():
        raise InputError(f"{', '.join(merges.index)}: none has merges; expected a byte-pair vocabulary to choose")
    cells = outcomes.groupby(["vocabulary", "k", "block"])["right"].agg(["sum", "size"]).unstack("block")
    cells = cells.reindex(pd.MultiIndex.from_product([merges.index, cells.index.unique("k")]))
    if (missing := cells.isna().any(axis=1)).any():
        name, k = missing.idxmax()
        raise InputError(f"{name}: no {k}-mers predicted in some block; expected the same examples of all vocabularies")
    sums = np.concatenate([cells["sum"], cells["size"]])
    score = _scores(sums.sum(axis=1, keepdims=True), candidates)[:, 0]
    drawn = np.full((len(merges), 2), np.nan)
    if sums.shape[1] > 1:
        drawn = _scores(weighted_sums(sums, resamples, seed), candidates)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    best = np.where(candidates, score, -np.inf).argmax()
    difference, error = score - score[best], (drawn - drawn[best]).std(axis=1, ddof=1)
    within = difference >= -np.nan_to_num(error)
    chosen = np.where(candidates & within, merges, np.inf).argmin()
    found = {"score": score, "low": low, "high": high, "difference": difference, "error": error, "within": within}
    return merges.reset_index().assign(**found, chosen=np.arange(len(merges)) == chosen), merges.index[chosen]


def _scores(sums: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Scores from sums of right answers, then of questions, by vocabulary and k."""
    right, asked = sums.reshape(2, len(candidates), -1, sums.shape[1])
    accuracy = right / asked
    mean = np.broadcast_to(accuracy[candidates].mean(axis=0), accuracy.shape)
    return np.divide(accuracy, mean, out=np.ones_like(accuracy), where=mean > 0).mean(axis=1)


def draw_accuracy(table: pd.DataFrame, floors: pd.DataFrame, *, chosen: str = "") -> Axes:
    """A table of `by_way` and `accuracy_table`'s floors by merges, a panel a k and a line a protocol; rivals left."""
    sizes = sorted(set(table["k"]))
    rows, columns = -(-len(sizes) // 3), min(3, len(sizes))
    size = (1 + 3 * columns, 0.8 + 2.6 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    at = _places(table)
    percent = table.assign(**{name: 100 * table[name] for name in ("accuracy", "low", "high")})
    for number, (axes, k) in enumerate(zip(grid.flat, sizes, strict=False)):
        _draw_lines(axes, percent[percent["k"] == k], "protocol", "accuracy", at, chosen)
        _name_floors(axes, 100 * floors[floors["k"] == k].set_index("floor")["accuracy"], size=8)
        _name_places(axes, at, rotation=90)
        if number + columns < len(sizes):
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
        axes.set_title(f"k = {k}")
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    for axes in (spare := grid.flat[len(sizes) :]):
        axes.set_axis_off()
    if len(spare):
        spare[0].legend(handles, labels, loc="center")
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return grid.flat[0]


def draw_bits(table: pd.DataFrame, floors: Mapping[str, float], *, chosen: str = "") -> Axes:
    """A table of `bits_table` by merges, a line a measure, rivals on the left; floors, by name, are grey."""
    axes = plt.subplots(layout="constrained")[1]
    at = _places(table)
    _draw_lines(axes, table, "measure", "bits", at, chosen)
    _name_floors(axes, floors)
    _name_places(axes, at)
    axes.set_ylabel("bits per base, held out\n(lower is better)")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return axes


def draw_score(table: pd.DataFrame) -> Axes:
    """The table of `choose`, with a band of each one's standard error below the best; marks within are filled."""
    axes = plt.subplots(layout="constrained")[1]
    at = _places(table)
    table = table.assign(x=table["vocabulary"].map(at["x"]))
    candidates = table[table["merges"].notna()].sort_values("merges")
    best = candidates["score"].max()
    band = {"color": FLOOR, "alpha": 0.3, "lw": 0, "label": "one standard error below the best"}
    axes.fill_between(candidates["x"], best - candidates["error"], best, **band)
    axes.plot(candidates["x"], candidates["score"], color=PROTOCOLS[0], lw=1.5)
    for row in table.itertuples():
        fill = {} if row.within else {"mfc": "white"}
        ends = [[row.score - row.low], [row.high - row.score]]
        axes.errorbar(row.x, row.score, ends, fmt="o", color=PROTOCOLS[0], lw=1.5, ms=7, **fill)
    _ring(axes, table[table["chosen"]], "score")
    _name_places(axes, at)
    axes.set_ylabel("accuracy over the mean of\nbyte-pair vocabularies, mean over k")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return axes


def _places(table: pd.DataFrame) -> pd.DataFrame:
    """Where each vocabulary stands: at the logarithm of its merges, rivals to the left of all, as they come."""
    merges = table.groupby("vocabulary", sort=False)["merges"].first()
    rival = merges.isna()
    x = np.log2(merges)
    x[rival] = x.min() - 0.8 * (rival.sum() - np.arange(rival.sum())) - 0.4
    label = np.where(rival, merges.index, merges.map("{:,.0f}".format))
    return pd.DataFrame({"x": x, "label": label, "rival": rival})


def _name_places(axes: Axes, at: pd.DataFrame, rotation: float = 0) -> None:
    axes.set_xticks(at["x"], at["label"], rotation=rotation)
    axes.set_xlabel("merges")
    if at["rival"].any():
        axes.axvline(at["x"][~at["rival"]].min() - 0.6, color=FLOOR, lw=0.5)


def _draw_lines(axes: Axes, table: pd.DataFrame, by: str, value: str, at: pd.DataFrame, chosen: str) -> None:
    """A line with intervals for each of ``by`` over the vocabularies with merges, marks alone for the rivals."""
    parts = dict(list(table.assign(x=table["vocabulary"].map(at["x"])).groupby(by, sort=False)))
    for number, ((name, part), line, shade) in enumerate(zip(parts.items(), _LINES, PROTOCOLS, strict=False)):
        part = part.assign(x=part["x"] + 0.08 * number).sort_values("x")
        look = {"color": shade, "ms": 5, "lw": 1.5, "mfc": "white" if number else shade}
        ends = [part[value] - part["low"], part["high"] - part[value]]
        axes.errorbar(part["x"], part[value], ends, fmt=line[0], **look)
        joined = part[part["merges"].notna()]
        axes.plot(joined["x"], joined[value], line, label=name, **look)
    if chosen:
        first = next(iter(parts.values()))
        _ring(axes, first[first["vocabulary"] == chosen], value)


def _ring(axes: Axes, row: pd.DataFrame, value: str) -> None:
    axes.plot(row["x"], row[value], "o", ms=13, mfc="none", mec=colour("held out"), label="chosen")


def _name_floors(axes: Axes, floors: Mapping[str, float] | pd.Series, size: float = 10) -> None:
    """A dotted line for each floor, its name at the right end, moved up where it would lie on another."""
    for value in dict(floors).values():
        axes.axhline(value, color=FLOOR, ls=":", lw=1)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    gap = 1.6 * size / 72 / (axes.get_position().height * axes.figure.get_figheight())
    before = -np.inf
    for name, value in sorted(floors.items(), key=lambda floor: floor[1]):
        before = max((value - low) / (high - low), before + gap)
        arrow = {"arrowstyle": "-", "color": FLOOR, "lw": 0.6, "shrinkA": 0, "shrinkB": 0}
        look = {"textcoords": "axes fraction", "va": "center", "size": size, "color": FLOOR, "arrowprops": arrow}
        axes.annotate(name, (1, value), (1.04, before), xycoords=("axes fraction", "data"), **look)
