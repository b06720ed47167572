"""Intervals as arrays of starts and ends: merge, measure, lift into a corpus, read a track."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.fasta import DAMAGED_GZIP, canonical_contig, damaged_gzip, is_gzip

BED_EXTRAS = ["name", "score", "strand", "thick_start", "thick_end", "rgb", "blocks", "sizes", "block_starts"]


def merge(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort half-open intervals and join those that overlap; intervals that only touch stay apart."""
    order = np.argsort(starts, kind="stable")
    starts, ends = np.asarray(starts, np.int64)[order], np.asarray(ends, np.int64)[order]
    if not len(starts):
        return starts, ends
    reach = np.maximum.accumulate(ends)
    first = np.r_[True, starts[1:] >= reach[:-1]]
    return starts[first], reach[np.r_[first[1:], True]]


def label_loci(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Number each interval by the merged interval that it lies in, from 0 in ascending order; int64."""
    return np.searchsorted(merge(starts, ends)[0], starts, side="right") - 1


def union_length(starts: np.ndarray, ends: np.ndarray) -> int:
    """Bases covered by at least one interval."""
    starts, ends = merge(starts, ends)
    return int((ends - starts).sum())


def runs(mask: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half-open intervals of the true stretches of ``mask``, broken wherever a new gene begins."""
    change = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    cuts = np.unique(np.concatenate([[0], change, offsets]))
    starts, ends = cuts[:-1], cuts[1:]
    inside = mask[starts]
    return starts[inside], ends[inside]


def lift(
    genes: pd.DataFrame, offsets: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Carry merged intervals of a line into the genes that lie on it, each in its own orientation."""
    left, right = genes["start"].to_numpy(), genes["end"].to_numpy()
    first = np.searchsorted(ends, left, side="right")
    count = np.maximum(np.searchsorted(starts, right, side="left") - first, 0)
    gene = np.repeat(np.arange(len(genes)), count)
    hit = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[gene]
    low = np.maximum(starts[hit], left[gene])
    high = np.minimum(ends[hit], right[gene])
    return orient(genes, offsets, gene, low, high)


def orient(
    genes: pd.DataFrame, offsets: np.ndarray, gene: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Corpus coordinates of intervals ``low``-``high`` inside the genes numbered ``gene``, ascending."""
    forward = genes["strand"].to_numpy()[gene] == "+"
    left, right = genes["start"].to_numpy()[gene], genes["end"].to_numpy()[gene]
    starts = offsets[gene] + np.where(forward, low - left, right - high)
    order = np.argsort(starts, kind="stable")
    return starts[order], (starts + high - low)[order]


def read_track(path: str | Path, contigs: Collection[str] | Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Read the intervals of a BED (plain or gzip) or Parquet file that lie on ``contigs``."""
    track = on_contigs(read_intervals(path), contigs, path)
    if isinstance(contigs, Mapping):
        check_inside(track, contigs, path)
    return track[["contig", "start", "end"]].reset_index(drop=True)


def read_intervals(path: str | Path) -> pd.DataFrame:
    """Read all intervals of a BED (plain or gzip) or Parquet file.

    A Parquet file's first three columns are contig, start and end (0-based, half-open), whatever their names.
    """
    path = Path(path)
    try:
        track = _read_parquet(path) if path.suffix == ".parquet" else _read_bed(path)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: cannot be read as intervals ({error}); expected BED or Parquet") from None
    track["contig"] = track["contig"].map({name: canonical_contig(name) for name in track["contig"].unique()})
    track.index += 1
    return track


def on_contigs(track: pd.DataFrame, contigs: Collection[str], path: str | Path) -> pd.DataFrame:
    """Give those rows of a file's intervals that lie on ``contigs``; an InputError if there is none."""
    found = track[track["contig"].isin(contigs)]
    if found.empty:
        raise InputError(
            f"{path}: no interval on {', '.join(list(contigs)[:3])}; found {', '.join(track['contig'].unique()[:3])}. "
            "Check that the track is of the same assembly and names its contigs alike"
        )
    return found


def check_inside(track: pd.DataFrame, genome: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Refuse intervals that end past their contig."""
    length = track["contig"].map({name: len(codes) for name, codes in genome.items()}).astype(np.int64)
    bad = (track["end"] > length) | (track["start"] > track["end"]) | (track["start"] < 0)
    if bad.any():
        row = track[bad].iloc[0]
        raise InputError(
            f"{path}, line {row.name}: expected an interval inside {row['contig']}, which has "
            f"{len(genome[row['contig']]):,} bases; found {row['start']:,} to {row['end']:,}. "
            "Check that track and sequence are of one assembly"
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_schema(path).names[:3]
        track = pd.read_parquet(path, columns=columns).reset_index(drop=True)
    except pa.ArrowInvalid as error:
        raise OSError(str(error)) from None
    if len(columns) < 3:
        raise InputError(f"{path}: expected columns contig, start, end; found {', '.join(columns)}")
    track.columns = ["contig", "start", "end"]
    return track


def _read_bed(path: Path) -> pd.DataFrame:
    import bioframe

    rows = bioframe.read_table(
        str(path),
        schema=["contig", "start", "end", *BED_EXTRAS],
        compression="gzip" if is_gzip(path) else None,
        dtype=str,
        quoting=3,
        skip_blank_lines=False,
    ).fillna("")
    rows = rows[~rows["contig"].str.match(r"#|track\b|browser\b|$")]
    whole = rows["start"].str.fullmatch(r"\d{1,15}") & rows["end"].str.fullmatch(r"\d{1,15}")
    if not whole.all():
        row = rows[~whole].iloc[0]
        raise InputError(
            f"{path}, line {row.name + 1}: expected whole numbers as start and end, found "
            f"{row['start']!r} and {row['end']!r}. Mend or remove the line"
        )
    return rows[["contig", "start", "end", "name"]].astype({"start": np.int64, "end": np.int64})


def covered(starts: np.ndarray, ends: np.ndarray, intervals: pd.DataFrame) -> np.ndarray:
    """Bases of each window (start and end, int64, [n]) that lie in at least one of the intervals: int64, [n]."""
    low, high = merge(intervals["start"].to_numpy(), intervals["end"].to_numpy())
    reach = np.append(0, np.cumsum(high - low))

    def before(places: np.ndarray) -> np.ndarray:
        begun = np.searchsorted(low, places)
        beyond = np.append(0, high)[begun] - places
        return reach[begun] - np.where(begun > 0, beyond.clip(0), 0)

    return before(np.asarray(ends)) - before(np.asarray(starts))


def touched(intervals: pd.DataFrame, regions: pd.DataFrame) -> np.ndarray:
    """Which intervals share a base with one of the windows, bool, [n]."""
    return covered(intervals["start"], intervals["end"], regions) > 0
