"""Where regulation is read on a genome: CTCF, CpG islands, accessible elements, transcription starts, splice sites."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.codes import encode
from dnastudy.genes.download import fetch, source_of
from dnastudy.genes.fasta import DAMAGED_GZIP, canonical_contig, damaged_gzip, is_gzip, read_fasta
from dnastudy.genes.intervals import check_inside, on_contigs, read_intervals
from dnastudy.genes.manifest import load_manifest
from dnastudy.genes.motifs import Motif, read_jaspar

CTCF_MOTIF = "MA0139.1"
MEMBERS = ("ctcf", "cpg", "elements", "motif", "consensus")  # of a dataset of tracks, before the first dot
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
# By contig of the first assembly, its blocks without gaps: start, end there; contig, begin, strand in the second.
Chains = dict[str, pd.DataFrame]


class Tracks(NamedTuple):
    """Tracks of the contigs of a genome; coordinates are 0-based and half-open, contig names canonical."""

    ctcf: pd.DataFrame
    cpg: pd.DataFrame
    elements: pd.DataFrame
    motif: Motif
    consensus: dict[str, np.ndarray]
    facts: dict


def read_tracks(dataset: str, genome: Mapping[str, np.ndarray]) -> Tracks:
    """Fetch a dataset of tracks and read what lies on a genome."""
    files = fetch(dataset)
    paths = {name.split(".")[0]: path for name, path in files.items()}
    if missing := [name for name in MEMBERS if name not in paths]:
        raise InputError(
            f"{dataset}: no member {', '.join(missing)}; expected a dataset of tracks, with {', '.join(MEMBERS)} and "
            "perhaps a chain, such as regulation-hg38"
        )
    sites, islands, lifted = read_intervals(paths["ctcf"]), read_intervals(paths["cpg"]), {}
    read = len(sites)
    if "chain" in paths:
        sites, lifted = lift(sites, read_chain(paths["chain"]))
    ctcf, kept = _keep(sites, genome, paths["ctcf"])
    cpg, kept_islands = _keep(islands, genome, paths["cpg"])
    elements = _read_elements(paths["elements"])
    consensus = {record.name: record.codes for record in read_fasta(paths["consensus"])}
    members = load_manifest(dataset).members
    facts = {
        "ctcf": {"read": read, **lifted, **kept},
        "cpg": {"read": len(islands), **kept_islands},
        "elements": {"read": len(elements), "same_as_genome": _check_elements(elements, genome, paths["elements"])},
        "consensus": {"families": len(consensus), "bases": sum(map(len, consensus.values()))},
        "sources": {name: {"sha256": members[name].sha256, "source": source_of(path)} for name, path in files.items()},
    }
    motif = read_jaspar(paths["motif"], CTCF_MOTIF)
    return Tracks(ctcf, cpg, elements.reset_index(drop=True), motif, consensus, facts)


def read_regions(path: str | Path, genome: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Read a BED file of named regions, such as chromatin states: contig, start, end, name."""
    regions = read_intervals(path)
    nameless = regions.index if "name" not in regions else regions.index[regions["name"] == ""]
    if len(nameless):
        raise InputError(
            f"{path}, line {nameless[0]}: expected a BED file with a name in its fourth column; found none"
        )
    return _keep(regions, genome, path)[0]


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


def read_chain(path: str | Path) -> Chains:
    """Read a chain file, plain or gzip (UCSC's format: a header, then lines of block, gap here, gap there)."""
    path = Path(path)
    rows, reached, promised, number = [], None, None, 0
    try:
        with (gzip.open if is_gzip(path) else open)(path, "rt", encoding="ascii") as handle:
            for number, line in enumerate(handle, start=1):
                fields = line.split()
                if not fields or line.startswith("#"):
                    continue
                if fields[0] == "chain":
                    _check_end(reached, promised, path, number)
                    contig, other, size, strand, reached, promised = _read_header(fields, path, number)
                    continue
                if reached is None:
                    raise _malformed(path, number, "a line that begins with `chain`", fields)
                if len(fields) not in (1, 3) or not all(field.isdigit() for field in fields):
                    raise _malformed(path, number, "a block's length, alone or with two gaps", fields)
                length, gap, other_gap = (*map(int, fields), 0, 0)[:3]
                start, begin = reached
                there = begin if strand == "+" else size - begin - length
                rows.append((contig, start, start + length, other, there, strand))
                reached = start + length + gap, begin + length + other_gap
            _check_end(reached, promised, path, number)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as chains ({error}); expected a UCSC chain file") from None
    if not rows:
        raise InputError(f"{path}: expected chains (UCSC's *.over.chain), found none. Fetch the file again")
    table = pd.DataFrame(rows, columns=["name", "start", "end", "contig", "begin", "strand"])
    table = table.sort_values("start").groupby("name", sort=False)
    chains = {name: part.drop(columns="name").reset_index(drop=True) for name, part in table}
    for name, part in chains.items():
        if (shared := part["start"] < part["end"].shift(fill_value=0)).any():
            raise InputError(
                f"{path}: two blocks share base {part['start'][shared].iloc[0] + 1:,} of {name}; expected each base in "
                "one block at most. Use the chains made for lifting (UCSC's *.over.chain)"
            )
    return chains


def _read_header(fields: list[str], path: Path, line: int) -> tuple:
    """Contig here; contig, length and strand there; where the first block begins and the last ends, in both."""
    try:
        _, _, contig, _, forward, start, end, other, size, strand, begin, stop = fields[:12]
        reached, promised = (int(start), int(begin)), (int(end), int(stop))
        if forward == "+" and strand in ("+", "-"):
            return canonical_contig(contig), canonical_contig(other), int(size), strand, reached, promised
    except ValueError:
        pass
    raise _malformed(path, line, "a chain's score, contig, size, +, start, end, and the other's", fields)


def _check_end(reached: tuple | None, promised: tuple | None, path: Path, line: int) -> None:
    """Refuse a chain whose blocks don't end where its header says."""
    if reached != promised:
        raise InputError(
            f"{path}, line {line}: expected the chain before it to end at {promised[0]:,} and {promised[1]:,}, as its "
            f"header says; found its blocks to end at {reached[0]:,} and {reached[1]:,}. Fetch the file again"
        )


def _malformed(path: Path, line: int, expected: str, fields: list[str]) -> InputError:
    found = " ".join(fields)[:60]
    return InputError(f"{path}, line {line}: expected {expected}; found {found!r}. Mend or remove the line")


def lift(intervals: pd.DataFrame, chains: Chains) -> tuple[pd.DataFrame, dict[str, int]]:
    """Carry each interval that lies inside one block of the chains into the second assembly."""
    counts, pieces = Counter(lifted=0, across_blocks=0, not_covered=0), [intervals[:0]]
    for name, rows in intervals.groupby("contig", sort=False):
        if name not in chains:
            counts["not_covered"] += len(rows)
            continue
        blocks = chains[name]
        first = np.searchsorted(blocks["end"], rows["start"], side="right")  # the first that ends after the start
        touched = first < np.searchsorted(blocks["start"], rows["end"], side="left")
        block = blocks.iloc[np.minimum(first, len(blocks) - 1)].set_index(rows.index)
        inside = touched & (block["start"] <= rows["start"]) & (block["end"] >= rows["end"])
        counts["not_covered"] += int((~touched).sum())
        counts["across_blocks"] += int((touched & ~inside).sum())
        counts["lifted"] += int(inside.sum())
        pieces.append(_carry(rows[inside], block[inside]))
    return pd.concat(pieces).loc[lambda table: intervals.index.intersection(table.index)], dict(counts)


def _carry(rows: pd.DataFrame, block: pd.DataFrame) -> pd.DataFrame:
    """Move intervals that lie inside their block."""
    forward = block["strand"] == "+"
    ahead = (rows["start"] - block["start"]).where(forward, block["end"] - rows["end"])
    start = block["begin"] + ahead
    moved = rows.assign(contig=block["contig"], start=start, end=start + rows["end"] - rows["start"])
    if "strand" in rows:
        turned = rows["strand"].map({"+": "-", "-": "+"}).fillna(rows["strand"])
        moved["strand"] = rows["strand"].where(forward, turned)
    return moved
