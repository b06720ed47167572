"""Draw how well sequences are told apart, and motifs: each function takes a table and returns the Axes it drew on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike

from dnastudy.study.figures import FLOOR, PROTOCOLS, colour

BASES = {"A": "#029e73", "C": "#0173b2", "G": "#de8f05", "T": "#d55e00"}


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

    Parameters
    ----------
    windows
        contig, start, end, region (the panel's title).
    probabilities
        float [n], a window each, by "model, use" or, drawn grey, by floor.
    starts
        contig, position, strand, symbol; those outside every region aren't drawn.
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
    `dnastudy.study.classification.calibration`).
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


def motif_logo(axes: Axes, motif: ArrayLike) -> Axes:
    """Sequence logo of a motif's counts or probabilities (float [width, 4], A C G T), in bits.

    As Schneider & Stephens 1990 have it: letters are as high as their share of the information at their place, against
    bases that are all alike. Places are 0, 1, ... on the x axis.
    """
    counts = np.asarray(motif, dtype=np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    bits = 2 + np.sum(shares * np.log2(np.where(shares > 0, shares, 1)), axis=1)
    _draw_letters(axes, shares * bits[:, None])
    axes.set(ylim=(0, 2), ylabel="bits")
    axes.set_yticks([0, 1, 2])
    return axes


def importance_logo(axes: Axes, codes: np.ndarray, values: ArrayLike, *, start: int = 0) -> Axes:
    """The bases of one sequence (uint8 [n]), each as high as its value (float [n]), below the line where negative.

    The first base stands at ``start`` on the x axis; one that isn't A C G T has no letter.
    """
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


def grid_of_panels(count: int, columns: int, size: tuple[float, float], *, sharey: bool = True) -> list[Axes]:
    """So many panels of a size (inches), at most ``columns`` in a row; none is left empty."""
    columns = min(columns, count)
    rows = -(-count // columns)
    shape = {"figsize": (size[0] * columns, size[1] * rows), "sharey": sharey, "squeeze": False}
    panels = list(plt.subplots(rows, columns, layout="constrained", **shape)[1].flat)
    for axes in panels[count:]:
        axes.remove()
    return panels[:count]


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
