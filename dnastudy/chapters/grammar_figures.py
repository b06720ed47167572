"""Draw notebook 10's tables: each function returns the Axes it drew on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike

from dnastudy.chapters.read_the_grammar import COMPOSITION
from dnastudy.study.figures import FLOOR, OTHERS, PROTOCOLS, draw_points, grid_of_panels
from dnastudy.tasks.embeddings import GROVER_VARIANCE, PROPERTIES
from dnastudy.tasks.probe_windows import MOSTLY, ORIENTED

KINDS = {"SINE": "#d55e00", "LINE": "#0173b2", "LTR": "#029e73", "none": "#c9c9c9"}
# A picture in the file, since a map of thousands of shapes is megabytes; hard edges halve it (matplotlib blurs them if
# it isn't told twice, and takes dots of one colour for markers).
DOTS = {"lw": 0, "rasterized": True, "antialiased": [False, False]}
BASES = {"A": "#029e73", "C": "#0173b2", "G": "#de8f05", "T": "#d55e00"}
SHADES = (*PROTOCOLS, *OTHERS)
_TRACKS = ("bits over\ncomposition", "cost of\nanother base")


def draw_variance(variance: pd.DataFrame) -> Axes:
    """Share of variance by component, a line an embedding, and the largest that GROVER's authors report."""
    axes = plt.subplots()[1]
    for (name, part), shade in zip(variance.groupby("embedding", sort=False), SHADES, strict=False):
        axes.plot(part["component"], 100 * part["share"], "o-", ms=4, color=shade, label=name)
    for name, share in GROVER_VARIANCE.items():
        axes.axhline(100 * share, color=FLOOR, ls=":", lw=1)
        place = (1, 100 * share)
        axes.annotate(f"paper: {name}", place, xycoords=("axes fraction", "data"), ha="right", va="bottom", color=FLOOR)
    axes.set(yscale="log", xlabel="principal component", ylabel="share of the variance (%)")
    axes.set_xticks(sorted(set(variance["component"])))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return axes


def draw_correlations(components: pd.DataFrame) -> Axes:
    """Heat map of Spearman's rho, components by properties, a panel an embedding; bold where the interval excludes 0.

    Columns: embedding, component, property, rho, low, high.
    """
    names = list(dict.fromkeys(components["embedding"]))
    panels = grid_of_panels(len(names), 2, (3.6, 3.2))
    for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
        part = components[components["embedding"] == name]
        rho = part.pivot(index="component", columns="property", values="rho")[list(PROPERTIES)]
        look = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1, "cbar": False}
        sns.heatmap(rho, annot=True, fmt=".2f", annot_kws={"size": 8}, ax=axes, **look)
        sure = (part["low"] > 0) | (part["high"] < 0)
        for text, bold in zip(axes.texts, sure[part["rho"].notna()], strict=True):
            text.set_fontweight("bold" if bold else "normal")
        axes.set(title=name, xlabel="", ylabel="" if number % 2 else "component")
        axes.tick_params(length=0)
        axes.tick_params(axis="y", rotation=0)
    return panels[0]


def draw_tokens(tokens: pd.DataFrame) -> Axes:
    """Tokens on the first two components, coloured by how often they come and by G + C; the commonest are named."""
    panels = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")[1]
    for axes, name, shades in zip(panels, ("log frequency", "GC"), ("viridis", "coolwarm"), strict=True):
        points = axes.scatter(tokens["PC1"], tokens["PC2"], 14, tokens[name], cmap=shades, alpha=0.85, lw=0)
        axes.figure.colorbar(points, ax=axes, label=name)
        axes.set(xlabel="PC1", ylabel="PC2")
    _name_dots(panels[0], tokens.nlargest(8, "log frequency")[["PC1", "PC2", "token"]])
    return panels[0]


def draw_similarity(similarity: pd.DataFrame) -> Axes:
    """Self-similarity by layer, the middle token and the middle 80%, and anisotropy dashed; a colour a model."""
    axes = plt.subplots()[1]
    for (name, part), shade in zip(similarity.groupby("model", sort=False), SHADES, strict=False):
        by_layer = part.groupby("layer")
        tenths = by_layer["similarity"].quantile([0.1, 0.5, 0.9]).unstack()
        axes.plot(tenths.index, tenths[0.5], "o-", color=shade, label=name)
        axes.fill_between(tenths.index, tenths[0.1], tenths[0.9], color=shade, alpha=0.2, lw=0)
        between = by_layer["anisotropy"].first()
        axes.plot(between.index, between, "--", color=shade, lw=1.2, label=f"{name}: any two tokens")
    axes.set(xlabel="layer (0: the embedding)", ylabel="cosine of a token's states,\nthat of any two taken off")
    axes.set_xticks(sorted(set(similarity["layer"])))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return axes


def draw_at_home(similarity: pd.DataFrame) -> Axes:
    """Self-similarity after the last layer by the share of a token in repeats, the most self-similar named."""
    axes = plt.subplots()[1]
    last = similarity[similarity["layer"] == similarity["layer"].max()]
    points = axes.scatter(last["in_repeats"], last["similarity"], 16, last["length"], cmap="viridis", alpha=0.85, lw=0)
    axes.figure.colorbar(points, label="length of the token (bases)")
    _name_dots(axes, last.nlargest(6, "similarity")[["in_repeats", "similarity", "token"]])
    axes.set(xlabel="share of the token's bases in repeats", ylabel="self-similarity, last layer")
    return axes


def draw_regions(regions: pd.DataFrame, maps: Mapping[str, np.ndarray]) -> Axes:
    """Windows on each map ([n, 2], a row a window), coloured by repeat, kind of place, strand of an Alu and G + C.

    A panel a colouring and map, two in a row. Columns as of `probe_windows.describe`; a colouring that lacks its
    columns is left out.
    """
    kinds = _kinds(regions)
    panels = grid_of_panels(len(maps) * (len(kinds) + 1), 2, (3.4, 2.4), sharey=False)
    for axes, (title, name) in zip(panels, itertools.product([*kinds, "G + C"], maps), strict=True):
        labels, shades = kinds.get(title, (None, {}))
        for label, shade in shades.items():
            chosen = (labels == label).to_numpy(dtype=bool, na_value=False)
            axes.scatter(*maps[name][chosen].T, 5, color=shade, label=label, **DOTS)
        if not shades:
            points = axes.scatter(*maps[name].T, 5, regions["gc"], cmap=plt.get_cmap("coolwarm", 16), **DOTS)
        axes.set(xticks=[], yticks=[], ylabel=name)
        axes.set_title(title, fontsize="medium")
    for axes in panels[len(maps) - 1 : -1 : len(maps)]:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", markerscale=2, handletextpad=0)
    panels[-1].figure.colorbar(points, cax=panels[-1].inset_axes((1.05, 0, 0.05, 1)))
    return panels[0]


def draw_probes(probes: pd.DataFrame, metric: str = "auroc") -> Axes:
    """What a probe of each kind of input reads, with 95% intervals, a group of rows a claim; what no model saw is grey.

    Columns: claim, seen, and the metric with _low and _high.
    """
    claims, seen = (list(dict.fromkeys(probes[name])) for name in ("claim", "seen"))
    axes = plt.subplots(figsize=(7.2, 0.6 + 0.75 * len(claims)))[1]
    shades = dict(zip([name for name in seen if name not in COMPOSITION], SHADES, strict=False))
    marks = dict(zip(COMPOSITION, "xs^", strict=True))
    for number, name in enumerate(seen):
        part = probes[probes["seen"] == name]
        y = part["claim"].map(claims.index) + (number - (len(seen) - 1) / 2) * 0.14
        look = {"fmt": marks.get(name, "o"), "color": shades.get(name, FLOOR), "ms": 5, "lw": 1.5, "label": name}
        draw_points(axes, y, part, metric, ends=(f"{metric}_low", f"{metric}_high"), along="x", **look)
    axes.axvline(0.5 if metric == "auroc" else 0, color=FLOOR, lw=0.6)
    axes.set_yticks(range(len(claims)), claims)
    axes.invert_yaxis()
    axes.set(xlabel={"auroc": "AUROC", "mcc": "MCC"}[metric])
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return axes


def draw_sites(expected: pd.DataFrame, counts: np.ndarray) -> Axes:
    """What the first model expects about a motif more than the untrained one, over many sites, under its logo."""
    logo, axes = plt.subplots(2, 1, figsize=(8, 4.2), sharex=True, height_ratios=(1, 2), layout="constrained")[1]
    motif_logo(logo, counts)
    # Donors stand out by composition alone: an untrained model expects them nearly as much as a trained one.
    part = expected[expected["model"] == expected["model"].iloc[0]]
    axes.plot(part["place"], part["bits_over_untrained"], "o-", ms=3, lw=1, color=PROTOCOLS[0])
    ends = part["low_over_untrained"], part["high_over_untrained"]
    axes.fill_between(part["place"], *ends, color=PROTOCOLS[0], alpha=0.2, lw=0)
    axes.axhline(0, color=FLOOR, lw=0.6)
    axes.axvspan(-0.5, len(counts) - 0.5, color=FLOOR, alpha=0.12, lw=0)
    axes.set(xlabel="place in the motif", ylabel="bits over the untrained model")
    axes.set_xlim(expected["place"].min() - 0.5, expected["place"].max() + 0.5)
    return logo


def draw_locus(locus: pd.DataFrame, counts: np.ndarray, title: str) -> Axes:
    """One site under its motif's logo: the bases as high as the masked model expects them, and as losing them costs."""
    start = locus["place"].min()
    panels = plt.subplots(3, 1, figsize=(9, 5), sharex=True, layout="constrained")[1]
    for axes, column, label in zip(panels[1:], ("bits", "cost"), _TRACKS, strict=True):
        importance_logo(axes, locus["code"].to_numpy(), locus[column], start=start)
        axes.axvspan(-0.5, len(counts) - 0.5, color=FLOOR, alpha=0.12, lw=0)
        axes.set_ylabel(label)
    motif_logo(panels[0], counts)
    panels[0].set_xlim(start - 0.5, locus["place"].max() + 0.5)
    panels[0].set_title(title, fontsize="medium")
    panels[2].set_xlabel("place in the motif")
    return panels[0]


def _kinds(regions: pd.DataFrame) -> dict[str, tuple[pd.Series, dict[str, str]]]:
    """By title, a label for each window and the colour of each label, in the order of drawing."""
    found = {}
    if "repeat" in regions:
        found["repeat, mostly"] = regions["repeat"], dict(reversed(KINDS.items()))
    if {"tss", "island", "in_gene"} <= set(regions):
        conditions = [regions["tss"] > 0, regions["island"] >= MOSTLY, regions["in_gene"] == 1]
        labels = np.select(conditions, ["TSS", "CpG island", "gene body"], "elsewhere")
        shades = ("#c9c9c9", PROTOCOLS[2], PROTOCOLS[1], PROTOCOLS[0])
        names = ("elsewhere", "gene body", "CpG island", "TSS")
        known = regions[["tss", "island", "in_gene"]].notna().all(axis=1)
        found["place"] = pd.Series(labels, index=regions.index).where(known), dict(zip(names, shades, strict=True))
    if "alu" in regions:
        labels = np.select([regions["alu"] >= ORIENTED, regions["alu"] <= -ORIENTED], ["Alu +", "Alu -"], "neither")
        shades = {"neither": "#dddddd", "Alu +": PROTOCOLS[0], "Alu -": PROTOCOLS[1]}
        found["strand of an Alu"] = pd.Series(labels, index=regions.index).where(regions["alu"].notna()), shades
    return found


def _name_dots(axes: Axes, dots: pd.DataFrame) -> None:
    """Names of dots (columns: x, y, name) one below the other in the margin that is nearer, a line to each."""
    if dots.empty:
        return
    dots = dots.set_axis(["x", "y", "name"], axis=1).sort_values("y")
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    # A letter of this size is some 4.5 points wide.
    room = (right - left) * (8 + 4.5 * dots["name"].str.len().max()) / (72 * axes.bbox.width / axes.figure.dpi)
    side, at = ("left", 0.01) if dots["x"].mean() < (left + right) / 2 else ("right", 0.99)
    axes.set_xticks([tick for tick in axes.get_xticks() if left <= tick <= right])
    axes.set_xlim((left - room, right) if side == "left" else (left, right + room))
    half = 0.03 * len(dots)
    middle = np.clip((dots["y"].mean() - low) / (high - low), half, 1 - half)
    heights = np.linspace(middle - half, middle + half, len(dots))
    for dot, height in zip(dots.itertuples(), heights, strict=True):
        line = {"arrowstyle": "-", "lw": 0.5, "color": FLOOR, "shrinkA": 1, "shrinkB": 2}
        look = {"fontsize": 7, "ha": side, "va": "center", "arrowprops": line}
        axes.annotate(dot.name, (dot.x, dot.y), (at, height), textcoords="axes fraction", **look)


def motif_logo(axes: Axes, motif: ArrayLike) -> Axes:
    """Sequence logo of a motif's counts or probabilities (float [width, 4], A C G T), in bits."""
    counts = np.asarray(motif, dtype=np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    bits = 2 + np.sum(shares * np.log2(np.where(shares > 0, shares, 1)), axis=1)
    _draw_letters(axes, shares * bits[:, None])
    axes.set(ylim=(0, 2), ylabel="bits")
    axes.set_yticks([0, 1, 2])
    return axes


def importance_logo(axes: Axes, codes: np.ndarray, values: ArrayLike, *, start: int = 0) -> Axes:
    """The bases of one sequence (uint8 [n]), each as high as its value (float [n]), below the line where negative."""
    heights = np.where(codes[:, None] == np.arange(4), np.asarray(values, dtype=np.float64)[:, None], 0)
    _draw_letters(axes, heights, start)
    axes.axhline(0, color=FLOOR, lw=0.5)
    low, high = min(0.0, heights.min()), max(0.0, heights.max())
    axes.set_ylim((low * 1.05, high * 1.05) if high > low else (-1, 1))
    return axes


def _draw_letters(axes: Axes, heights: np.ndarray, start: int = 0) -> None:
    """Stack letters of these heights (float [width, 4]), the highest on top; negative ones downwards from zero."""
    outlines = {letter: TextPath((0, 0), letter, size=1, prop={"weight": "bold"}) for letter in BASES}
    for place, column in enumerate(heights, start):
        reached = {1.0: 0.0, -1.0: 0.0}
        for base in np.argsort(np.abs(column), kind="stable"):
            if not (height := column[base]):
                continue
            letter = "ACGT"[base]
            box, sign = outlines[letter].get_extents(), float(np.sign(height))
            bottom = min(reached[sign], reached[sign] + height)
            fit = Affine2D().translate(-box.x0, -box.y0).scale(0.92 / box.width, abs(height) / box.height)
            outline = fit.translate(place - 0.46, bottom).transform_path(outlines[letter])
            axes.add_patch(PathPatch(outline, color=BASES[letter], lw=0))
            reached[sign] += height
    axes.set_xlim(start - 0.5, start + len(heights) - 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
