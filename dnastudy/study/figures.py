"""Draw the study's figures: each function takes a table and returns the Axes it drew on."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from dnastudy.tasks import floors

COLOURS = {
    "ngram": "#0173b2",
    "lstm": "#d55e00",
    "gpt": "#029e73",
    "gru": "#cc78bc",
    "bert": "#8c3f1d",
    "ngram_rc": "#6db6e8",
    "lstm_rc": "#f2a07b",
    "train": "#56b4e9",
    "validation": "#de8f05",
    "test": "#7b4fa3",
    "held out": "#3b3b3b",
}
FLOOR = "#8c8c8c"
PROTOCOLS = ("#d55e00", "#0173b2", "#029e73", "#cc78bc")  # corpora on which the published protocol is redone
OTHERS = ("#ca9161", "#fbafe4", "#029e73", "#0173b2", "#d55e00", "#7b4fa3", "#ece133")  # models of other names
_LOOKS = {"bases": ("o", "-"), "characters": ("s", "--"), "words": ("^", ":")}


def style() -> None:
    """Set the look of every figure: SVG with real text, light axes, no date or random ids in the file.

    The resolution is that of dots drawn as a picture inside it (``rasterized``). Text in tables isn't cut short.
    """
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg")
    pd.set_option("display.max_colwidth", None)
    sns.set_theme(
        context="notebook",
        style="ticks",
        rc={
            "figure.figsize": (7.2, 3.8),
            "figure.dpi": 200,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "dnastudy",
            "font.size": 11,
            "legend.frameon": False,
        },
    )


def colour(name: str) -> str:
    """A model's or split's own colour, the same in every chapter; grey for floors (uniform, 4-gram, copy)."""
    if name in COLOURS:
        return COLOURS[name]
    if floors.NAMES.fullmatch(name):
        return FLOOR
    return OTHERS[zlib.crc32(name.encode()) % len(OTHERS)]


def _marks(names: Iterable[str]) -> dict[str, str]:
    """Markers of a figure's models: one for all but the floors, which share a colour and so have one each."""
    names = set(names)
    marks = dict.fromkeys(names, "o") | {"uniform": "x", "copy": "s"}
    ngrams = sorted(name for name in names - {"uniform", "copy"} if colour(name) == FLOOR)
    return marks | dict(zip(ngrams, itertools.cycle("o^v<>pP*"), strict=False))


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


def draw_training(history: pd.DataFrame, floors: dict[str, float]) -> Axes:
    """Training curve against bases seen. Columns: bases, train_bits_per_base, validation_bits_per_base.

    Of a BERT ``tokens`` and bits per token.
    """
    axes = plt.subplots()[1]
    unit = "token" if "tokens" in history else "base"
    for column in ("train", "validation"):
        axes.plot(history[f"{unit}s"] / 1e6, history[f"{column}_bits_per_{unit}"], color=colour(column), label=column)
    for name, bits in floors.items():
        axes.axhline(bits, color=FLOOR, lw=1, ls=":")
        axes.annotate(name, (1, bits), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=FLOOR)
    axes.set(xlabel=f"{unit}s seen (millions)", ylabel="bits per base" if unit == "base" else "bits per masked token")
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


def draw_strata(
    scores: pd.DataFrame, *, value: str = "bits", label: str = "bits per base", reference: float = 2.0
) -> Axes:
    """One value by stratum, models side by side, a panel a number of edits if these are told apart.

    Columns: stratum, model, the value's, low, high; and maybe edits (as text).
    """
    strata = list(dict.fromkeys(scores["stratum"]))
    models = list(dict.fromkeys(scores["model"]))
    marks = _marks(models)
    apart = min(0.18, 0.72 / len(models))
    parts = list(scores.groupby("edits", sort=False)) if "edits" in scores else [("", scores)]
    size = (7.2, 1.6 + 2.4 * len(parts))
    panels = plt.subplots(len(parts), figsize=size, sharex=True, sharey=True, squeeze=False)[1][:, 0]
    for axes, (edits, part) in zip(panels, parts, strict=True):
        for number, model in enumerate(models):
            row = part[part["model"] == model].set_index("stratum").reindex(strata)
            x = np.arange(len(strata)) + (number - (len(models) - 1) / 2) * apart
            ends = [row[value] - row["low"], row["high"] - row[value]]
            axes.errorbar(x, row[value], yerr=ends, fmt=marks[model], color=colour(model), label=model, lw=2)
        axes.set(ylabel=f"{label}\nedits: {edits}" if edits else label)
        axes.axhline(reference, color=FLOOR, ls=":", lw=1)
    panels[-1].set_xticks(range(len(strata)), [s.replace(" ", "\n", 1) for s in strata])
    panels[0].legend(ncols=len(models), loc="lower center", bbox_to_anchor=(0.5, 1))
    return panels[0]


def draw_spectra(spectra: pd.DataFrame) -> Axes:
    """Divergence from held-out genes relative to that of ``train``, a line a set.

    Columns: set, k, relative, and for ``train`` low and high.
    """
    axes = plt.subplots()[1]
    train = spectra[spectra["set"] == "train"]
    axes.fill_between(train["k"], train["low"], train["high"], color=colour("train"), alpha=0.25, lw=0)
    for name, part in spectra.groupby("set", sort=False):
        line = "o--" if colour(name) == FLOOR else "o-"
        axes.plot(part["k"], part["relative"], line, color=colour(name), label=name)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="k", ylabel="divergence from held-out k-mers,\nrelative to training genes")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def draw_composition(sequences: pd.DataFrame, labels: dict[str, str]) -> Axes:
    """Box plots of properties of sequences, a panel each, a box a set.

    Columns: set, and keys of ``labels``; one that isn't there is left out.
    """
    names = list(dict.fromkeys(sequences["set"]))
    known = {column: label for column, label in labels.items() if column in sequences}
    size = (8, 0.8 + 0.4 * len(names))
    panels = plt.subplots(1, len(known), figsize=size, sharey=True, squeeze=False, layout="constrained")[1][0]
    palette = {name: colour(name) for name in names}
    for axes, (column, label) in zip(panels, known.items(), strict=True):
        sns.boxplot(sequences, y="set", x=column, hue="set", palette=palette, fliersize=2, legend=False, ax=axes)
        axes.set(xlabel=label, ylabel="")
    return panels[0]


def draw_dinucleotides(odds: pd.DataFrame) -> Axes:
    """Heat map of dinucleotide odds, a row a set. Columns: set, dinucleotide, odds."""
    by_set = odds.pivot(index="set", columns="dinucleotide", values="odds").loc[list(dict.fromkeys(odds["set"]))]
    axes = plt.subplots(figsize=(8, 1 + 0.4 * len(by_set)))[1]
    sns.heatmap(
        by_set,
        cmap="RdBu_r",
        vmin=0.4,
        vmax=1.6,
        annot=True,
        fmt=".2f",
        annot_kws={"size": 8},
        cbar_kws={"label": "odds"},
        ax=axes,
    )
    axes.set(xlabel="", ylabel="")
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    return axes


def draw_runs(runs: pd.DataFrame) -> Axes:
    """How often a base comes at least so many times in a row, a panel a base. Columns: set, base, length, per_kb."""
    bases = list(dict.fromkeys(runs["base"]))
    panels = plt.subplots(1, len(bases), figsize=(8, 3.2), sharey=True, layout="constrained")[1]
    for axes, base in zip(panels, bases, strict=True):
        for name, part in runs[(runs["base"] == base) & (runs["per_kb"] > 0)].groupby("set", sort=False):
            line = "--" if colour(name) == FLOOR else "-"
            axes.plot(part["length"], part["per_kb"], line, color=colour(name), label=name)
        axes.set(yscale="log", title=base)
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("runs of at least this length\nin 1,000 bases")
    panels[0].figure.supxlabel("length of the run (bases)", size="medium")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return panels[0]


def draw_discriminators(told: pd.DataFrame) -> Axes:
    """AUROC with intervals, a row a set, a marker a classifier. Columns: set, classifier, auroc, low, high."""
    names, classifiers = (list(dict.fromkeys(told[column])) for column in ("set", "classifier"))
    axes = plt.subplots(figsize=(7.2, 0.9 + 0.45 * len(names)))[1]
    for marker, (number, classifier) in zip("osd", enumerate(classifiers), strict=False):
        part = told[told["classifier"] == classifier].set_index("set").loc[names]
        rows = np.arange(len(names))[::-1] + 0.24 * ((len(classifiers) - 1) / 2 - number)
        shades = [colour(name) for name in names]
        axes.hlines(rows, part["low"], part["high"], color=shades, lw=2)
        axes.scatter(part["auroc"], rows, marker=marker, s=50, color=shades, zorder=3)
        axes.scatter([], [], marker=marker, color=FLOOR, label=classifier)
    axes.axvline(0.5, color=FLOOR, ls=":", lw=1)
    axes.set_yticks(np.arange(len(names))[::-1], names)
    axes.set(xlabel="AUROC: 0.5, can't be told from held-out genes; 1, always")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def draw_distances(distances: pd.DataFrame) -> Axes:
    """Heat map of distances from held-out genes relative to those of ``train``, whose column gives their range.

    Columns: property, set, relative, and for ``train`` low and high.
    """
    from matplotlib.colors import LogNorm

    order = {column: list(dict.fromkeys(distances[column])) for column in ("property", "set")}
    values = distances.pivot(index="property", columns="set", values="relative").loc[order["property"], order["set"]]
    text = values.map("{:.1f}".format)
    train = distances[distances["set"] == "train"].set_index("property")
    text["train"] = train["low"].map("{:.1f}".format) + "–" + train["high"].map("{:.1f}".format)
    axes = plt.subplots(figsize=(1.6 + 1.1 * values.shape[1], 1 + 0.36 * len(values)))[1]
    norm = LogNorm(1 / 4, 4)
    sns.heatmap(values, cmap="RdBu_r", norm=norm, annot=text, fmt="", annot_kws={"size": 9}, cbar=False, ax=axes)
    axes.set(xlabel="", ylabel="")
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    return axes


def draw_detection(accuracy: pd.DataFrame, *, beside: pd.DataFrame | None = None) -> Axes:
    """Accuracy against the number of edits, a line a model. Columns: model, edits (as text), accuracy, low, high.

    The same columns of another score may stand ``beside``, dashed and without intervals.
    """
    axes = plt.subplots()[1]
    edits, models = (list(dict.fromkeys(accuracy[column])) for column in ("edits", "model"))
    marks = _marks(models)
    for number, model in enumerate(models):
        x = np.arange(len(edits)) + 0.05 * (number - (len(models) - 1) / 2)
        part = accuracy[accuracy["model"] == model]
        if beside is not None:
            other = beside.loc[beside["model"] == model, "accuracy"]
            axes.plot(x, other, "--", color=colour(model), lw=1.2)
        ends = [part["accuracy"] - part["low"], part["high"] - part["accuracy"]]
        axes.errorbar(x, part["accuracy"], ends, fmt=f"{marks[model]}-", color=colour(model), label=model)
    axes.axhline(0.5, color=FLOOR, ls=":", lw=1)
    axes.set_xticks(range(len(edits)), edits)
    axes.set(xlabel="edits in the sequence", ylabel="share of pairs told right", ylim=(0, 1.02))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def draw_edit_kinds(accuracy: pd.DataFrame) -> Axes:
    """Accuracy by kind of edit and score. Columns: kind, score, model, correct (share of pairs)."""
    marks = _marks(accuracy["model"])
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
        markers=[marks[m] for m in dict.fromkeys(accuracy["model"])],
        height=3.4,
        aspect=1.05,
    )
    for axes in grid.axes.flat:
        axes.axhline(0.5, color=FLOOR, ls=":", lw=1)
    grid.set_axis_labels("", "share of pairs told right").set_titles("by {col_name}").set(ylim=(-0.03, 1.03))
    return grid.axes.flat[0]


def draw_protocol(protocol: pd.DataFrame) -> Axes:
    """Perplexity under the published protocol, a row a model and a mark a corpus.

    Columns: model, corpus, perplexity, low, high; a perplexity that is infinite or wasn't computed has no mark.
    """
    models = list(dict.fromkeys(protocol["model"]))
    axes = plt.subplots(figsize=(7.2, 1.2 + 0.34 * len(models)))[1]
    for number, (corpus, part) in enumerate(protocol.groupby("corpus", sort=False)):
        part = part[np.isfinite(part["perplexity"])]
        rows = np.array([-models.index(model) for model in part["model"]]) - 0.12 * number
        ends = np.nan_to_num([part["perplexity"] - part["low"], part["high"] - part["perplexity"]])
        marker, shade = ("D", colour("held out")) if corpus == "paper" else ("o", PROTOCOLS[(number - 1) % 4])
        axes.errorbar(part["perplexity"], rows, xerr=ends, fmt=marker, color=shade, ms=6, lw=2, label=corpus)
    axes.axvline(4, color=FLOOR, ls=":", lw=1)
    axes.set_yticks([-row for row in range(len(models))], models)
    axes.set(xlabel="perplexity per scored symbol (lower is better)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def draw_published_accuracy(table: pd.DataFrame) -> Axes:
    """The published task here (filled, 95% interval) and in the paper (open, its seeds' range), a panel a score.

    Columns: score, model, most (edits), accuracy, low, high, published, published_low, published_high, the last three
    missing where the paper has no such model.
    """
    scores = list(dict.fromkeys(table["score"]))
    models = list(dict.fromkeys(table["model"]))
    panels = plt.subplots(1, len(scores), figsize=(9, 3.8), sharey=True, squeeze=False)[1][0]
    marks = _marks(models)
    ticks = list(dict.fromkeys(table["most"]))
    for axes, score in zip(panels, scores, strict=True):
        for number, model in enumerate(models):
            part = table[(table["score"] == score) & (table["model"] == model)]
            x = np.arange(len(part)) + (number - (len(models) - 1) / 2) * 0.12
            for name, low, high, look in (
                ("accuracy", "low", "high", {"fmt": marks[model], "label": model}),
                ("published", "published_low", "published_high", {"fmt": "D", "mfc": "white"}),
            ):
                ends = [part[name] - part[low], part[high] - part[name]]
                shift = 0.04 if name == "published" else 0
                axes.errorbar(x + shift, part[name], ends, color=colour(model), ms=6, lw=1.5, **look)
        axes.axhline(0.5, color=FLOOR, ls=":", lw=1)
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set(title=f"by {score}", xlabel="most edits in a pair")
    panels[0].set(ylabel="share of pairs told right, ties wrong")
    panels[0].errorbar([], [], fmt="D", color=colour("held out"), mfc="white", label="in the paper")
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))
    return panels[0]


def draw_hunger(curves: pd.DataFrame, laws: pd.DataFrame) -> Axes:
    """Cost by training data, a line a model: the power law fitted to the filled marks; open ones were cut short.

    Columns of ``curves``: unit, kind, size, bits, low, high, limited; of ``laws``: unit, kind, size, bits.
    """
    axes = plt.subplots()[1]
    for (unit, kind), part in curves.groupby(["unit", "kind"], sort=False):
        law = laws[(laws["unit"] == unit) & (laws["kind"] == kind)]
        marker, dashes = _LOOKS[unit]
        axes.plot(law["size"], law["bits"], color=colour(kind), lw=1, ls=dashes)
        for filled, points in part.groupby(part["limited"] == 0):
            ends = [points["bits"] - points["low"], points["high"] - points["bits"]]
            fill = {} if filled else {"mfc": "white"}
            axes.errorbar(points["size"], points["bits"], ends, fmt=marker, color=colour(kind), lw=1.5, ms=6, **fill)
        axes.plot([], [], marker=marker, color=colour(kind), ls=dashes, label=f"{kind}, {unit}")
    what = "base" if set(curves["unit"]) == {"bases"} else "character"
    axes.set(xscale="log", xlabel=f"{what}s trained on", ylabel=f"bits per {what}, held out")
    axes.legend()
    return axes


def draw_gains(gains: pd.DataFrame) -> Axes:
    """Share of what a model gained at a common size, by training data. Columns: unit, kind, size, share."""
    axes = plt.subplots()[1]
    for (unit, kind), part in gains.groupby(["unit", "kind"], sort=False):
        marker, dashes = _LOOKS[unit]
        axes.plot(part["size"], part["share"], marker=marker, ls=dashes, color=colour(kind), label=f"{kind}, {unit}")
    axes.axhline(1, color=FLOOR, ls=":", lw=1)
    axes.set(xscale="log", xlabel="bases or characters trained on", ylabel="share of the gain")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes
