"""Pairs of real and mutated sequences for 08_detect_mutations, and tables and figures of how they are told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from dnastudy.chapters.compare_models import DIFFERENCE, with_verdict
from dnastudy.files import InputError, sha256
from dnastudy.genes import place_variants, read_variants, whole_genes, windows
from dnastudy.genes.codes import known_bases
from dnastudy.study.figures import FLOOR, _marks, colour
from dnastudy.study.inputs import member_of, some_of
from dnastudy.study.statistics import compare, summarise
from dnastudy.tasks import make_pairs, make_published_pairs, make_variant_pairs, read_pairs
from dnastudy.tasks.mutation import LONGEST_GENE, substituted_places
from dnastudy.tasks.published import NEURAL, PUBLISHED_ACCURACY


def build_pairs(run, corpus):
    """Real and mutated sequences for 08_detect_mutations: the user's, or stretches of test genes with edits."""
    if run.pairs:
        pairs = read_pairs(run.pairs)
        letters = pd.concat([pairs["real"], pairs["mutated"]])
        if unknown := letters.str.len().sum() - known_bases(letters).sum():
            run.note(f"{unknown:,} letters of the pairs aren't A, C, G or T; they are read as unknown and not scored")
        return pairs.assign(group=pairs["id"], places=None)
    stretches = _stretches(run, corpus)
    run.note_fewer("genes", len(stretches))
    design = [
        (kind, edits)
        for kind in run.listed("kinds")
        for edits in run.listed("edits" if kind == "substitution" else "indel_edits", int)
    ]
    if not design:
        raise InputError("no pair to make: name one or more kinds, and a number of edits for each")
    most = max(edits for _, edits in design)
    enough = known_bases(stretches["real"]) > most
    if 0 < enough.sum() < len(enough):
        run.note(f"{(~enough).sum()} test genes hold no more than {most} known bases, too few to edit: left out")
        stretches = stretches[enough].reset_index(drop=True)
    parts = []
    for number, (kind, edits) in enumerate(design):
        how = {"edits": edits, "kinds": [kind], "seed": run.seed + number}
        pairs = make_pairs(stretches["real"], ids=stretches["id"], **how)
        places = substituted_places(pairs, stretches["start"])
        parts.append(pairs.assign(group=stretches["locus"], places=places))
    return pd.concat(parts, ignore_index=True)


def build_published_pairs(run, corpus):
    """Pairs of the published protocol: whole test genes where none is longer than the paper's, else stretches."""
    most_edits = run.listed("published_most", int)
    reasons = {"published_draws is 0": run.published_draws < 1, "published_most is empty": not most_edits}
    if _left_out(run, "the published protocol", reasons):
        return pd.DataFrame()
    chosen = _named(corpus, whole_genes(corpus, "test"))
    if chosen["real"].str.len().max() > LONGEST_GENE:
        chosen = _stretches(run, corpus)
        run.note(f"test genes are longer than {LONGEST_GENE:,} bases: the published protocol is run on the stretches")
    locus = dict(zip(chosen["id"], chosen["locus"], strict=True))
    parts = []
    for most in most_edits:
        how = {"most": most, "draws": run.published_draws, "seed": run.seed + most}
        pairs = make_published_pairs(chosen["real"], ids=chosen["id"], **how)
        parts.append(pairs.assign(most=most, group=pairs["id"].map(locus)))
    return pd.concat(parts, ignore_index=True)


def build_variant_pairs(run, corpus):
    """Known variants in test genes, reference beside alternative allele, with controls; notes say what is left out."""
    section = "variants that people carry"
    test = set(corpus.genes["contig"].iloc[corpus.indices("test")])
    reasons = {"variants is 0": run.variants < 1, "ready sequences have no place on a contig": test == {""}}
    if _left_out(run, section, reasons):
        return pd.DataFrame()
    path = member_of(run.variants_dataset, "variants")
    variants = read_variants(path)
    elsewhere = ~variants["contig"].isin(test)
    unmatched = (
        f"{path.name} has variants on {some_of(variants['contig'])}, and the test genes are on {some_of(test)}; "
        "name contigs alike (22 and chr22 are the same), or give another file as variants_dataset"
    )
    reasons = {f"{path.name} holds no single-base variant": variants.empty, unmatched: elsewhere.all()}
    if _left_out(run, section, reasons):
        return pd.DataFrame()
    placed = place_variants(corpus, variants[~elsewhere])
    agreeing = placed[placed["agrees"]]
    other = list(placed["id"][~placed["agrees"]])
    run.data["variants"] = {
        "file": path.name,
        "sha256": sha256(path),
        "on_other_contigs": int(elsewhere.sum()),
        "in_test_genes": len(placed),
        "not_the_reference_allele": other,
    }
    if 2 * len(other) > len(placed):
        raise InputError(
            f"{path}: at {len(other):,} of {len(placed):,} variants in test genes the corpus doesn't have the "
            "reference allele; check that both are of the same assembly, or set variants to 0"
        )
    run.note(
        f"{path.name}: {len(variants):,} single-base variants, {elsewhere.sum():,} of which on contigs without test "
        f"genes; {len(placed):,} in test genes, {len(other):,} of which left out since the gene doesn't have the "
        f"reference allele; {min(run.variants, len(agreeing)):,} scored"
    )
    chosen = agreeing.sample(min(run.variants, len(agreeing)), random_state=run.seed).sort_index()
    return make_variant_pairs(corpus, chosen, length=run.length, seed=run.seed).rename(columns={"locus": "group"})


def draw_detection(accuracy: pd.DataFrame, *, beside: pd.DataFrame | None = None) -> Axes:
    """A part of `accuracy_table` by number of edits, a line a model; that of another score ``beside`` it, dashed."""
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
    models, marks = dict.fromkeys(accuracy["model"]), _marks(accuracy["model"])
    what = {"x": "kind", "y": "correct", "hue": "model", "col": "score", "kind": "point", "linestyle": "none"}
    look = {"palette": {m: colour(m) for m in models}, "markers": [marks[m] for m in models], "dodge": 0.3}
    grid = sns.catplot(accuracy, **what, **look, height=3.4, aspect=1.05)
    for axes in grid.axes.flat:
        axes.axhline(0.5, color=FLOOR, ls=":", lw=1)
    grid.set_axis_labels("", "share of pairs told right").set_titles("by {col_name}").set(ylim=(-0.03, 1.03))
    return grid.axes.flat[0]


def draw_published_accuracy(table: pd.DataFrame) -> Axes:
    """`published_accuracy_table`: here (filled, 95% interval) and in the paper (open, its seeds' range)."""
    scores, models, ticks = (list(dict.fromkeys(table[column])) for column in ("score", "model", "most"))
    panels = plt.subplots(1, len(scores), figsize=(9, 3.8), sharey=True, squeeze=False)[1][0]
    marks = _marks(models)
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


def accuracy_difference_table(
    judged: pd.DataFrame, by: list[str], *, against: str, resamples: int, seed: int
) -> pd.DataFrame:
    """Accuracy of each model minus that of ``against`` on the same pairs, in groups, with paired intervals."""
    judged = judged.iloc[np.argsort(judged.groupby(by, sort=False).ngroup(), kind="stable")]
    by = [*by, "model"]
    judged = judged.assign(pair=judged.groupby(by, sort=False).cumcount())
    how = {"groups": "group", "resamples": resamples, "seed": seed}
    found = compare(judged, by, "correct", against=against, on=["pair"], **how)
    return with_verdict(found, lower_is_better=False)[[*by, *DIFFERENCE]]


def accuracy_table(judged: pd.DataFrame, by: list[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """Share of pairs told right, in groups of rows, resampling what ``group`` numbers (loci)."""
    found = summarise(judged, by, "correct", groups="group", resamples=resamples, seed=seed)
    found["n"] = judged.groupby(by, sort=False).size().to_numpy()
    return found.rename(columns={"value": "accuracy", "n": "pairs"})


def published_accuracy_table(accuracy: pd.DataFrame, models: Mapping[str, object]) -> pd.DataFrame:
    """Accuracy in the published task beside that of the paper's model of the same name or kind."""
    rows = []
    for row in accuracy.drop(columns="interval").to_dict("records"):
        name = NEURAL.get(models[row["model"]].kind, row["model"])
        seeds = PUBLISHED_ACCURACY.get((row["score"], name, row["most"]), (math.nan,))
        paper = {"published": sum(seeds) / len(seeds), "published_low": min(seeds), "published_high": max(seeds)}
        rows.append(row | paper)
    return pd.DataFrame(rows)


def _stretches(run, corpus):
    """Evenly spread stretches of test genes: the windows chosen, with ``id`` and ``real`` (letters)."""
    return _named(corpus, windows(corpus, "test", length=run.length, count=run.genes, seed=run.seed))


def _named(corpus, chosen):
    """Windows with the letters in them (``real``) and a name each (``id``): gene and first base, 1-based."""
    ids = corpus.genes["id"].to_numpy()[chosen["gene"]]
    first = chosen["start"].to_numpy() - corpus.offsets[chosen["gene"]] + 1
    return chosen.assign(id=[f"{i}:{at}" for i, at in zip(ids, first, strict=True)], real=corpus.cut(chosen))


def _left_out(run, section: str, reasons: dict[str, bool]) -> bool:
    """Note the first reason that holds for leaving a section of 08_detect_mutations out, if one does."""
    reasons = {"your own pairs are judged": bool(run.pairs)} | reasons
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        run.note(f"{section}: left out, since {reason}")
    return reason is not None
