"""Make a corpus of genes from FASTA and annotation, and count everything dropped or changed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError, nearest, sha256
from dnastudy.genes.annotation import Annotation, check_ends, read_annotation
from dnastudy.genes.codes import UNKNOWN, reverse_complement
from dnastudy.genes.contigs import name_contigs
from dnastudy.genes.corpus import Corpus, contig_line, write_corpus
from dnastudy.genes.fasta import canonical_contig, read_fasta
from dnastudy.genes.intervals import label_loci, lift, merge, orient, read_track
from dnastudy.genes.split import (
    COPY,
    CROSSING,
    EMPTIED,
    TRAIN,
    HeldOut,
    assign_splits,
    check_filled,
    check_rule,
    find_copies,
    hold_out,
)

Paths = str | Path | Sequence[str | Path]
COLUMNS = ["id", "symbol", "type", "contig", "start", "end", "strand", "locus", "tss"]


class _Filters(NamedTuple):
    biotypes: Sequence[str] | None
    min_length: int
    max_length: int | None
    max_n: float


class Collected(NamedTuple):
    """Genes of a corpus, their codes, their splits, and how many test genes equal one of train or validation."""

    genes: pd.DataFrame
    codes: list[np.ndarray]
    split: np.ndarray
    copies: int


class _Part(NamedTuple):
    """What one annotation and its FASTA files gave: genes that passed, their codes, the parts of all genes, contigs."""

    genes: pd.DataFrame
    codes: list[np.ndarray]
    exons: pd.DataFrame
    cds: pd.DataFrame
    seen: set[str]


def extract_genes(
    fasta: Paths,
    annotation: Paths,
    out: str | Path,
    *,
    biotypes: Sequence[str] | None = ("protein_coding",),
    min_length: int = 1,
    max_length: int | None = None,
    max_n: float = 0.0,
    train_contigs: Sequence[str] | None = None,
    test_contigs: Sequence[str] | None = None,
    split: str = "chromosome",
    validation: float = 0.1,
    test: float = 0.1,
    family_method: str = "kmers",
    family_share: float = 0.1,
    allow_duplicates: bool = False,
    seed: int = 0,
    repeats: str | Path | None = None,
) -> Corpus:
    """Cut genes out of sequence, orient, filter, split and code them into a corpus folder.

    A gene is its whole annotated span, introns included, read 5' to 3' on its own strand. Spans overlap, so
    the corpus holds some genomic bases more than once; ``corpus.json`` counts both spans and their union.
    A test gene that equals one of train or validation, on either strand, is dropped and counted.

    Parameters
    ----------
    fasta, annotation
        A file each; or lists, of annotations one for all FASTA files or one for each (see `read_fasta`,
        `read_annotation`).
    out
        Folder of the corpus; one that stands there is replaced, other files in the folder are left alone.
    biotypes
        Gene types to keep; None keeps all.
    min_length, max_length
        Bounds on a gene's span, in bases, both included.
    max_n
        Largest share of bases other than A, C, G and T.
    train_contigs
        Contigs to learn from, named together with ``test_contigs``: no other is taken. None takes all.
    test_contigs, split, validation, test, seed
        What is held out: by place (``"chromosome"``, see `dnastudy.genes.split.assign_splits`), in whole homology
        families (``"family"``), or gene by gene (``"random"``; see `hold_out` there for both).
    family_method, family_share
        How families are found (see `dnastudy.genes.kmers.find_families`).
    allow_duplicates
        Keep test genes that equal one of train or validation; ``corpus.json`` says how many.
    repeats
        Track of repeats, BED or Parquet (see `dnastudy.genes.intervals.read_track`).

    Raises
    ------
    InputError
        An input that cannot be read, contigs that don't match, no gene left, or an empty or unknown split.
    """
    check_rule(split)
    filters = _Filters(biotypes, min_length, max_length, max_n)
    fastas, annotations = _files(fasta), _files(annotation)
    contigs: dict[str, dict] = {}
    dropped: Counter[str] = Counter()
    wanted = _wanted(train_contigs, test_contigs, split)
    genes, codes, parts = _collect(fastas, annotations, filters, wanted, contigs, dropped)
    if split == "chromosome":
        named = {"test_contigs": test_contigs, "validation": validation, "test": test}
        held = HeldOut(*assign_splits(genes, list(contigs), **named), {"split": split}, None)
    else:
        shares, by_family = {"test": test, "validation": validation}, split == "family"
        how = {"by_family": by_family, "method": family_method, "share": family_share, "seed": seed}
        held = hold_out(codes, np.full(len(genes), TRAIN), shares, **how)
    crossing, copies = held.split == CROSSING, find_copies(codes, held.split)
    dropped["across a cut between splits"] = int(crossing.sum())
    if not allow_duplicates:
        dropped[COPY] = int(copies.sum())
    kept = leave_out(genes, codes, held, copies, crossing if allow_duplicates else crossing | copies)
    kept.genes["locus"] = _number_loci(kept.genes, kept.split)
    offsets = np.cumsum([0, *map(len, kept.codes)], dtype=np.int64)
    intervals = {kind: _own_parts(kept.genes, offsets, table) for kind, table in parts.items()}
    inputs = {"fasta": fastas, "annotation": annotations}
    if repeats is not None:
        intervals["repeat"] = _track_in_genes(kept.genes, offsets, read_track(repeats, contigs.keys()))
        inputs["repeats"] = [Path(repeats)]
    columns = COLUMNS + [name for name in ("family",) if name in kept.genes]
    kept = kept._replace(genes=kept.genes[columns])
    facts = {"made_by": "extract_genes", "contigs": contigs, "dropped": dict(dropped)}
    return write_collected(out, kept, held, intervals, inputs, filters._asdict(), facts)


def _collect(
    fastas: list[Path],
    annotations: list[Path],
    filters: _Filters,
    wanted: set[str],
    contigs: dict[str, dict],
    dropped: Counter[str],
) -> tuple[pd.DataFrame, list[np.ndarray], dict[str, pd.DataFrame]]:
    """Genes of all files, the codes of each, and the cds and exon of all; adds to ``contigs`` and ``dropped``."""
    read = [_read_part(*part, filters, wanted, contigs, dropped) for part in _paired(fastas, annotations)]
    if missing := wanted - contigs.keys():
        seen = sorted(set().union(*(part.seen for part in read)))
        raise InputError(f"no contig {min(missing)!r} in the sequence; {nearest(min(missing), seen)}")
    genes = pd.concat([part.genes for part in read], ignore_index=True)
    codes = [sequence for part in read for sequence in part.codes]
    again = genes["id"].duplicated().to_numpy()
    dropped["an id that came before"] = int(again.sum())
    genes, codes = _keep(genes, codes, ~again)
    if genes.empty:
        raise InputError(_nothing_left(annotations, dropped, filters.biotypes))
    parts = {"cds": pd.concat([part.cds for part in read]), "exon": pd.concat([part.exons for part in read])}
    return genes, codes, parts


def leave_out(
    genes: pd.DataFrame, codes: list[np.ndarray], held: HeldOut, copies: np.ndarray, leaves: np.ndarray
) -> Collected:
    """The genes that don't leave, with their families if these were found; refuses a split that is then empty."""
    if held.families is not None:
        genes = genes.assign(family=held.families)
    split = held.split[~leaves]
    check_filled(split, held.words, EMPTIED)
    return Collected(*_keep(genes, codes, ~leaves), split, int(copies[~leaves].sum()))


def write_collected(
    out: str | Path,
    kept: Collected,
    held: HeldOut,
    intervals: dict[str, tuple[np.ndarray, np.ndarray]],
    inputs: dict[str, list[Path]],
    parameters: dict,
    facts: dict,
) -> Corpus:
    """Write a corpus, with what it was made from and how."""
    info = facts | {
        "inputs": {kind: [{"file": f.name, "sha256": sha256(f)} for f in files] for kind, files in inputs.items()},
        "parameters": parameters | held.rule,
        "held_out": held.words,
        "test_copies": kept.copies,
    }
    return write_corpus(out, kept.codes, kept.genes, kept.split, intervals, info)


def _files(paths: Paths) -> list[Path]:
    return [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def _paired(fastas: list[Path], annotations: list[Path]) -> list[tuple[list[Path], Path]]:
    """FASTA files by annotation: all of them with a single one, else one with each."""
    if fastas and len(annotations) == 1:
        return [(fastas, annotations[0])]
    if len(fastas) != len(annotations) or not fastas:
        raise InputError(
            "expected one annotation file for all FASTA files, or as many, one for each in the same order; found "
            f"{len(annotations)} and {len(fastas)}"
        )
    return [([fasta], annotation) for fasta, annotation in zip(fastas, annotations, strict=True)]


def _wanted(train: Sequence[str] | None, test: Sequence[str] | None, split: str) -> set[str]:
    """Canonical names of the contigs that genes are taken from; none where all are."""
    named = name_contigs(train or (), test or ())
    if named["test"] and split != "chromosome":
        raise InputError(
            f"test_contigs names {', '.join(named['test'])}, but split={split!r} holds out genes, not contigs; name "
            "all contigs that are wanted as train_contigs, or take split='chromosome'"
        )
    if named["train"] and not named["test"] and split == "chromosome":
        raise InputError(f"train_contigs names {', '.join(named['train'])}; name those held out too, as test_contigs")
    return set(named["train"] + named["test"]) if named["train"] else set()


def _read_part(
    fastas: list[Path],
    annotation: Path,
    filters: _Filters,
    wanted: set[str],
    contigs: dict[str, dict],
    dropped: Counter[str],
) -> _Part:
    """Genes of some FASTA files and their annotation that pass the filters; adds to ``contigs`` and ``dropped``."""
    table = read_annotation(annotation)
    annotated = table.genes["contig"].unique()
    genes = _of_biotype(table, filters.biotypes, wanted, dropped)
    found: set[str] = set()
    kept, codes = [genes.iloc[:0]], []
    for fasta in fastas:
        here: set[str] = set()

        def asked_for(name: str, here: set[str] = here) -> bool:
            here.add(canonical_contig(name))
            return not wanted or canonical_contig(name) in wanted

        for record in read_fasta(fasta, asked_for):
            name = canonical_contig(record.name)
            if name in contigs:
                raise InputError(
                    f"{fasta}: contig {record.name!r} was read before as {contigs[name]['name']!r}; expected "
                    "each contig once (19 and chr19 are one). Remove one of them"
                )
            contigs[name] = {"name": record.name, "length": len(record.codes), "m5": record.m5, **record.changes}
            contigs[name]["name_in_annotation"] = table.aliases.get(name, name) if name in annotated else None
            check_ends(table, name, len(record.codes), annotation)
            passed, cut = _cut_genes(genes[genes["contig"] == name], record.codes, filters, dropped)
            kept.append(passed)
            codes += cut
        if here.isdisjoint(annotated):
            raise InputError(
                f"{annotation}: none of its contigs ({', '.join(annotated[:3])} ...) is in {fasta.name} "
                f"({', '.join(sorted(here)[:3])} ...); expected at least one in both. Check that both are of "
                "one assembly and name contigs alike"
            )
        found |= here
    dropped["contig lacking in the FASTA"] += int((~genes["contig"].isin(found)).sum())
    return _Part(pd.concat(kept), codes, table.exons, table.cds, found)


def _cut_genes(
    genes: pd.DataFrame, codes: np.ndarray, filters: _Filters, dropped: Counter[str]
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Genes of one contig that pass the filters, in order, and the bases of each, 5' to 3'."""
    genes = genes.sort_values(["start", "end"], kind="stable")
    reasons = [_reason_to_drop(codes[s:e], filters) for s, e in _spans(genes)]
    dropped.update(reason for reason in reasons if reason)
    genes = genes[np.array([reason is None for reason in reasons], dtype=bool)]
    cut = []
    for (start, end), strand in zip(_spans(genes), genes["strand"], strict=True):
        span = codes[start:end]
        cut.append(span.copy() if strand == "+" else reverse_complement(span))
    return genes, cut


def _spans(genes: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(genes["start"], genes["end"], strict=True))


def _of_biotype(
    table: Annotation, biotypes: Sequence[str] | None, contigs: set[str], dropped: Counter[str]
) -> pd.DataFrame:
    """Genes of the chosen types and contigs, each with the transcription starts of its complete coding transcripts."""
    genes = table.genes
    if contigs:
        genes = genes[genes["contig"].isin(contigs)]
        dropped["on a contig not asked for"] += len(table.genes) - len(genes)
    wanted = np.ones(len(genes), bool) if biotypes is None else genes["type"].isin(list(biotypes))
    dropped["another biotype"] += int((~wanted).sum())
    transcripts = table.transcripts
    starting = transcripts[transcripts["coding"] & transcripts["complete"]]
    starts = starting.groupby("gene")["tss"].agg(lambda sites: sorted(set(sites))).to_dict()
    genes = genes[wanted]
    return genes.assign(tss=[starts.get(name, []) for name in genes["id"]])


def _reason_to_drop(codes: np.ndarray, filters: _Filters) -> str | None:
    if len(codes) < filters.min_length:
        return "shorter than min_length"
    if filters.max_length is not None and len(codes) > filters.max_length:
        return "longer than max_length"
    if np.count_nonzero(codes == UNKNOWN) > filters.max_n * len(codes):
        return "more unknown bases than max_n"
    return None


def _keep(genes: pd.DataFrame, codes: list[np.ndarray], stays: np.ndarray) -> tuple[pd.DataFrame, list[np.ndarray]]:
    return genes[stays].reset_index(drop=True), list(compress(codes, stays))


def _number_loci(genes: pd.DataFrame, split: np.ndarray) -> np.ndarray:
    """Number merged loci in corpus order; genes that overlap in different splits are of different loci."""
    line = contig_line(genes)
    line = line + split * (line.max() + genes["end"].max() + 1)
    return pd.factorize(label_loci(genes["start"].to_numpy() + line, genes["end"].to_numpy() + line))[0]


def _nothing_left(annotations: Sequence[Path], dropped: Counter[str], biotypes: Sequence[str] | None) -> str:
    reasons = "; ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    files = ", ".join(annotation.name for annotation in annotations)
    kinds = "any biotype" if biotypes is None else f"biotype {', '.join(biotypes)}"
    return (
        f"{files}: no gene is left after filtering (dropped: {reasons}); expected at least one of {kinds}. "
        "Widen biotypes, min_length, max_length or max_n"
    )


def _own_parts(genes: pd.DataFrame, offsets: np.ndarray, parts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Exons or coding parts of each gene's own transcripts, merged, in corpus coordinates."""
    # By contig too: a gene of the pseudo-autosomal regions has one id on chrX and chrY.
    numbers = genes[["id", "contig"]].assign(number=np.arange(len(genes)))
    parts = parts.merge(numbers, left_on=["gene", "contig"], right_on=["id", "contig"])
    gene = parts["number"].to_numpy()
    low = np.maximum(parts["start"].to_numpy(), genes["start"].to_numpy()[gene])
    high = np.minimum(parts["end"].to_numpy(), genes["end"].to_numpy()[gene])
    inside = low < high
    return merge(*orient(genes, offsets, gene[inside], low[inside], high[inside]))


def _track_in_genes(genes: pd.DataFrame, offsets: np.ndarray, track: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of a genomic track inside genes, in corpus coordinates."""
    starts, ends = [], []
    for contig, on_contig in genes.groupby("contig", sort=False):
        here = track[track["contig"] == contig]
        first, last = on_contig.index[0], on_contig.index[-1]
        low, high = lift(on_contig, offsets[first : last + 2], *merge(here["start"].to_numpy(), here["end"].to_numpy()))
        starts.append(low)
        ends.append(high)
    return np.concatenate(starts), np.concatenate(ends)
