"""Carry intervals from one assembly to another by a UCSC chain file."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.fasta import DAMAGED_GZIP, canonical_contig, damaged_gzip, is_gzip

# By contig of the first assembly, its blocks without gaps: start, end there; contig, begin, strand in the second.
Chains = dict[str, pd.DataFrame]


def read_chain(path: str | Path) -> Chains:
    """Read a chain file, plain or gzip (UCSC's format: a header, then lines of block, gap here, gap there).

    Returns
    -------
    dict
        By contig (canonical) of the first assembly, a DataFrame in ascending order: start, end, and in the second
        assembly contig (canonical), begin (of the forward strand, int64), strand. All 0-based and half-open.

    Raises
    ------
    InputError
        With file and line, when the file can't be read, a line is malformed, or a chain's blocks don't add up to what
        its header says; when there is no chain; or when two blocks share bases of the first assembly.
    """
    path = Path(path)
    blocks: dict[str, list[tuple]] = {}
    try:
        with (gzip.open if is_gzip(path) else open)(path, "rt", encoding="ascii") as handle:
            chain, number = None, 0
            for number, line in enumerate(handle, start=1):
                fields = line.split()
                if not fields or line.startswith("#"):
                    continue
                if fields[0] == "chain":
                    _finish(chain, path, number)
                    chain = _Chain(fields, path, number)
                elif chain is None:
                    raise _malformed(path, number, "a line that begins with `chain`", line)
                else:
                    blocks.setdefault(chain.contig, []).append(chain.next_block(fields, path, number))
            _finish(chain, path, number)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as chains ({error}); expected a UCSC chain file") from None
    if not blocks:
        raise InputError(f"{path}: expected chains (UCSC's *.over.chain), found none. Fetch the file again")
    return {name: _table(rows, name, path) for name, rows in blocks.items()}


def lift(intervals: pd.DataFrame, chains: Chains) -> tuple[pd.DataFrame, dict[str, int]]:
    """Carry each interval that lies inside one block of the chains into the second assembly.

    Parameters
    ----------
    intervals
        contig (canonical), start, end, and any other columns; a strand is turned where the chain turns.
    chains
        As `read_chain` returns them.

    Returns
    -------
    DataFrame, dict
        The lifted intervals with their rows' own index; and how many were lifted, lie across the border of a block
        (across_blocks), and touch none (not_covered).
    """
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


class _Chain:
    """A chain while it is read: where its next block begins in both assemblies."""

    def __init__(self, fields: list[str], path: Path, line: int):
        try:
            _, _, contig, _, forward, start, end, other, size, strand, begin, stop = fields[:12]
            self.start, self.end, self.size = int(start), int(end), int(size)
            self.begin, self.stop = int(begin), int(stop)
        except ValueError:
            forward = strand = ""
        if forward != "+" or strand not in ("+", "-"):
            raise _malformed(path, line, "a chain's score, contig, size, +, start, end, and the other's", fields)
        self.contig, self.other, self.strand = canonical_contig(contig), canonical_contig(other), strand

    def next_block(self, fields: list[str], path: Path, line: int) -> tuple:
        """Give start, end, contig, begin, strand of a block, and step behind it and the gap that follows."""
        if len(fields) not in (1, 3) or not all(field.isdigit() for field in fields):
            raise _malformed(path, line, "a block's length, alone or with two gaps", fields)
        length, gap, other_gap = (*map(int, fields), 0, 0)[:3]
        begin = self.begin if self.strand == "+" else self.size - self.begin - length
        block = self.start, self.start + length, self.other, begin, self.strand
        self.start += length + gap
        self.begin += length + other_gap
        return block


def _finish(chain: _Chain | None, path: Path, line: int) -> None:
    if chain is not None and (chain.start, chain.begin) != (chain.end, chain.stop):
        raise InputError(
            f"{path}, line {line}: expected the chain before it to end at {chain.end:,} and {chain.stop:,}, as its "
            f"header says; found its blocks to end at {chain.start:,} and {chain.begin:,}. Fetch the file again"
        )


def _malformed(path: Path, line: int, expected: str, found: object) -> InputError:
    found = " ".join(found) if isinstance(found, list) else found.strip()
    return InputError(f"{path}, line {line}: expected {expected}; found {found[:60]!r}. Mend or remove the line")


def _table(rows: list[tuple], name: str, path: Path) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["start", "end", "contig", "begin", "strand"]).sort_values("start")
    shared = table["start"].to_numpy()[1:] < table["end"].to_numpy()[:-1]
    if shared.any():
        raise InputError(
            f"{path}: two blocks share base {table['start'].iloc[1:][shared].iloc[0] + 1:,} of {name}; expected each "
            "base in one block at most. Use the chains made for lifting (UCSC's *.over.chain)"
        )
    return table.reset_index(drop=True)


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
