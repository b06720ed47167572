"""Chapter 04: what training came to, and how it went."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dnastudy.study.figures import FLOOR, colour


def note_training(run, corpus, trained, history: pd.DataFrame) -> str:
    """Put cost, size and what was seen of a model into the record; returns its validation cost in words."""
    cost, unit = ("masked_bits_per_base", "tokens") if run.model == "bert" else ("bits_per_base", "bases")
    best = getattr(trained, f"validation_{cost}")
    run.metric(f"validation/{cost}", best, unit="bits/base")
    run.metric("parameters", trained.size, unit="numbers")
    run.data["precision"] = trained.precision
    counted = run.train_bases or np.diff(corpus.spans("train")).sum()
    counted *= 1 + run.reverse_complement  # an n-gram reads each strand that it counts once
    run.metric(f"{unit}_seen", history[unit].max() if unit in history else counted, unit=unit)
    return f"{best:.2f} {cost.replace('_', ' ')}"


def draw_history(history: pd.DataFrame) -> Axes:
    """Costs of an n-gram model by order, or curves of training against bases seen (of a BERT, tokens).

    Columns: order, validation_bits_per_base; or bases, train_bits_per_base, validation_bits_per_base (of a BERT tokens
    and bits per token).
    """
    axes = plt.subplots()[1]
    if "order" in history:
        axes.plot(history["order"], history["validation_bits_per_base"], "o-", color=colour("ngram"))
        axes.set(xlabel="order n (n − 1 bases of context)", ylabel="bits per base, validation")
        axes.set_xticks(history["order"])
        return axes
    unit = "token" if "tokens" in history else "base"
    for column in ("train", "validation"):
        axes.plot(history[f"{unit}s"] / 1e6, history[f"{column}_bits_per_{unit}"], color=colour(column), label=column)
    if unit == "base":
        axes.axhline(2.0, color=FLOOR, lw=1, ls=":")
        axes.annotate("uniform", (1, 2.0), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=FLOOR)
    axes.set(xlabel=f"{unit}s seen (millions)", ylabel="bits per base" if unit == "base" else "bits per masked token")
    axes.legend()
    return axes
