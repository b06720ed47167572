"""Tables and figures of what was extracted: what was dropped, how long genes are, what splits share."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from dnastudy.study.figures import COLOURS, colour
from dnastudy.study.inputs import annotated

CHANGES = {
    "lower_case_read_as_upper": ("lower case, read as upper", "bases"),
    "iupac_read_as_unknown": ("IUPAC codes, read as unknown", "bases"),
    "unknown": ("unknown bases in all", "bases"),
}


def input_counts(corpus):
    """What the extraction dropped and what it did to its input: DataFrame of what, count, unit."""
    rows = [(reason, count, "genes") for reason, count in corpus.info["dropped"].items()]
    contigs = corpus.info.get("contigs", {})
    letters = list(contigs.values()) or [corpus.info["letters"]]  # ready sequences have no contigs
    rows += [(what, sum(each[field] for each in letters), unit) for field, (what, unit) in CHANGES.items()]
    aliases = [{contig["name"], contig["name_in_annotation"] or name, name} for name, contig in contigs.items()]
    renamed = sum(len(names) > 1 for names in aliases)
    rows.append(("contigs under another name", renamed, "contigs"))
    rows.append(("contigs without an annotated gene", len(contigs) - len(annotated(corpus)), "contigs"))
    return pd.DataFrame(rows, columns=["what", "count", "unit"])


def draw_gene_lengths(genes: pd.DataFrame) -> Axes:
    """Histogram of gene lengths on a logarithmic axis, a line for each split. Columns: length (bases), split."""
    axes = plt.subplots()[1]
    order = [s for s in ("train", "validation", "test") if s in set(genes["split"])]
    sns.histplot(
        genes,
        x="length",
        hue="split",
        hue_order=order,
        palette=COLOURS,
        log_scale=True,
        element="step",
        stat="probability",
        common_norm=False,
        bins=30,
        alpha=0.15,
        ax=axes,
    )
    axes.set(xlabel="gene length (bases)", ylabel="share of the split's genes")
    return axes


def draw_sharing(coverage: pd.DataFrame) -> Axes:
    """Sorted share of each held-out gene that stands in train, exactly. Columns: split, share (0 to 1)."""
    axes = plt.subplots()[1]
    for split, part in coverage.groupby("split", sort=False):
        shares = np.sort(part["share"].to_numpy())[::-1]
        axes.step(np.linspace(0, 1, len(shares)), shares, where="mid", color=colour(split), label=split)
    axes.set(
        xlabel="genes, most shared first",
        ylabel="share of bases in a 31-mer of train",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.legend()
    return axes
