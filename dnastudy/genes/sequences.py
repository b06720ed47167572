"""Make a corpus of sequences that are ready: FASTA, or tables with a column of sequences."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.codes import IUPAC, encode
from dnastudy.genes.corpus import SPLITS, Corpus
from dnastudy.genes.extract import Collected, leave_out, write_collected
from dnastudy.genes.fasta import count_changes, is_gzip, read_fasta
from dnastudy.genes.split import (
    COPY,
    RELATED,
    RELATIVE,
    TEST,
    check_rule,
    find_copies,
    hold_out,
)

COLUMN = "NucleotideSequence"
NUCLEOTIDES = re.compile(f"[{IUPAC.decode()}]*", re.IGNORECASE)


def load_sequences(
    out: str | Path,
    *,
    train: str | Path,
    test: str | Path | None = None,
    validation: str | Path | None = None,
    split: str = "random",
    validation_share: float = 0.1,
    test_share: float = 0.1,
    family_method: str = "kmers",
    family_share: float = 0.1,
    allow_duplicates: bool = False,
    seed: int = 0,
) -> Corpus:
    """Code ready sequences into a corpus folder; each sequence is a locus of its own.

    A file is FASTA, or CSV or TSV with a column ``NucleotideSequence`` and perhaps ``NCBIGeneID``, ``Symbol`` and
    ``GeneType`` (Ihtiyar and Ozgur 2024). What isn't given is drawn from the training sequences. By family, sequences
    with a relative in a later split's file are dropped; else ``corpus.json`` counts them as ``test_relatives``.
    """
    check_rule(split)
    given = dict(zip(SPLITS, (train, validation, test), strict=True))
    tables = {name: _read(Path(file)) for name, file in given.items() if file is not None}
    shares = {"test": test_share, "validation": validation_share}
    shares = {name: share for name, share in shares.items() if name not in tables}
    if len(tables["train"]) <= len(shares):
        raise InputError(
            f"{train}: {len(tables['train'])} sequences are too few to draw {' and '.join(shares)} from; "
            "expected more, or a file of its own for each"
        )
    place = np.repeat([SPLITS.index(name) for name in tables], [len(table) for table in tables.values()])
    genes = pd.concat(tables.values(), ignore_index=True)
    codes = list(genes.pop("codes"))
    how = {"by_family": split == "family", "method": family_method, "share": family_share, "seed": seed}
    held = hold_out(codes, place, shares, **how)
    copies, leaves = find_copies(codes, held.split), held.split == RELATED
    dropped = {RELATIVE: int(leaves.sum())} if leaves.any() else {}
    if copies.any() and not allow_duplicates:
        if test is not None:
            raise InputError(_refuse_copies(given, genes["id"][copies]))
        dropped[COPY] = int(copies.sum())
        leaves = leaves | copies
    kept = _in_order(leave_out(genes, codes, held, copies, leaves))
    letters = pd.DataFrame(list(kept.genes.pop("changes"))).sum().to_dict()
    facts = {"made_by": "load_sequences", "letters": letters, "dropped": dropped}
    if held.families is not None:
        family = kept.genes["family"]
        facts["test_relatives"] = int(family[kept.split == TEST].isin(family[kept.split < TEST]).sum())
    inputs = {name: [Path(file)] for name, file in given.items() if file}
    return write_collected(out, kept, held, {}, inputs, {}, facts)


def _in_order(kept: Collected) -> Collected:
    """Ready sequences by split, each a locus of its own."""
    order = np.argsort(kept.split, kind="stable")
    codes = [kept.codes[number] for number in order]
    genes = kept.genes.iloc[order].reset_index(drop=True)
    genes = genes.assign(contig="", start=0, end=list(map(len, codes)), strand="+", locus=np.arange(len(genes)))
    genes["tss"] = [[] for _ in codes]
    return Collected(genes, codes, kept.split[order], kept.copies)


def _refuse_copies(given: dict[str, str | Path | None], names: pd.Series) -> str:
    seen = " or ".join(str(given[name]) for name in ("train", "validation") if given[name])
    return (
        f"{given['test']}: expected sequences that don't stand in {seen}, found {len(names):,} that do, on either "
        f"strand (the first is {names.iloc[0]}). Remove them, or set allow_duplicates"
    )


def _read(path: Path) -> pd.DataFrame:
    """One row a sequence: id, symbol, type, codes and changes."""
    tabular = {".csv", ".tsv"} & set(path.suffixes)
    rows = pd.DataFrame(
        _from_table(path) if tabular else ((r.name, r.name, "unknown", r.codes, r.changes) for r in read_fasta(path)),
        columns=["id", "symbol", "type", "codes", "changes"],
    )
    if rows.empty:
        raise InputError(f"{path}: holds no sequences; expected at least one")
    if (again := rows["id"].duplicated()).any():
        name = rows["id"][again].iloc[0]
        raise InputError(f"{path}: two sequences are named {name!r}; expected one name for each. Rename one")
    return rows


def _from_table(path: Path) -> Iterator[tuple]:
    table = read_table(path, "sequences")
    if COLUMN not in table:
        raise InputError(
            f"{path}: has no column {COLUMN}; found {', '.join(table.columns[:8])}. Rename the column that "
            "holds the sequences"
        )
    for number, (line, row) in enumerate(zip(table.index, table.to_dict("records"), strict=True), start=1):
        letters = row[COLUMN].strip().removeprefix("<").removesuffix(">")
        check_sequence(f"{path}, line {line}, column {COLUMN}", letters)
        name = row.get("NCBIGeneID") or str(number)
        kind = row.get("GeneType") or "unknown"
        yield name, row.get("Symbol") or name, kind, encode(letters), count_changes(letters.encode())


def read_table(path: Path, of: str) -> pd.DataFrame:
    """A file of text columns (TSV or CSV, plain or gz) as strings, by line number; the delimiter is the header's."""
    rows, lines = [], []
    try:
        with (gzip.open if is_gzip(path) else open)(path, "rt", encoding="utf-8-sig", newline="") as handle:
            delimiter = "\t" if "\t" in handle.readline() else ","
            handle.seek(0)
            # The module refuses fields over 128 KiB unless told otherwise; genes are longer.
            csv.field_size_limit(2**31 - 1)
            reader = csv.reader(handle, delimiter=delimiter)
            header = next(reader, [])
            for row in reader:
                if any(row):
                    rows.append(row)
                    lines.append(reader.line_num)
    except (EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a whole table ({error}); expected a TSV or CSV file of {of}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a TSV or CSV file of {of}") from None
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(row)} fields; expected {len(header)}, as in the header. Look for "
                "a missing or surplus delimiter"
            )
    return pd.DataFrame(rows, columns=header, index=lines, dtype=str)


def check_sequence(where: str, value: str) -> None:
    """Refuse a text that isn't one or more nucleotide codes (`InputError`)."""
    whole = NUCLEOTIDES.match(value).end()
    if whole < len(value):
        raise InputError(
            f"{where}: {value[whole]!r} at base {whole + 1} is no nucleotide code; expected A, C, G, T or an IUPAC code"
        )
    if not value:
        raise InputError(f"{where}: no sequence; expected at least one base. Fill it in or remove the line")
