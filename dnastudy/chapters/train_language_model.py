"""Draw how models were trained: each function takes a table and returns the Axes it drew on."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from dnastudy.study.figures import FLOOR, colour


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
