"""Draw the choice of a vocabulary: each function takes a table and returns the Axes it drew on."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dnastudy.study.figures import FLOOR, PROTOCOLS, colour

_LINES = ("o-", "s--", "^:", "D-.")


def draw_accuracy(table: pd.DataFrame, floors: pd.DataFrame, *, chosen: str = "") -> Axes:
    """Accuracy against the number of merges with 95% intervals, a panel a k and a line a protocol; floors are grey.

    The vocabulary ``chosen`` is ringed on the first protocol's line. Columns of ``table``: protocol (up to four), k,
    vocabulary, merges (NaN of rivals, which stand on the left), accuracy, low, high; of ``floors``: floor, k,
    accuracy.
    """
    sizes = sorted(set(table["k"]))
    columns = min(3, len(sizes))
    rows = -(-len(sizes) // columns)
    size = (1 + 3 * columns, 0.8 + 2.6 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    at = _places(table)
    percent = table.assign(**{name: 100 * table[name] for name in ("accuracy", "low", "high")})
    for number, (axes, k) in enumerate(zip(grid.flat, sizes, strict=False)):
        _draw_lines(axes, percent[percent["k"] == k], "protocol", "accuracy", at, chosen)
        below = floors[floors["k"] == k].set_index("floor")["accuracy"]
        _name_floors(axes, {name: 100 * value for name, value in below.items()}, size=8)
        _name_places(axes, at, rotation=90)
        if number + columns < len(sizes):
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
        axes.set_title(f"k = {k}")
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    spare = list(grid.flat)[len(sizes) :]
    for axes in spare:
        axes.set_axis_off()
    if spare:
        spare[0].legend(handles, labels, loc="center")
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return grid.flat[0]


def draw_bits(table: pd.DataFrame, floors: Mapping[str, float], *, chosen: str = "") -> Axes:
    """Bits per base against the number of merges with 95% intervals, a line a measure; floors are grey.

    The vocabulary ``chosen`` is ringed on the first measure's line. Columns: measure ("exact", "upper bound"),
    vocabulary, merges (NaN of rivals, which stand on the left), bits, low, high.
    """
    axes = plt.subplots(layout="constrained")[1]
    at = _places(table)
    _draw_lines(axes, table, "measure", "bits", at, chosen)
    _name_floors(axes, floors)
    _name_places(axes, at)
    axes.set_ylabel("bits per base, held out\n(lower is better)")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return axes


def draw_score(table: pd.DataFrame) -> Axes:
    """The score that a vocabulary is chosen by, with 95% intervals; the band is one standard error below the best.

    It is that of the difference from the best, and so has a width of its own for each vocabulary. Marks of those
    within it are filled. Columns as of the table of `dnastudy.study.choice.choose`.
    """
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
    """Where each vocabulary stands: at the logarithm of its merges, rivals to the left of all, as they come.

    Returns
    -------
    DataFrame by vocabulary: x, label, rival.
    """
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


def _name_floors(axes: Axes, floors: Mapping[str, float], size: float = 10) -> None:
    """A dotted line for each floor, its name at the right end, moved up where it would lie on another."""
    for value in floors.values():
        axes.axhline(value, color=FLOOR, ls=":", lw=1)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    gap = 1.6 * size / 72 / (axes.get_position().height * axes.figure.get_figheight())
    before = -np.inf
    for name, value in sorted(floors.items(), key=lambda floor: floor[1]):
        before = max((value - low) / (high - low), before + gap)
        axes.annotate(
            name,
            (1, value),
            (1.04, before),
            xycoords=("axes fraction", "data"),
            textcoords="axes fraction",
            va="center",
            size=size,
            color=FLOOR,
            arrowprops={"arrowstyle": "-", "color": FLOOR, "lw": 0.6, "shrinkA": 0, "shrinkB": 0},
        )
