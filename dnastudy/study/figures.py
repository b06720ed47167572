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
from matplotlib_inline.backend_inline import set_matplotlib_formats

from dnastudy.study.parameters import FLOOR_NAMES

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
    if FLOOR_NAMES.fullmatch(name):
        return FLOOR
    return OTHERS[zlib.crc32(name.encode()) % len(OTHERS)]


def _marks(names: Iterable[str]) -> dict[str, str]:
    """Markers of a figure's models: one for all but the floors, which share a colour and so have one each."""
    names = set(names)
    marks = dict.fromkeys(names, "o") | {"uniform": "x", "copy": "s"}
    ngrams = sorted(name for name in names - {"uniform", "copy"} if colour(name) == FLOOR)
    return marks | dict(zip(ngrams, itertools.cycle("o^v<>pP*"), strict=False))


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
            draw_points(axes, x, row, value, fmt=marks[model], color=colour(model), label=model, lw=2)
        axes.set(ylabel=f"{label}\nedits: {edits}" if edits else label)
        axes.axhline(reference, color=FLOOR, ls=":", lw=1)
    panels[-1].set_xticks(range(len(strata)), [s.replace(" ", "\n", 1) for s in strata])
    panels[0].legend(ncols=len(models), loc="lower center", bbox_to_anchor=(0.5, 1))
    return panels[0]


def draw_points(axes: Axes, places, table: pd.DataFrame, value: str, *, ends=("low", "high"), along="y", **look):
    """Points of a column with the interval that two others hold, at places on the axis that isn't ``along``."""
    size = {f"{along}err": [table[value] - table[ends[0]], table[ends[1]] - table[value]]}
    x, y = (places, table[value]) if along == "y" else (table[value], places)
    axes.errorbar(x, y, **size, **look)


def grid_of_panels(count: int, columns: int, size: tuple[float, float], *, sharey: bool = True) -> list[Axes]:
    """So many panels of a size (inches), at most ``columns`` in a row; none is left empty."""
    columns = min(columns, count)
    rows = -(-count // columns)
    shape = {"figsize": (size[0] * columns, size[1] * rows), "sharey": sharey, "squeeze": False}
    panels = list(plt.subplots(rows, columns, layout="constrained", **shape)[1].flat)
    for axes in panels[count:]:
        axes.remove()
    return panels[:count]
