"""How generated sequence differs from held-out genes, measured by how much training genes differ from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from scipy.stats import ks_2samp

from dnastudy.files import InputError
from dnastudy.genes.codes import as_codes
from dnastudy.genes.corpus import Corpus, windows
from dnastudy.genes.motifs import SpliceSite, fit_splice_sites, site_density
from dnastudy.study.figures import FLOOR, colour
from dnastudy.tasks.composition import (
    dinucleotide_odds,
    jensen_shannon,
    longest_orfs,
    longest_runs,
    run_counts,
    spectrum_divergence,
    tabulate_odds,
    tabulate_runs,
)
from dnastudy.tasks.discriminator import tell_apart
from dnastudy.tasks.memorization import hide, longest_copies, repeat_shares

HELD_OUT, TRAIN = "held out", "train"
SAMPLES = 5  # of training genes, whose mean distance is the measure of all others
SPARE = 8  # times as many training windows are drawn as are needed, where some are short


class Property(NamedTuple):
    """What a column of `describe` or `compare` is called, and in what unit it is."""

    label: str
    unit: str


PROPERTIES = {
    "gc": Property("GC content", "share"),
    "cpg": Property("CpG, observed/expected", "ratio"),
    "longest_run": Property("longest run of one base", "bases"),
    "longest_orf": Property("longest reading frame", "bases"),
    "longest_orf_either": Property("the same on either strand", "bases"),
    "donor_sites": Property("donor sites", "per kb"),
    "acceptor_sites": Property("acceptor sites", "per kb"),
    "repeat_share": Property("repeats", "share"),
    "longest_copy": Property("longest copy from training", "bases"),
}


class Comparison(NamedTuple):
    """The tables of `compare`; each names a row's set in a column ``set``."""

    sequences: pd.DataFrame
    spectra: pd.DataFrame
    dinucleotides: pd.DataFrame
    runs: pd.DataFrame
    discriminator: pd.DataFrame
    distances: pd.DataFrame


def compare(
    generated: Mapping[str, Sequence[str]],
    corpus: Corpus,
    held_out: pd.DataFrame,
    *,
    epochs: int = 20,
    seed: int = 0,
    device: str | None = None,
) -> Comparison:
    """Compare sets of generated sequences with windows of held-out genes.

    Sets "train" (windows of training genes) and "held out" are added for reference. Every set is cut to the number and
    the lengths of the held-out windows, since most measures depend on them.
    """
    lengths = (held_out["end"] - held_out["start"]).to_numpy()
    drawn = [_train_windows(corpus, lengths, seed + i) for i in range(SAMPLES)]
    pieces = {f"{TRAIN} {i}": corpus.cut(chosen) for i, chosen in enumerate(drawn)}
    everything = _cut(generated, lengths) | pieces | {HELD_OUT: corpus.cut(held_out)}
    for name, sequences in everything.items():
        if not any(map(len, sequences)):
            raise InputError(f"set {name!r}: no sequence; expected at least one base in every set")
    table = describe(everything, fit_splice_sites(corpus))
    _look_up(table, everything, corpus, drawn)
    against = {name: sequences for name, sequences in everything.items() if name != HELD_OUT}
    spectra = _relative(spectrum_divergence(against, everything[HELD_OUT]), "k", "divergence")
    shown = {name: against[name] for name in generated} | {TRAIN: against[f"{TRAIN} 0"]}
    discriminator = []
    for name, sequences in shown.items():
        loci = drawn[0]["locus"].to_numpy() if name == TRAIN else np.arange(len(sequences))
        how = {"groups": (held_out["locus"].to_numpy(), loci), "epochs": epochs, "seed": seed, "device": device}
        found = tell_apart(everything[HELD_OUT], sequences, **how)
        found.insert(0, "set", name)
        discriminator.append(found)
    shown |= {HELD_OUT: everything[HELD_OUT]}
    apart = _relative(distances(everything, table), "property", "distance")
    table["set"] = table["set"].replace(f"{TRAIN} 0", TRAIN)
    return Comparison(
        sequences=table[table["set"].isin(shown)].reset_index(drop=True),
        spectra=spectra,
        dinucleotides=tabulate_odds(shown),
        runs=tabulate_runs(shown),
        discriminator=pd.concat(discriminator, ignore_index=True),
        distances=apart,
    )


def _cut(generated: Mapping[str, Sequence[str]], lengths: np.ndarray) -> dict[str, list[str]]:
    """Generated sets cut to the number and lengths of the held-out windows."""
    clash = {HELD_OUT, TRAIN} & set(generated)
    if clash:
        raise InputError(f"set {clash.pop()!r}: that name is a reference's; call the generated set otherwise")
    return {
        name: [sequence[:length] for sequence, length in zip(sequences, lengths, strict=False)]
        for name, sequences in generated.items()
    }


def _look_up(
    table: pd.DataFrame, sets: Mapping[str, Sequence[str]], corpus: Corpus, drawn: Sequence[pd.DataFrame]
) -> None:
    """Add ``repeat_share`` (drawn windows hidden) and ``longest_copy`` (hidden from themselves alone)."""
    rest = hide(corpus, pd.concat(drawn, ignore_index=True))
    flat = [sequence for sequences in sets.values() for sequence in sequences]
    if "repeat" in set(corpus.intervals["kind"]):
        table["repeat_share"] = repeat_shares(flat, corpus, rest)
    ours = table["set"].isin([f"{TRAIN} {i}" for i in range(SAMPLES)]).to_numpy()
    for mask, codes in ((ours, rest), (~ours, corpus.all_codes)):
        looked_up = [sequence for sequence, here in zip(flat, mask, strict=True) if here]
        train = [codes[start:end] for start, end in corpus.spans("train")]
        table.loc[mask, "longest_copy"] = longest_copies(looked_up, train)


def describe(sets: Mapping[str, Sequence[str]], sites: Mapping[str, SpliceSite]) -> pd.DataFrame:
    """Composition, runs, reading frames and splice sites of each sequence."""
    tables = []
    for name, sequences in sets.items():
        counts = np.array([np.bincount(as_codes(sequence), minlength=5)[:4] for sequence in sequences])
        bases = counts.sum(axis=1)
        cpg = np.array([sequence.upper().count("CG") for sequence in sequences])
        with np.errstate(divide="ignore", invalid="ignore"):
            gc = (counts[:, 1] + counts[:, 2]) / bases
            ratio = cpg / (counts[:, 1] * counts[:, 2] / bases)
        columns = {"set": name, "sequence": np.arange(len(sequences)), "bases": bases, "gc": gc, "cpg": ratio}
        columns |= {"longest_run": longest_runs(sequences), "longest_orf": longest_orfs(sequences)}
        columns["longest_orf_either"] = longest_orfs(sequences, both_strands=True)
        columns |= {f"{kind}_sites": site_density(sequences, site) for kind, site in sites.items()}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def distances(sets: Mapping[str, Sequence[str]], table: pd.DataFrame) -> pd.DataFrame:
    """How far each set is from the one named "held out", property by property.

    k-mers and the lengths of runs by base: Jensen-Shannon divergence (bits); dinucleotides: mean absolute difference
    of their odds (Karlin & Burge 1995); what each sequence has a value of: the largest difference between the
    cumulative distributions (Kolmogorov-Smirnov, 0 to 1).
    """
    real = sets[HELD_OUT]
    odds, runs = dinucleotide_odds(real), run_counts(real).ravel()
    others = {name: sequences for name, sequences in sets.items() if name != HELD_OUT}
    divergence = spectrum_divergence(others, real, (3, 6))
    rows = [(f"{row.k}-mers", row.set, row.divergence) for row in divergence.itertuples()]
    for name, sequences in others.items():
        rows.append(("dinucleotides", name, float(np.abs(dinucleotide_odds(sequences) - odds).mean())))
    for name, sequences in others.items():
        rows.append(("runs of one base", name, jensen_shannon(run_counts(sequences).ravel(), runs)))
    for column in [column for column in PROPERTIES if column in table]:
        values = {name: part.dropna().to_numpy() for name, part in table.groupby("set")[column]}
        for name in others:
            known = len(values[name]) and len(values[HELD_OUT])
            statistic = ks_2samp(values[name], values[HELD_OUT], method="asymp").statistic if known else np.nan
            rows.append((PROPERTIES[column].label, name, float(statistic)))
    return pd.DataFrame(rows, columns=["property", "set", "distance"])


def _train_windows(corpus: Corpus, lengths: np.ndarray, seed: int) -> pd.DataFrame:
    """Windows of training genes of exactly ``lengths``, in their order, without those that no gene left is long for."""
    longest = int(lengths.max(initial=1))
    drawn = windows(corpus, "train", length=longest, count=len(lengths), seed=seed)
    if len(drawn) == len(lengths) and (drawn["end"] - drawn["start"] >= lengths).all():
        return drawn.assign(end=drawn["start"] + lengths)
    drawn = windows(corpus, "train", length=longest, count=SPARE * len(lengths), seed=seed)
    drawn = drawn.sample(frac=1, random_state=seed)
    room = (drawn["end"] - drawn["start"]).to_numpy(copy=True)
    taken = {}
    for number in np.argsort(-lengths, kind="stable"):  # who needs most chooses first
        fitting = np.flatnonzero(room >= lengths[number])
        if len(fitting):
            taken[number] = fitting[0]
            room[fitting[0]] = -1
    numbers = sorted(taken)
    chosen = drawn.iloc[[taken[number] for number in numbers]].reset_index(drop=True)
    return chosen.assign(end=chosen["start"] + lengths[numbers])


def _relative(table: pd.DataFrame, key: str, value: str) -> pd.DataFrame:
    """Divide by the mean of the training samples; they become one row, with their extremes as low and high."""
    sample = table["set"].str.fullmatch(rf"{TRAIN} \d+")
    samples = table[sample].groupby(key, sort=False)[value].agg(["mean", "min", "max"])
    scale = samples["mean"].where(samples["mean"] > 0)
    train = pd.DataFrame({key: samples.index, "set": TRAIN, value: samples["mean"].to_numpy()})
    train["low"], train["high"] = (samples[["min", "max"]].div(scale, axis=0)).to_numpy().T
    result = pd.concat([table[~sample], train], ignore_index=True)
    result["relative"] = result[value] / result[key].map(scale)
    order = list(dict.fromkeys(table[key]))
    return result.sort_values(key, key=lambda keys: keys.map(order.index), kind="stable", ignore_index=True)


def draw_spectra(spectra: pd.DataFrame) -> Axes:
    """Spectra of `Comparison`: divergence from held-out genes relative to that of ``train``, a line a set."""
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
    """Box plots of those columns that ``labels`` names of `Comparison.sequences`, a panel each, a box a set."""
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
    look = {"cmap": "RdBu_r", "vmin": 0.4, "vmax": 1.6, "cbar_kws": {"label": "odds"}}
    sns.heatmap(by_set, annot=True, fmt=".2f", annot_kws={"size": 8}, ax=axes, **look)
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
    """Heat map of `Comparison.distances` relative to those of ``train``, whose column gives their range."""
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
