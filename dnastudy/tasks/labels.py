"""Label sets: windows of real contigs with what each is, divided into what is learnt from and what is held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnastudy.files import InputError, nearest
from dnastudy.genes.fasta import encode
from dnastudy.genes.motifs import Motif, log_odds
from dnastudy.tasks.label_places import cut, look_alikes, match, motif_hits, repeat_share, thin, windows_about
from dnastudy.tasks.label_splits import BLOCK, assign, divide, hold_out
from dnastudy.tasks.negatives import dinucleotide_shuffle, token_shuffle
from dnastudy.tasks.regions import covered
from dnastudy.tasks.splice_sites import WIDTHS
from dnastudy.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    import pandas as pd

NEGATIVES = ("tokens", "dinucleotides", "genomic")
ABOUT = 5000  # bases on each side of a transcription start that are searched for it


class LabelSet(NamedTuple):
    """Sequences and what each of them is.

    Attributes
    ----------
    name
        Of the set.
    table
        contig, start, end (0-based, half-open), strand, label (int64, from 0), split ("train", "validation" or
        "test"), group (int64: what a bootstrap draws together), shared (bool: whether a held-out sequence stands in
        what is learnt from, whole or with 31 of its bases, on either strand); of some sets core_start and core_end,
        the bases of the sequence that its label hangs on, like, the class that its core looks like, and repeats, the
        share of it that lies in one. Others are the track's own.
    codes
        Base codes of each row, uint8, in its own orientation.
    classes
        Name of each label.
    facts
        What the set was made of, plain values by name.
    """

    name: str
    table: pd.DataFrame
    codes: list[np.ndarray]
    classes: tuple[str, ...]
    facts: dict


def promoters(
    genome: Mapping[str, np.ndarray],
    starts: pd.DataFrame,
    splits: Mapping[str, str],
    *,
    negatives: str = "genomic",
    known: pd.DataFrame | None = None,
    tokenizer: Tokenizer | None = None,
    repeats: pd.DataFrame | None = None,
    before: int = 250,
    after: int = 50,
    most: Mapping[str, int] | int | None = None,
    drop_shared: bool = False,
    seed: int = 0,
) -> LabelSet:
    """Prom300: the sequence about each transcription start beside as much that holds none.

    With one seed the promoters are the same whatever the kind of negatives: each has a real window nearby that matches
    it, in the same split. With ``drop_shared`` they may differ, since a pair goes if its negative shares bases too.

    Parameters
    ----------
    genome
        Base codes (uint8) by contig.
    starts
        contig, position, strand. One that follows another on its strand within the window's length is left out, so
        that windows of one strand don't overlap.
    splits
        Contigs, each "train" or "test" (see `dnastudy.tasks.label_splits.divide`).
    negatives
        "tokens": each promoter with its tokens shuffled, as in Sanabria et al. 2024; "dinucleotides": with its
        dinucleotides shuffled; "genomic": the real window that matches it, on its strand. A pair is drawn, or
        dropped, together.
    known
        contig, position of all annotated starts, of whatever transcript; a match keeps away from them as from
        ``starts`` (see `dnastudy.tasks.negatives.matched_windows`).
    tokenizer
        Whose tokens are shuffled.
    repeats
        Intervals (contig, start, end), in whose share a match is like its promoter; None: it isn't compared.
    before, after
        Bases before the start, and from it on.
    most, drop_shared, seed
        See `dnastudy.tasks.label_splits.hold_out`.

    Raises
    ------
    InputError
        When there is no such kind of negatives, no tokenizer to make them with, no start on these contigs, or a split
        is left without a class.
    """
    import pandas as pd

    if negatives not in NEGATIVES:
        raise InputError(f"negatives {negatives!r}; {nearest(negatives, NEGATIVES)}")
    if negatives == "tokens" and tokenizer is None:
        raise InputError("negatives 'tokens': no tokenizer whose tokens could be shuffled; give one of byte pairs")
    regions, width = divide(genome, splits), before + after
    everywhere = pd.concat([starts, known])
    starts, dropped = thin(_starts_on("Prom300", starts, splits), width)
    left = np.where(starts["strand"] == "+", before, after - 1)
    positives = starts.assign(start=starts["position"] - left, end=starts["position"] - left + width, label=1)
    positives["core_start"], positives["core_end"] = before, before + 1
    positives, codes = cut(genome, positives, dropped)
    positives = assign(positives, regions)
    positives["unit"] = np.arange(len(positives))
    found = match(genome, positives, regions, everywhere, repeats, seed)
    matched = found >= 0
    dropped["promoter without a match"] = int((~matched).sum())
    positives, codes = positives[matched], [each for each, kept in zip(codes, matched, strict=True) if kept]
    others = positives.assign(label=0)
    rng = np.random.default_rng(seed)
    if negatives == "genomic":
        others["start"], others["end"] = found[matched], found[matched] + width
        others, theirs = cut(genome, others, dropped)
    elif negatives == "tokens":
        theirs = [token_shuffle(each, tokenizer, rng) for each in codes]
    else:
        theirs = [dinucleotide_shuffle(each, rng) for each in codes]
    table, codes = pd.concat([positives, others], ignore_index=True), codes + theirs
    if repeats is not None and negatives == "genomic":
        table["repeats"] = repeat_share(table, repeats)
    facts = {"contigs": dict(splits), "before": before, "negatives": negatives, "dropped": dropped}
    classes = ("no promoter", "promoter")
    return _finish("Prom300", table, codes, classes, facts, "pair", most, drop_shared, seed)


def promoter_scan(
    genome: Mapping[str, np.ndarray],
    starts: pd.DataFrame,
    splits: Mapping[str, str],
    *,
    known: pd.DataFrame | None = None,
    width: int = 1000,
    stride: int = 500,
    most: Mapping[str, int] | int | None = None,
    drop_shared: bool = False,
    seed: int = 0,
) -> LabelSet:
    """PromScan: which windows of the 10 kb about transcription starts hold one.

    Windows begin at the multiples of ``stride`` on a contig, so that those of neighbouring genes are the same, and a
    start stands anywhere in its window. A window comes once, on the strand of the start next to its middle, and is
    positive with a start on either strand, since most promoters are read both ways. All windows next to a start are
    drawn together, positive and negative as they come.

    Parameters
    ----------
    genome, starts, splits, most, drop_shared, seed
        See `promoters`; no start is left out, and since the windows next to one are drawn together, ``most`` may be
        passed by those of the last.
    known
        contig, position of all annotated starts, of whatever transcript; a window that would be negative and holds one
        is left out.
    width, stride
        Bases of a window, and between the begins of two.
    """
    import pandas as pd

    regions = divide(genome, splits)
    starts = _starts_on("PromScan", starts, splits).sort_values(["contig", "position"], ignore_index=True)
    known = pd.concat([starts, known])
    windows = [
        windows_about(*(table[table["contig"] == contig] for table in (starts, known)), ABOUT, width, stride)
        for contig in splits
    ]
    windows = pd.concat(windows, ignore_index=True)
    doubtful = windows["label"] < 0
    dropped = {"no start but another known one": int(doubtful.sum())}
    table, codes = cut(genome, windows[~doubtful], dropped)
    table, classes = assign(table, regions), ("no start", "start")
    facts = {"contigs": dict(splits), "stride": stride, "about": 2 * ABOUT, "dropped": dropped}
    return _finish("PromScan", table, codes, classes, facts, "locus", most, drop_shared, seed)


def ctcf_sites(
    genome: Mapping[str, np.ndarray],
    motif: Motif,
    bound: pd.DataFrame,
    splits: Mapping[str, str],
    *,
    threshold: float = 10.0,
    width: int = 200,
    most: Mapping[str, int] | int | None = None,
    drop_shared: bool = False,
    seed: int = 0,
) -> LabelSet:
    """CTCF: places where the motif stands, bound or not.

    Of places that overlap, the one that scores highest is taken; its window has the motif in its middle, on the
    strand on which it scores. A motif that lies partly in a bound interval is left out, and so are contigs that have
    none. As many of either class are drawn.

    Parameters
    ----------
    genome, splits, most, drop_shared, seed
        See `promoters`.
    motif
        What is looked for, on either strand.
    bound
        Bound intervals: contig, start, end.
    threshold
        The least score, in bits against equal shares of the bases.
    width
        Bases of a window.
    """
    import pandas as pd

    regions, dropped, parts = divide(genome, splits), {}, []
    weights = log_odds(motif)
    for contig in splits:
        hits = motif_hits(genome[contig], weights, threshold).assign(contig=contig)
        intervals = bound[bound["contig"] == contig]
        hits["inside"] = covered(hits["site"].to_numpy(), hits["site"].to_numpy() + len(weights), intervals)
        parts.append(hits)
    table = pd.concat(parts, ignore_index=True)
    silent = ~table["contig"].isin(bound["contig"])  # what binds there isn't known
    partly = (table["inside"] > 0) & (table["inside"] < len(weights))
    dropped["motif on a contig without a bound interval"] = int(silent.sum())
    dropped["motif partly in a bound interval"] = int(partly.sum())
    table = table[~(partly | silent)].reset_index(drop=True)
    table["label"] = (table.pop("inside") > 0).astype(np.int64)
    before = width // 2 - len(weights) // 2
    after = width - before - len(weights)
    table["start"] = table.pop("site") - np.where(table["strand"] == "+", before, after)
    table["end"] = table["start"] + width
    table["core_start"], table["core_end"] = before, before + len(weights)
    table, codes = cut(genome, table, dropped)
    facts = {"contigs": dict(splits), "motif": motif.id, "threshold": threshold, "dropped": dropped}
    table, classes = assign(table, regions), ("unbound", "bound")
    return _finish("CTCF", table, codes, classes, facts, "class", most, drop_shared, seed)


def splice_labels(
    genome: Mapping[str, np.ndarray],
    sites: pd.DataFrame,
    splits: Mapping[str, str],
    *,
    width: int = 100,
    most: Mapping[str, int] | int | None = None,
    drop_shared: bool = False,
    seed: int = 0,
) -> LabelSet:
    """Splice: donors and acceptors beside places that look like them.

    A window has the border between exon and intron in its middle. For each donor and each acceptor a place is drawn
    between the outermost borders of its gene that has GT after it, or AG before it, as a donor or an acceptor has, and
    is no border on either strand; so that half of those that are neither look like either. As many of each class are
    drawn.

    Parameters
    ----------
    genome, splits, most, drop_shared, seed
        See `promoters`.
    sites
        contig, border (bases left of it on the forward strand), strand, kind ("donor" or "acceptor"), gene.
    width
        Bases of a window.
    """
    import pandas as pd

    regions, dropped = divide(genome, splits), {}
    sites = sites[sites["contig"].isin(splits)].drop_duplicates(["contig", "border", "strand"], ignore_index=True)
    rng = np.random.default_rng(seed)
    like = [look_alikes(genome[contig], here, rng) for contig, here in sites.groupby("contig", sort=False)]
    real = sites.assign(label=sites["kind"].map({"donor": 1, "acceptor": 2}).astype(np.int64))
    table = pd.concat([real, *like], ignore_index=True)
    dropped["gene without a look-alike left"] = 2 * len(sites) - len(table)
    table["start"] = table["border"] - width // 2
    table["end"] = table["start"] + width
    reach = np.array([WIDTHS[kind] for kind in table["kind"]], dtype=np.int64).reshape(-1, 2)
    table["core_start"], table["core_end"] = width // 2 - reach[:, 0], width // 2 + reach[:, 1]
    table, codes = cut(genome, table.drop(columns=["border", "gene"]).rename(columns={"kind": "like"}), dropped)
    facts = {"contigs": dict(splits), "negatives": "GT or AG inside the same genes", "dropped": dropped}
    table, classes = assign(table, regions), ("neither", "donor", "acceptor")
    return _finish("splice", table, codes, classes, facts, "class", most, drop_shared, seed)


def accessible(
    elements: pd.DataFrame,
    *,
    most: Mapping[str, int] | int | None = None,
    drop_shared: bool = False,
    seed: int = 0,
) -> LabelSet:
    """DNase: in which cell type an element is accessible. The split is the elements' own.

    Parameters
    ----------
    elements
        contig, start, end, cell, split, sequence (of the forward strand).
    most, drop_shared, seed
        See `promoters`.
    """
    classes = tuple(sorted(elements["cell"].unique()))
    table = elements.reset_index(drop=True)
    codes = [encode(sequence) for sequence in table.pop("sequence")]
    table["label"] = table.pop("cell").map({name: number for number, name in enumerate(classes)}).astype(np.int64)
    blocks = table["contig"] + ":" + (table["start"] // BLOCK).astype(str)
    table = table.assign(strand="+", group=blocks.factorize()[0])
    return _finish("DNase", table, codes, classes, {}, "class", most, drop_shared, seed)


def _starts_on(name: str, starts: pd.DataFrame, contigs: Mapping[str, str]) -> pd.DataFrame:
    """Transcription starts on some contigs, one at least."""
    found = starts[starts["contig"].isin(contigs)]
    if found.empty:
        raise InputError(
            f"{name}: no transcription start on {', '.join(contigs)}; expected protein-coding transcripts whose 5' end "
            "is complete. Give an annotation that has some, or leave this label set out"
        )
    return found


def _finish(
    name: str,
    table: pd.DataFrame,
    codes: list[np.ndarray],
    classes: tuple[str, ...],
    facts: dict,
    by: str,
    most: Mapping[str, int] | int | None,
    drop_shared: bool,
    seed: int,
) -> LabelSet:
    """Divide and draw."""
    table, codes, rows = hold_out(name, table, codes, classes, by=by, most=most, drop_shared=drop_shared, seed=seed)
    return LabelSet(name, table, codes, classes, {**facts, **rows, "drop_shared": drop_shared, "seed": seed})
