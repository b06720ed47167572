"""Turn what the tasks measured into tables with intervals, one row a number."""

from __future__ import annotations

import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dnastudy.files import InputError, nearest
from dnastudy.study.figures import FLOOR, PROTOCOLS, colour
from dnastudy.study.statistics import Interval, compare, ratio_bootstrap, summarise

SEED = re.compile(r"_seed\d+$")  # at the end of the name of a run of a model
DIFFERENCE = ["difference", "low", "high", "verdict", "interval"]


def score_table(scored: dict[str, pd.DataFrame], *, resamples: int, seed: int) -> pd.DataFrame:
    """Bits per base of each model in each stratum, resampling loci."""
    windows = pd.concat([table.assign(model=name) for name, table in scored.items()], ignore_index=True)
    by = ["model", "stratum"]
    found = summarise(windows, by, "bits", "bases", groups="locus", resamples=resamples, seed=seed)
    table = found.drop(columns="interval").rename(columns={"value": "bits", "n": "loci"})
    table.insert(5, "perplexity", 2 ** table["bits"])
    table.insert(6, "bases", windows.groupby(by, sort=False)["bases"].sum().to_numpy())
    return table.assign(interval=found["interval"])


def pool_seeds(scored: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Average the bits of models that differ in their seed alone (lstm, lstm_seed1, ...), window by window."""
    runs: dict[str, list[pd.DataFrame]] = {}
    for name, table in scored.items():
        runs.setdefault(SEED.sub("", name), []).append(table.set_index(["stratum", "window"]))
    return {
        name: tables[0].assign(bits=sum(table["bits"] for table in tables) / len(tables)).reset_index()
        for name, tables in runs.items()
    }


def seed_table(scored: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Bits per base on all windows of each run of the models that ran with several seeds."""
    values: dict[str, list[float]] = {}
    for name, table in scored.items():
        everything = table[table["stratum"] == "all"]
        values.setdefault(SEED.sub("", name), []).append(everything["bits"].sum() / everything["bases"].sum())
    rows = [(n, len(v), np.mean(v), min(v), max(v), np.std(v, ddof=1)) for n, v in values.items() if len(v) > 1]
    return pd.DataFrame(rows, columns=["model", "runs", "mean", "lowest", "highest", "sd"])


def floors_not_beaten(scored: dict[str, pd.DataFrame], floors: list[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """Pairs of a model and a floor in a stratum where the paired difference's interval isn't below zero."""
    parts = [pd.DataFrame(columns=["stratum", "model", "floor", *DIFFERENCE])]
    models = {name: table for name, table in scored.items() if name not in floors}
    for floor in floors:
        against = difference_table(models | {floor: scored[floor]}, against=floor, resamples=resamples, seed=seed)
        parts.append(against[against["verdict"] != "better"].assign(floor=floor))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[["stratum", "model", "floor", *DIFFERENCE[:-1]]]


def protocol_table(
    scored: dict[str, pd.DataFrame], paper: dict[str, float], *, resamples: int, seed: int
) -> pd.DataFrame:
    """Perplexity per scored symbol under the published protocol, beside the paper's own figures."""
    rows = [{"model": name, "corpus": "paper", "perplexity": value} for name, value in paper.items()]
    for corpus, table in scored.items():
        for model, part in table.groupby("model", sort=False):
            row = {"model": model, "corpus": corpus, "perplexity": math.inf}
            if math.isfinite(part["nats"].sum()):
                nats = ratio_bootstrap(part["nats"], part["symbols"], part["locus"], resamples=resamples, seed=seed)
                interval = Interval(*(math.exp(value) for value in nats[:3]), nats.n)
                row |= {"perplexity": interval.value, "low": interval.low, "high": interval.high, "interval": interval}
            rows.append(row)
    return pd.DataFrame(rows, columns=["model", "corpus", "perplexity", "low", "high", "interval"])


def difference_table(scored: dict[str, pd.DataFrame], *, against: str, resamples: int, seed: int) -> pd.DataFrame:
    """Bits per base of each model minus those of ``against`` on the windows of which both scored as many ``bases``."""
    if against not in scored:
        raise InputError(f"against={against!r}: no such model here; {nearest(against, scored)}")
    windows = pd.concat([table.assign(model=name) for name, table in scored.items()])
    how = {"groups": "locus", "resamples": resamples, "seed": seed}
    found = compare(windows, ["model", "stratum"], "bits", "bases", against=against, on=["window"], **how)
    return with_verdict(found, lower_is_better=True)[["model", "stratum", "bases", *DIFFERENCE]]


def with_verdict(differences: pd.DataFrame, *, lower_is_better: bool) -> pd.DataFrame:
    """Differences of `compare` with what they say: better, worse, tie, or unknown where there is no interval."""
    below, above = ("better", "worse") if lower_is_better else ("worse", "better")
    said = [differences["low"].isna(), differences["high"] < 0, differences["low"] > 0]
    return differences.assign(verdict=np.select(said, ["unknown", below, above], "tie").astype(object))


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


def draw_protocol(protocol: pd.DataFrame) -> Axes:
    """Perplexities of `protocol_table`, a row a model and a mark a corpus; an infinite or missing one has no mark."""
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
