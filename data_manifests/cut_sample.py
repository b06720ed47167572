"""Cut the embedded samples out of verified files: a slice of two chromosomes with its tracks; a text.

Run it in the repository's environment, `python data_manifests/cut_sample.py`; tests/test_sample.py checks
that what stands in data_manifests/sample/ is still what it would write.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dnastudy.files import atomic_path
from dnastudy.genes import decode, fetch, read_fasta, read_tracks, read_variants
from dnastudy.genes.intervals import read_track

FOLDER = Path(__file__).parent / "sample"
LINE = 80  # bases
CHAPTERS = 30  # of the text
ELEMENTS = 50  # accessible elements of each cell type in each split
ELEMENT_COLUMNS = ["chr", "start", "end", "summit", "sequence", "TAG", "data_label"]
FEATURES = {"gene", "ncRNA_gene", "pseudogene", "exon", "CDS"}
# What extraction reads of a GTF line; GFF3 needs the four below.
GTF_KEYS = ("gene_id", "transcript_id", "gene_type", "gene_name", "transcript_type")
GTF_TAGS = ("cds_start_NF", "mRNA_start_NF")
GFF3_KEYS = ("ID", "Parent", "Name", "biotype")
VCF_HEAD = ("##fileformat=VCFv4.2", "\t".join("#CHROM POS ID REF ALT QUAL FILTER INFO".split()))


class Slice(NamedTuple):
    """A stretch of a chromosome, 0-based and half-open."""

    chromosome: str
    start: int
    end: int
    annotation: str

    @property
    def contig(self) -> str:
        """Its name as samtools would write it, 1-based and closed."""
        return f"{self.chromosome}:{self.start + 1}-{self.end}"


# Gene-dense stretches: one of 19p13.2 around LDLR, one of 22q13.1 around LGALS1.
SLICES = (Slice("chr19", 10_000_000, 12_000_000, "gff3"), Slice("chr22", 37_500_000, 38_400_000, "gtf"))


def sample() -> dict[str, bytes]:
    """Every file of the sample by name, before compression."""
    files = fetch("chr19-chr22")
    tables = fetch("repeats-hg38")
    genome = {piece.chromosome: next(read_fasta(files[f"{piece.chromosome}.fa"])).codes for piece in SLICES}
    regulation = read_tracks("regulation-hg38", genome)
    repeats = read_track(tables["hg38_repeats.parquet"], genome)
    intervals = {"repeats": repeats, "ctcf": regulation.ctcf, "cpg": regulation.cpg}
    variants = read_variants(tables["hg38_common_snps.parquet"], genome)
    contents = {}
    snps = list(VCF_HEAD)
    for piece in SLICES:
        letters = decode(genome[piece.chromosome][piece.start : piece.end])
        lines = [letters[i : i + LINE] for i in range(0, len(letters), LINE)]
        contents[f"{piece.chromosome}.fa"] = "\n".join([f">{piece.contig}", *lines, ""]).encode()
        name = f"{piece.chromosome}.{piece.annotation}"
        contents[name] = cut_annotation(files[name], piece).encode()
        snps += cut_variants(variants, piece)
    for name, track in intervals.items():
        lines = [line for piece in SLICES for line in cut_intervals(track, piece)]
        contents[f"{name}.bed"] = "\n".join([*lines, ""]).encode()
    contents["snps.vcf"] = "\n".join([*snps, ""]).encode()
    regulation_files = fetch("regulation-hg38")
    contents["elements.tsv"] = cut_elements(regulation_files["elements.tsv"]).encode()
    contents["motif.pfm"] = regulation_files["motif.pfm"].read_bytes()
    contents["verses.txt"] = cut_text(fetch("king-james")["verses.txt"]).encode()
    return contents


def cut_annotation(path: Path, piece: Slice) -> str:
    """Lines of the genes wholly in the slice, shifted into it, with only the attributes that are read."""
    cut = _cut_gff3 if piece.annotation == "gff3" else _cut_gtf
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    kept = []
    for row, attributes in cut(rows, piece):
        start, end = int(row[3]) - piece.start, int(row[4]) - piece.start
        kept.append("\t".join([piece.contig, ".", row[2], str(start), str(end), ".", *row[6:8], attributes]))
    head = ["##gff-version 3"] if piece.annotation == "gff3" else []
    return "\n".join([*head, *kept, ""])


def _inside(row: list[str], piece: Slice) -> bool:
    return int(row[3]) > piece.start and int(row[4]) <= piece.end


def _cut_gff3(rows: list[list[str]], piece: Slice) -> list[tuple[list[str], str]]:
    kept = []
    parents: set[str] = set()  # identifiers of kept genes and transcripts; the file gives a parent before its parts
    for row in rows:
        values = dict(item.split("=", 1) for item in row[8].split(";"))
        if row[2].endswith("gene"):
            wanted = _inside(row, piece)
        else:
            wanted = values.get("Parent") in parents and (row[2] in FEATURES or "transcript_id" in values)
        if wanted:
            if row[2] not in ("exon", "CDS"):
                parents.add(values["ID"])
            attributes = ";".join(f"{key}={values[key]}" for key in _gff3_keys(row[2]) if key in values)
            kept.append((row, attributes))
    return kept


def _gff3_keys(feature: str) -> tuple[str, ...]:
    return ("Parent",) if feature in ("exon", "CDS") else GFF3_KEYS


def _cut_gtf(rows: list[list[str]], piece: Slice) -> list[tuple[list[str], str]]:
    kept = []
    genes: set[str] = set()
    for row in rows:
        values = dict(re.findall(r'(\w+) "([^"]*)"', row[8]))
        if row[2] == "gene" and _inside(row, piece):
            genes.add(values["gene_id"])
        if row[2] in FEATURES | {"transcript"} and values["gene_id"] in genes:
            attributes = [f'{key} "{values[key]}";' for key in _gtf_keys(row[2]) if key in values]
            attributes += [f'tag "{tag}";' for tag in GTF_TAGS if f'tag "{tag}"' in row[8]]
            kept.append((row, " ".join(attributes)))
    return kept


def _gtf_keys(feature: str) -> tuple[str, ...]:
    return GTF_KEYS[:2] if feature in ("exon", "CDS") else GTF_KEYS


def cut_intervals(track: pd.DataFrame, piece: Slice) -> list[str]:
    """BED lines of the intervals that reach into the slice, clipped and shifted."""
    chosen = track[(track["contig"] == piece.chromosome) & (track["start"] < piece.end) & (track["end"] > piece.start)]
    starts = chosen["start"].clip(lower=piece.start) - piece.start
    ends = chosen["end"].clip(upper=piece.end) - piece.start
    places = sorted(zip(starts, ends, strict=True))
    return [f"{piece.contig}\t{start}\t{end}" for start, end in places]


def cut_elements(path: Path) -> str:
    """Elements of every cell type and split, evenly spread over the table, with only the columns that are read."""
    table = pd.read_csv(path, sep="\t", usecols=ELEMENT_COLUMNS)
    number = table.groupby(["TAG", "data_label"]).cumcount()
    size = table.groupby(["TAG", "data_label"])["chr"].transform("size")
    chosen = table[number % (size // ELEMENTS) == 0]
    chosen = chosen.groupby(["TAG", "data_label"]).head(ELEMENTS)
    return chosen[ELEMENT_COLUMNS].to_csv(sep="\t", index=False, lineterminator="\n")


def cut_variants(variants: pd.DataFrame, piece: Slice) -> list[str]:
    """VCF lines of the variants in the slice, shifted."""
    chosen = variants[
        (variants["contig"] == piece.chromosome) & variants["position"].between(piece.start, piece.end - 1)
    ].sort_values("position")
    return [
        f"{piece.contig}\t{row.position - piece.start + 1}\t{row.id}\t{row.ref}\t{row.alt}\t.\t.\t."
        for row in chosen.itertuples()
    ]


def cut_text(path: Path) -> str:
    """Lines of the text's first chapters."""
    kept, chapters = [], set()
    for line in path.read_text(encoding="utf-8").splitlines():
        chapters.add(re.search(r"\d\d:\d\d\d", line)[0])
        if len(chapters) > CHAPTERS:
            break
        kept.append(line)
    return "\n".join([*kept, ""])


def main() -> None:
    """Write the sample, compressed without time or name, so that the same content gives the same file."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in sample().items():
        with atomic_path(FOLDER / f"{name}.gz") as partial:
            partial.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
        print(f"{name}.gz: {(FOLDER / f'{name}.gz').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
