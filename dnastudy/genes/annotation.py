"""Read GTF and GFF3 into tables of genes, transcripts, exons and coding parts, 0-based and half-open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import bioframe
import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.fasta import DAMAGED_GZIP, canonical_contig, damaged_gzip, is_gzip

COLUMNS = ["contig", "source", "feature", "start", "end", "score", "strand", "phase", "attributes"]
# A type of gene and of transcript goes by these names in GENCODE, Ensembl and NCBI files.
_GENE_TYPE = ("gene_type", "gene_biotype", "biotype")
_TRANSCRIPT_TYPE = ("transcript_type", "transcript_biotype", "biotype")
_INCOMPLETE = re.compile(r"\b(?:cds|mRNA)_start_NF\b")


class Annotation(NamedTuple):
    """Tables of one annotation file; coordinates are 0-based and half-open, contig names canonical.

    Every row has contig, start, end, strand and line (of the file), and besides:
    """

    genes: pd.DataFrame
    transcripts: pd.DataFrame
    exons: pd.DataFrame
    cds: pd.DataFrame
    aliases: dict[str, str]


def read_annotation(path: str | Path) -> Annotation:
    """Read a GTF or GFF3 file, plain or gzip (GENCODE, Ensembl and NCBI dialects).

    A transcript's 5' end counts as incomplete when it is tagged so (``cds_start_NF``, ``mRNA_start_NF``), or
    when its coding sequence begins at its very first base: no messenger RNA lacks a 5' untranslated end, and
    Ensembl's GFF3 carries no such tag.
    """
    path = Path(path)
    rows = _read_rows(path)
    _check_rows(rows, path)
    rows["start"] = rows["start"].astype(np.int64) - 1
    rows["end"] = rows["end"].astype(np.int64)
    names = {name: canonical_contig(name) for name in rows["contig"].unique()}
    rows["contig"] = rows["contig"].map(names)
    first = rows["attributes"].iloc[0]
    parse = _tables_of_gff3 if re.match(r"\s*[^\s=\"]+=", first) else _tables_of_gtf
    genes, transcripts, exons, cds = parse(rows, path)
    if genes.empty:
        found = ", ".join(rows["feature"].unique()[:8])
        raise InputError(
            f"{path}: found no gene lines (only {found}); expected a `gene` line for every gene. "
            "Use an Ensembl, GENCODE or NCBI file, or add the lines, for example with AGAT"
        )
    aliases = {canonical: name for name, canonical in names.items() if name != canonical}
    return Annotation(genes, _finish_transcripts(transcripts, cds), exons, cds, aliases)


def check_ends(annotation: Annotation, contig: str, length: int, path: Path) -> None:
    """Refuse features that end past a contig of ``length`` bases."""
    expected = f"coordinates inside {contig}, which has {length:,} bases"
    mend = "Check that sequence and annotation are of one assembly"
    for table in annotation[:4]:
        beyond = (table["contig"] == contig) & (table["end"] > length)
        _refuse(table, beyond, path, expected, lambda row: f"an end of {row['end']:,}", mend)


def _read_rows(path: Path) -> pd.DataFrame:
    """Every feature line as text, indexed by its line number."""
    try:
        rows = bioframe.read_table(
            str(path),
            schema=[*COLUMNS, "more"],
            compression="gzip" if is_gzip(path) else None,
            dtype=str,
            quoting=3,
            keep_default_na=False,
            skip_blank_lines=False,
        ).fillna("")
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a GTF or GFF3 file there") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as tab-separated text ({error}); expected a GTF or GFF3 file") from None
    rows.index += 1
    rows["line"] = rows.index
    embedded = rows.index[rows["contig"] == "##FASTA"]
    if len(embedded):  # GFF3 may carry the sequence after this directive
        rows = rows.loc[: embedded[0]]
    rows = rows[~rows["contig"].str.startswith("#") & (rows["contig"].str.strip() != "")]
    if rows.empty:
        raise InputError(f"{path}: found no features; expected lines of nine tab-separated columns (GTF or GFF3)")
    return rows.copy()


def _check_rows(rows: pd.DataFrame, path: Path) -> None:
    _refuse(rows, (rows["attributes"] == "") | (rows["more"] != ""), path, "nine tab-separated columns", _columns)
    for column in ("start", "end"):
        bad = ~rows[column].str.fullmatch(r"\d{1,15}")
        _refuse(rows, bad, path, f"a whole number as {column}", lambda row, c=column: repr(row[c]))
    start, end = rows["start"].astype(np.int64), rows["end"].astype(np.int64)
    _refuse(rows, start < 1, path, "a start of 1 or more", lambda row: row["start"])
    _refuse(rows, end < start, path, "an end not before the start", lambda row: f"{row['start']}-{row['end']}")
    _refuse(rows, ~rows["strand"].isin(list("+-.?")), path, "a strand of + or -", lambda row: repr(row["strand"]))
    shaped = rows["attributes"].str.match(r"\s*[^\s=\"]+(?:=|\s+[\"\w])")
    _refuse(rows, ~shaped, path, 'attributes as `key "value";` or `key=value;`', _attributes)


def _refuse(rows, bad, path, expected, found, mend="Mend or remove the line") -> None:
    """Raise for the first of the ``bad`` rows; ``found`` says what stands there."""
    if bad.any():
        row = rows[bad].iloc[0]
        raise InputError(f"{path}, line {row['line']}: expected {expected}, found {found(row)}. {mend}")


def _columns(row: pd.Series) -> str:
    return "more" if row["more"] else str(sum(row[name] != "" for name in COLUMNS))


def _attributes(row: pd.Series) -> str:
    return repr(row["attributes"][:60])


def _need(rows: pd.DataFrame, key: str, values: pd.Series, path: Path) -> pd.Series:
    """Values of an attribute that every row must have."""
    _refuse(rows, values == "", path, f"an attribute {key}", _attributes)
    return values


def _gtf_value(rows: pd.DataFrame, *keys: str) -> pd.Series:
    """Value of the first of ``keys`` that each row has, or an empty string."""
    pattern = rf'(?:^|[;\s])(?:{"|".join(keys)}) +"?([^";]*)"?'
    return rows["attributes"].str.extract(pattern, expand=False).fillna("")


def _gff3_value(rows: pd.DataFrame, *keys: str) -> pd.Series:
    values = rows["attributes"].str.extract(rf"(?:^|;)\s*(?:{'|'.join(keys)})=([^;]*)", expand=False).fillna("")
    values = values.str.replace(r"^(?:gene|transcript):", "", regex=True)
    escaped = values.str.contains("%", regex=False)
    return values.where(~escaped, values[escaped].map(unquote)) if escaped.any() else values


def _place(rows: pd.DataFrame) -> dict[str, pd.Series]:
    return {name: rows[name] for name in ("contig", "start", "end", "strand", "line")}


def _tables_of_gtf(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, ...]:
    rows = rows[rows["feature"].isin(["gene", "transcript", "exon", "CDS"])]
    gene_id = _need(rows, "gene_id", _gtf_value(rows, "gene_id"), path)
    transcript_id = _gtf_value(rows, "transcript_id")
    of = rows["feature"]
    lines = rows[of == "gene"]
    symbol = _gtf_value(lines, "gene_name", "gene")
    genes = _gene_table(lines, gene_id[lines.index], symbol, _gtf_value(lines, *_GENE_TYPE), path)
    parts = {feature: rows[of == feature] for feature in ("transcript", "exon", "CDS")}
    ids = {name: _need(lines, "transcript_id", transcript_id[lines.index], path) for name, lines in parts.items()}
    lines = parts.pop("transcript")
    kind = _gtf_value(lines, *_TRANSCRIPT_TYPE)
    transcripts = _transcript_table(lines, ids["transcript"], gene_id[lines.index], kind)
    tables = [
        pd.DataFrame({"gene": gene_id[lines.index], "transcript": ids[name], **_place(lines)}).reset_index(drop=True)
        for name, lines in parts.items()
    ]
    return genes, transcripts, *tables


def _tables_of_gff3(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, ...]:
    of = rows["feature"]
    lines = rows[of.isin(["gene", "pseudogene"]) | of.str.endswith("_gene")]
    ids = _need(lines, "ID", _gff3_value(lines, "ID"), path)
    genes = _gene_table(lines, ids, _gff3_value(lines, "Name", "gene"), _gff3_value(lines, *_GENE_TYPE), path)
    named = set(ids)
    lines = rows[~of.isin(["exon", "CDS"]) & ~rows.index.isin(lines.index)]
    lines = lines[lines["attributes"].str.contains("Parent=", regex=False)]
    parent = _gff3_value(lines, "Parent")
    lines = lines[parent.isin(named)]
    ids = _need(lines, "ID", _gff3_value(lines, "ID"), path)
    transcripts = _transcript_table(lines, ids, parent[lines.index], _gff3_value(lines, *_TRANSCRIPT_TYPE))
    # A part may stand under a transcript or, in bacteria, under the gene itself.
    gene_of = dict(zip(transcripts["id"], transcripts["gene"], strict=True)) | {name: name for name in named}
    parts = []
    for feature in ("exon", "CDS"):
        lines = rows[of == feature]
        raw = lines["attributes"].str.extract(r"(?:^|;)\s*Parent=([^;]*)", expand=False).fillna("")
        _need(lines, "Parent", raw, path)
        table = pd.DataFrame({"transcript": raw.str.split(","), **_place(lines)}).explode("transcript")
        table["transcript"] = table["transcript"].str.replace(r"^(?:gene|transcript):", "", regex=True)
        table.insert(0, "gene", table["transcript"].map(gene_of))
        parts.append(table.dropna(subset="gene").reset_index(drop=True))
    return genes, transcripts, *parts


def _gene_table(lines: pd.DataFrame, ids: pd.Series, symbol: pd.Series, kind: pd.Series, path: Path) -> pd.DataFrame:
    bad = ~lines["strand"].isin(["+", "-"])
    _refuse(lines, bad, path, "a strand of + or - for a gene", lambda row: repr(row["strand"]))
    table = {"id": ids, "symbol": symbol.where(symbol != "", ids), "type": kind.where(kind != "", "unknown")}
    return pd.DataFrame({**table, **_place(lines)}).reset_index(drop=True)


def _transcript_table(lines: pd.DataFrame, ids: pd.Series, gene: pd.Series, kind: pd.Series) -> pd.DataFrame:
    tagged = lines["attributes"].str.contains(_INCOMPLETE)
    return pd.DataFrame({"id": ids, "gene": gene, "type": kind, **_place(lines), "tagged": tagged})


def _finish_transcripts(transcripts: pd.DataFrame, cds: pd.DataFrame) -> pd.DataFrame:
    """Add where transcription starts, whether it codes, and whether its 5' end is complete."""
    transcripts = transcripts.reset_index(drop=True)
    forward = transcripts["strand"] == "+"
    bounds = cds.groupby("transcript").agg(low=("start", "min"), high=("end", "max"))
    low, high = (transcripts["id"].map(bounds[name]) for name in ("low", "high"))
    no_leader = np.where(forward, low == transcripts["start"], high == transcripts["end"])
    transcripts["tss"] = np.where(forward, transcripts["start"], transcripts["end"] - 1)
    transcripts["coding"] = low.notna()
    transcripts["complete"] = ~(transcripts.pop("tagged") | no_leader)
    return transcripts


def transcription_starts(annotation: Annotation) -> pd.DataFrame:
    """Where transcription of protein-coding transcripts begins, each place and strand once.

    Transcripts whose 5' end is incomplete are left out (see `read_annotation`).
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
    """Where introns of protein-coding transcripts begin and end, each site once."""
    coding = annotation.transcripts.loc[_codes_protein(annotation), "id"]
    exons = annotation.exons[annotation.exons["transcript"].isin(coding)].sort_values(["transcript", "start"])
    following = exons.shift(-1)
    intron = (exons["transcript"] == following["transcript"]) & (exons["end"] < following["start"])
    exons, right = exons[intron], following.loc[intron, "start"].astype(np.int64)
    forward, left, columns = exons["strand"] == "+", exons["end"], ["contig", "border", "strand", "kind"]
    borders = {"donor": left.where(forward, right), "acceptor": right.where(forward, left)}
    table = pd.concat([exons.assign(border=border, kind=kind) for kind, border in borders.items()])
    return table[[*columns, "gene"]].sort_values([*columns, "gene"]).drop_duplicates(columns, ignore_index=True)


def _codes_protein(annotation: Annotation) -> pd.Series:
    """Which transcripts code for a protein: by their type or, in NCBI's files, which give none, by having a CDS."""
    kind = annotation.transcripts["type"]
    return (kind == "protein_coding") | (annotation.transcripts["coding"] & (kind == ""))
