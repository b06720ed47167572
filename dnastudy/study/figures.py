"""Draw the study's figures: each function takes a table and returns the Axes it drew on."""

from __future__ import annotations

import re
import zlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

COLOURS = {
    "ngram": "#0173b2",
    "lstm": "#d55e00",
    "gpt": "#029e73",
    "gru": "#cc78bc",
    "train": "#56b4e9",
    "validation": "#de8f05",
    "test": "#7b4fa3",
    "held out": "#3b3b3b",
}
FLOOR = "#8c8c8c"
OTHERS = ("#ca9161", "#fbafe4", "#029e73", "#0173b2", "#d55e00", "#7b4fa3", "#ece133")  # models of other names


def style() -> None:
    """Set the look of every figure: SVG with real text, light axes, no date or random ids in the file."""
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg")
    sns.set_theme(
        context="notebook",
        style="ticks",
        rc={
            "figure.figsize": (7.2, 3.8),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "dnastudy",
            "font.size": 11,
            "legend.frameon": False,
        },
    )


def colour(name: str) -> str:
    """A model's or split's own colour, the same in every chapter; grey for floors (uniform, 4-gram)."""
    if name in COLOURS:
        return COLOURS[name]
    if name == "uniform" or re.fullmatch(r"\d+-gram", name):
        return FLOOR
    return OTHERS[zlib.crc32(name.encode()) % len(OTHERS)]


def draw_gene_lengths(genes: pd.DataFrame) -> Axes:
    """Histogram of gene lengths on a logarithmic axis, a line for each split. Columns: length (bases), split."""
    axes = plt.subplots()[1]
    order = [s for s in ("train", "validation", "test") if s in set(genes["split"])]
    sns.histplot(
        genes,
        x="length",
        hue="split",
        hue_order=order,
        palette=COLOURS,
        log_scale=True,
        element="step",
        stat="probability",
        common_norm=False,
        bins=30,
        alpha=0.15,
        ax=axes,
    )
    axes.set(xlabel="gene length (bases)", ylabel="share of the split's genes")
    return axes


def draw_sharing(coverage: pd.DataFrame) -> Axes:
    """Sorted share of each held-out gene that stands in train, exactly. Columns: split, share (0 to 1)."""
    axes = plt.subplots()[1]
    for split, part in coverage.groupby("split", sort=False):
        shares = np.sort(part["share"].to_numpy())[::-1]
        axes.step(np.linspace(0, 1, len(shares)), shares, where="mid", color=colour(split), label=split)
    axes.set(
        xlabel="genes, most shared first",
        ylabel="share of bases in a 31-mer of train",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.legend()
    return axes


def draw_vocabularies(statistics: pd.DataFrame) -> Axes:
    """Bases a token against vocabulary size, with the bound of equally frequent tokens.

    Columns: tokens (vocabulary size), bases_per_token, kind.
    """
    axes = plt.subplots()[1]
    sizes = np.geomspace(4, statistics["tokens"].max() * 1.2, 50)
    axes.plot(sizes, np.log(sizes) / np.log(4), color=FLOOR, ls="--", label="k-mers: log₄ of the size")
    for kind, part in statistics.groupby("kind", sort=False):
        axes.plot(part["tokens"], part["bases_per_token"], "o-", label=kind)
    axes.set(xscale="log", xlabel="tokens in the vocabulary", ylabel="bases a token")
    axes.legend()
    return axes


def draw_ranks(counts: pd.DataFrame) -> Axes:
    """Zipf plot: share of each token by its rank. Columns: vocabulary, kind, rank, share."""
    axes = plt.subplots()[1]
    sns.lineplot(counts, x="rank", y="share", hue="vocabulary", style="kind", palette="viridis", ax=axes)
    axes.set(xscale="log", yscale="log", xlabel="rank of the token", ylabel="share of all tokens")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return axes


def draw_training(history: pd.DataFrame, floors: dict[str, float]) -> Axes:
    """Training curve against bases seen. Columns: bases, train_bits_per_base, validation_bits_per_base."""
    axes = plt.subplots()[1]
    for column in ("train", "validation"):
        axes.plot(history["bases"] / 1e6, history[f"{column}_bits_per_base"], color=colour(column), label=column)
    for name, bits in floors.items():
        axes.axhline(bits, color=FLOOR, lw=1, ls=":")
        axes.annotate(name, (1, bits), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=FLOOR)
    axes.set(xlabel="bases seen (millions)", ylabel="bits per base")
    axes.legend()
    return axes


def draw_orders(orders: pd.DataFrame) -> Axes:
    """Validation bits per base of an n-gram model by order. Columns: order, validation_bits_per_base."""
    axes = plt.subplots()[1]
    axes.plot(orders["order"], orders["validation_bits_per_base"], "o-", color=colour("ngram"))
    axes.set(xlabel="order n (n − 1 bases of context)", ylabel="bits per base, validation")
    axes.set_xticks(orders["order"])
    return axes


def draw_scores(scores: pd.DataFrame, *, reference: float = 2.0) -> Axes:
    """Bits per base with intervals, a row a model. Columns: model, bits, low, high."""
    axes = plt.subplots(figsize=(7.2, 0.9 + 0.42 * len(scores)))[1]
    rows = np.arange(len(scores))[::-1]
    for row, score in zip(rows, scores.itertuples(), strict=True):
        axes.plot([score.low, score.high], [row, row], color=colour(score.model), lw=2.5)
        axes.plot(score.bits, row, "o", color=colour(score.model), ms=8)
        axes.annotate(f"{score.bits:.3f}", (score.bits, row), (0, 7), textcoords="offset points", ha="center", size=10)
    axes.axvline(reference, color=FLOOR, ls=":", lw=1)
    axes.set_yticks(rows, scores["label"] if "label" in scores else scores["model"])
    axes.set(xlabel="bits per base on held-out genes (lower is better)", ylim=(-0.6, len(scores) - 0.3))
    return axes


def draw_strata(scores: pd.DataFrame) -> Axes:
    """Bits per base by stratum, models side by side. Columns: stratum, model, bits, low, high."""
    strata = list(dict.fromkeys(scores["stratum"]))
    models = list(dict.fromkeys(scores["model"]))
    axes = plt.subplots(figsize=(7.2, 4))[1]
    for number, model in enumerate(models):
        part = scores[scores["model"] == model].set_index("stratum").loc[strata]
        x = np.arange(len(strata)) + (number - (len(models) - 1) / 2) * 0.18
        low, high = part["bits"] - part["low"], part["high"] - part["bits"]
        axes.errorbar(x, part["bits"], yerr=[low, high], fmt="o", color=colour(model), label=model, lw=2)
    axes.set_xticks(range(len(strata)), [s.replace(" ", "\n", 1) for s in strata])
    axes.set(ylabel="bits per base")
    axes.axhline(2, color=FLOOR, ls=":", lw=1)
    axes.legend(ncols=len(models), loc="lower center", bbox_to_anchor=(0.5, 1))
    return axes


def draw_spectra(divergence: pd.DataFrame) -> Axes:
    """Divergence from held-out genes relative to that of ``train``, a line a set. Columns: set, k, divergence."""
    axes = plt.subplots()[1]
    by_set = divergence.pivot(index="k", columns="set", values="divergence")
    for name in dict.fromkeys(divergence["set"]):
        line = "o--" if colour(name) == FLOOR else "o-"
        axes.plot(by_set.index, by_set[name] / by_set["train"], line, color=colour(name), label=name)
    axes.set(yscale="log", xlabel="k", ylabel="divergence from held-out k-mers,\nrelative to training genes")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def draw_composition(sequences: pd.DataFrame, column: str, label: str) -> Axes:
    """Box plot of one property of sequences, a box a set. Columns: set, and the property."""
    axes = plt.subplots(figsize=(7.2, 0.8 + 0.45 * sequences["set"].nunique()))[1]
    names = list(dict.fromkeys(sequences["set"]))
    palette = {name: colour(name) for name in names}
    sns.boxplot(sequences, y="set", x=column, hue="set", palette=palette, fliersize=2, legend=False, ax=axes)
    axes.set(xlabel=label, ylabel="")
    return axes


def draw_detection(accuracy: pd.DataFrame) -> Axes:
    """Accuracy against the number of edits, a line a model. Columns: model, edits (as text), accuracy, low, high."""
    axes = plt.subplots()[1]
    for model, part in accuracy.groupby("model", sort=False):
        ends = [part["accuracy"] - part["low"], part["high"] - part["accuracy"]]
        axes.errorbar(part["edits"], part["accuracy"], ends, fmt="o-", color=colour(model), label=model, capsize=3)
    axes.axhline(0.5, color=FLOOR, ls=":", lw=1)
    axes.set(xlabel="edits in the sequence", ylabel="share of pairs told right", ylim=(0, 1.02))
    axes.legend(loc="lower right")
    return axes


def draw_edit_kinds(accuracy: pd.DataFrame) -> Axes:
    """Accuracy by kind of edit and score. Columns: kind, score, model, correct (share of pairs)."""
    grid = sns.catplot(
        accuracy,
        x="kind",
        y="correct",
        hue="model",
        col="score",
        kind="point",
        linestyle="none",
        dodge=0.3,
        palette={m: colour(m) for m in set(accuracy["model"])},
        height=3.4,
        aspect=1.05,
    )
    for axes in grid.axes.flat:
        axes.axhline(0.5, color=FLOOR, ls=":", lw=1)
    grid.set_axis_labels("", "share of pairs told right").set(ylim=(-0.03, 1.03))
    return grid.axes.flat[0]
