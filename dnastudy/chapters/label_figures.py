"""Draw notebook 09's tables: each function returns the Axes it drew on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dnastudy.study.figures import FLOOR, PROTOCOLS, colour, draw_points, grid_of_panels


def scores_figure(table: pd.DataFrame) -> Axes:
    """MCC with 95% intervals, a panel a label set, a row a predictor and a mark a use; floors are grey.

    A black tick is the paper's figure. Columns: task, predictor, use ("floor", "fine-tuned", "probe", "random start"
    ...), mcc, low, high, paper (NaN where there is none; mcc of what the paper alone has).
    """
    tasks, names = (list(dict.fromkeys(table[column])) for column in ("task", "predictor"))
    looks = _looks(table)
    columns = len(tasks) if len(tasks) < 4 else (len(tasks) + 1) // 2  # two rows, large enough to read in a column
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
    """AUROC of single statistics between promoters and negatives, a row a statistic and a mark a kind of negatives."""
    axes = plt.subplots(figsize=(7.2, 0.8 + 0.42 * len(table)), layout="constrained")[1]
    rows = np.arange(len(table))
    for number, (kind, shade) in enumerate(zip(kinds, PROTOCOLS, strict=False)):
        y = rows + 0.18 * (number - (len(kinds) - 1) / 2)
        look = {"fmt": "osD"[number], "color": shade, "ms": 4.5, "lw": 1.2, "label": kind}
        draw_points(axes, y, table, kind, ends=(f"{kind}_low", f"{kind}_high"), along="x", **look)
    axes.axvline(0.5, color=FLOOR, ls=":", lw=1)
    names = [f"{row.statistic} (learnt)" if row.learnt else row.statistic for row in table.itertuples()]
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set(xlabel="AUROC of held-out promoters against negatives", xlim=(0, 1))
    axes.figure.legend(title="negatives", loc="outside right center")
    return axes


def negatives_figure(table: pd.DataFrame) -> Axes:
    """MCC of each predictor against each kind of negatives, a line a predictor and use; floors are grey."""
    axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")[1]
    kinds = list(dict.fromkeys(table["negatives"]))
    lines = list(_lines(table))
    for number, (part, look) in enumerate(lines):
        part = part.set_index("negatives").reindex(kinds)
        x = np.arange(len(kinds)) + 0.035 * (number - (len(lines) - 1) / 2)
        draw_points(axes, x, part, "mcc", lw=1, ms=5, **look)
        axes.plot(x, part["paper"], "_", color="black", ms=14, mew=1.8)
    axes.axhline(0, color=FLOOR, ls=":", lw=1)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(xlabel="negatives", ylabel="MCC on held-out promoters", ylim=(None, 1.05))
    if table["paper"].notna().any():
        axes.plot([], [], "_", color="black", ms=12, mew=1.8, label="in the paper")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return axes


def track_figure(
    windows: pd.DataFrame, probabilities: Mapping[tuple[str, str], ArrayLike], starts: pd.DataFrame
) -> Axes:
    """Probability that a window holds a transcription start: a panel a region, a line a predictor and use."""
    regions = list(windows.groupby("region", sort=False))
    size = (7.2, 0.9 + 1.7 * len(regions))
    figure, panels = plt.subplots(len(regions), figsize=size, sharey=True, squeeze=False, layout="constrained")
    numbers = pd.Series(np.arange(len(windows)), windows.index)
    for axes, (region, part) in zip(panels[:, 0], regions, strict=True):
        for key, values in probabilities.items():
            look = {"color": _shade(*key), "lw": 1.2, "ms": 4, "label": name_of(*key)}
            axes.plot((part["start"] + part["end"]) / 2e3, np.asarray(values)[numbers[part.index]], ".-", **look)
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
    """How often a prediction is right, by how sure it is, a line a predictor; on the diagonal the two are the same."""
    axes = plt.subplots(figsize=(5.4, 3.8), layout="constrained")[1]
    low = min(0.5, table["confidence"].min(), table["accuracy"].min())
    axes.plot([low, 1], [low, 1], color=FLOOR, ls=":", lw=1)
    for part, look in _lines(table):
        axes.plot(part["confidence"], part["accuracy"], lw=1.2, ms=3, **look)
        look = {"color": look["color"], "marker": look["marker"], "alpha": 0.8, "lw": 0}
        axes.scatter(part["confidence"], part["accuracy"], s=8 + 160 * part["share"], **look)
    axes.set(xlabel="probability of the likeliest class", ylabel="share that is right")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return axes


def _looks(table: pd.DataFrame) -> dict[str, tuple[str, float]]:
    """Marker of each use, and how far below the middle of its row it stands."""
    uses = list(dict.fromkeys(table["use"]))
    others = [use for use in uses if use != "floor"]
    places = np.linspace(-0.27, 0.27, len(others)) if len(others) > 1 else [0.0]
    return dict.fromkeys(uses, ("o", 0.0)) | dict(zip(others, zip("osD^v<>", places, strict=False), strict=False))


def _lines(table: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, dict]]:
    """Rows of each predictor and use, and the look of their line; floors share a colour and so have a marker each."""
    floors = dict.fromkeys(table.loc[table["use"] == "floor", "predictor"])
    looks, marks = _looks(table), dict(zip(floors, itertools.cycle("o^v<>pPX*d"), strict=False))
    for (name, use), part in table.groupby(["predictor", "use"], sort=False):
        shade, hollow = _shade(name, use), use.startswith("random")
        marker, line = (marks[name], "--") if use == "floor" else (looks[use][0], "-")
        look = {"color": shade, "marker": marker, "ls": line, "mfc": "white" if hollow else shade}
        yield part, look | {"label": name_of(name, use)}


def _shade(name: str, use: str) -> str:
    return FLOOR if use == "floor" else colour(name)


def name_of(name: str, use: str) -> str:
    """What a predictor and its use are called in a figure."""
    return name if use == "floor" else f"{name}, {use}"
