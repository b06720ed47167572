"""Where regulation is read on a genome: CTCF, CpG islands, accessible elements, transcription starts, splice sites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.annotation import Annotation
from dnastudy.genes.fasta import canonical_contig, encode, read_fasta
from dnastudy.genes.intervals import check_inside, on_contigs, read_intervals
from dnastudy.genes.liftover import lift, read_chain
from dnastudy.genes.manifest import fetch, load_manifest, source_of
from dnastudy.genes.motifs import Motif, read_jaspar

CTCF_MOTIF = "MA0139.1"
SPLITS = {"training": "train", "validation": "validation", "test": "test"}  # as the elements' file has them

# What no package registry has, by the address that its maker gives it. None comes with a checksum that could be
# pinned, so no manifest fetches them: whoever has them gives the file.
CANONICAL = {
    "repeats with class": "https://hgdownload.soe.ucsc.edu/goldenPath/hg38/database/rmsk.txt.gz",
    "chromatin states (hg19)": "https://hgdownload.soe.ucsc.edu/goldenPath/hg19/encodeDCC/wgEncodeBroadHmm/"
    "wgEncodeBroadHmmGm12878HMM.bed.gz",
    "replication timing (hg19)": "https://hgdownload.soe.ucsc.edu/goldenPath/hg19/encodeDCC/wgEncodeUwRepliSeq/",
    "clinical variants": "https://ftp.ncbi.nlm.nih.gov/pub/clinvar/vcf_GRCh38/clinvar.vcf.gz",
}


class Tracks(NamedTuple):
    """Tracks of the contigs of a genome; coordinates are 0-based and half-open, contig names canonical.

    Attributes
    ----------
    ctcf, cpg
        Intervals bound by CTCF, and CpG islands: contig, start, end; ascending.
    elements
        Accessible elements, of all contigs: contig, start, end, cell, split ("train", "validation" or "test", the
        file's own), sequence (str, of the forward strand).
    motif
        Of CTCF.
    consensus
        Codes (uint8) of repeat families, by name.
    facts
        By track, how many were read, kept and dropped, and why; "sources": by file, its sha256 and where it came from.
    """

    ctcf: pd.DataFrame
    cpg: pd.DataFrame
    elements: pd.DataFrame
    motif: Motif
    consensus: dict[str, np.ndarray]
    facts: dict


def read_tracks(dataset: str, genome: Mapping[str, np.ndarray]) -> Tracks:
    """Fetch a dataset of tracks and read what lies on a genome.

    Parameters
    ----------
    dataset
        Name of a manifest with the members ctcf, cpg, elements, motif and consensus and, where ctcf is of another
        assembly, chain (file names up to the first point).
    genome
        Base codes (uint8) by contig. Intervals of other contigs are dropped and counted.

    Raises
    ------
    InputError
        When a track ends past a contig, an element's sequence isn't what the genome has there, no interval lies on the
        genome, or as the readers of each file say.
    """
    files = fetch(dataset)
    paths = {name.split(".")[0]: path for name, path in files.items()}
    ctcf, lifted = read_intervals(paths["ctcf"]), {}
    facts: dict = {"ctcf": {"read": len(ctcf)}}
    if "chain" in paths:
        ctcf, lifted = lift(ctcf, read_chain(paths["chain"]))
    ctcf, kept = _keep(ctcf, genome, paths["ctcf"])
    facts["ctcf"] |= lifted | kept
    islands = read_intervals(paths["cpg"])
    cpg, kept = _keep(islands, genome, paths["cpg"])
    facts["cpg"] = {"read": len(islands), **kept}
    elements = _read_elements(paths["elements"])
    facts["elements"] = {"read": len(elements), "same_as_genome": _check_elements(elements, genome, paths["elements"])}
    consensus = {record.name: record.codes for record in read_fasta(paths["consensus"])}
    facts["consensus"] = {"families": len(consensus), "bases": sum(map(len, consensus.values()))}
    members = load_manifest(dataset).members
    facts["sources"] = {
        name: {"sha256": members[name].sha256, "source": source_of(path)} for name, path in files.items()
    }
    motif = read_jaspar(paths["motif"], CTCF_MOTIF)
    return Tracks(ctcf, cpg, elements.reset_index(drop=True), motif, consensus, facts)


def read_regions(path: str | Path, genome: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Read a BED file of named regions, such as chromatin states: contig, start, end, name.

    Parameters
    ----------
    path
        BED, plain or gzip, with the name in its fourth column.
    genome
        Base codes (uint8) by contig. Intervals of other contigs are left out.

    Raises
    ------
    InputError
        When a line has no name or ends past its contig, no interval lies on the genome, or as `read_intervals` says.
    """
    regions = read_intervals(path)
    nameless = regions.index if "name" not in regions else regions.index[regions["name"] == ""]
    if len(nameless):
        raise InputError(
            f"{path}, line {nameless[0]}: expected a BED file with a name in its fourth column; found none"
        )
    return _keep(regions, genome, path)[0]


def transcription_starts(annotation: Annotation) -> pd.DataFrame:
    """Where transcription of protein-coding transcripts begins, each place and strand once.

    Transcripts whose 5' end is incomplete are left out (see `read_annotation`).

    Returns
    -------
    DataFrame
        contig, position (0-based, of the first transcribed base), strand, gene, symbol; ascending.
    """
    starts = annotation.transcripts[_codes_protein(annotation) & annotation.transcripts["complete"]]
    symbols = annotation.genes.set_index("id")["symbol"]
    table = starts[["contig", "tss", "strand", "gene"]].rename(columns={"tss": "position"})
    table = table.assign(symbol=table["gene"].map(symbols)).sort_values(["contig", "position", "strand"], kind="stable")
    return table.drop_duplicates(["contig", "position", "strand"]).reset_index(drop=True)


def annotated_starts(annotation: Annotation) -> pd.DataFrame:
    """Where transcripts of any type begin, whether their 5' end is complete or not: contig, position, each once."""
    starts = annotation.transcripts[["contig", "tss"]].rename(columns={"tss": "position"})
    return starts.drop_duplicates(ignore_index=True)


def splice_sites(annotation: Annotation) -> pd.DataFrame:
    """Where introns of protein-coding transcripts begin and end, each site once.

    Returns
    -------
    DataFrame
        contig, border (how many bases of the contig's forward strand lie left of the border between exon and intron),
        strand, kind ("donor", where an intron begins, or "acceptor", where it ends), gene; ascending.
    """
    coding = annotation.transcripts.loc[_codes_protein(annotation), "id"]
    exons = annotation.exons[annotation.exons["transcript"].isin(coding)].sort_values(["transcript", "start"])
    following = exons.shift(-1)
    intron = (exons["transcript"] == following["transcript"]) & (exons["end"] < following["start"])
    exons, right = exons[intron], following.loc[intron, "start"].astype(np.int64)
    forward = exons["strand"] == "+"
    sites = []
    for kind, border in (
        ("donor", exons["end"].where(forward, right)),
        ("acceptor", right.where(forward, exons["end"])),
    ):
        sites.append(exons[["contig", "strand", "gene"]].assign(border=border, kind=kind))
    columns = ["contig", "border", "strand", "kind"]
    table = pd.concat(sites).sort_values([*columns, "gene"]).drop_duplicates(columns)
    return table[[*columns, "gene"]].reset_index(drop=True)


def _codes_protein(annotation: Annotation) -> pd.Series:
    """Which transcripts code for a protein: by their type or, in NCBI's files, which give none, by having a CDS."""
    kind = annotation.transcripts["type"]
    return (kind == "protein_coding") | (annotation.transcripts["coding"] & (kind == ""))


def _keep(track: pd.DataFrame, genome: Mapping[str, np.ndarray], path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Intervals that lie on the genome, ascending, and how many were kept and how many lie on other contigs."""
    found = on_contigs(track, genome, path)
    check_inside(found, genome, path)
    counts = {"other_contigs": len(track) - len(found), "kept": len(found)}
    return found.sort_values(["contig", "start", "end"]).reset_index(drop=True), counts


def _read_elements(path: Path) -> pd.DataFrame:
    """Read the DNase elements of the package dnadiffusion, by line."""
    columns = {"chr": str, "start": np.int64, "end": np.int64, "summit": np.int64}
    columns |= dict.fromkeys(("sequence", "TAG", "data_label"), str)
    try:
        table = pd.read_csv(path, sep="\t", usecols=list(columns), dtype=columns)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as elements ({error}); expected columns {', '.join(columns)}"
        ) from None
    table.index += 2
    # The element's middle where there is room: the rule by which its makers cut the sequence.
    length = table["sequence"].str.len()
    start = table["summit"] - length // 2
    start = start.where(table["end"] - table["summit"] >= length // 2, table["end"] - length)
    start = start.where(table["summit"] - table["start"] >= length // 2, table["start"])
    return pd.DataFrame(
        {
            "contig": table["chr"].map({name: canonical_contig(name) for name in table["chr"].unique()}),
            "start": start,
            "end": start + length,
            "cell": table["TAG"].str.split("_").str[0],
            "split": table["data_label"].map(SPLITS),
            "sequence": table["sequence"],
        }
    )


def _check_elements(elements: pd.DataFrame, genome: Mapping[str, np.ndarray], path: Path) -> int:
    """Compare the sequences of elements on the genome with what it has there; give their number."""
    here = elements[elements["contig"].isin(genome)]
    check_inside(here, genome, path)
    for row in here.itertuples():
        if not np.array_equal(genome[row.contig][row.start : row.end], encode(row.sequence)):
            raise InputError(
                f"{path}, line {row.Index}: expected the sequence that {row.contig} has at {row.start + 1:,} to "
                f"{row.end:,}; found another. Check that elements and sequence are of one assembly"
            )
    return len(here)
