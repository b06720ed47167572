"""Make a corpus of sequences that are ready: FASTA, or tables with a column of sequences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.codes import IUPAC, encode
from dnastudy.genes.corpus import SPLITS, Corpus
from dnastudy.genes.extract import Collected, leave_out, write_collected
from dnastudy.genes.fasta import DAMAGED_GZIP, count_changes, damaged_gzip, read_fasta
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
    separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); expected CSV or TSV") from None
    if COLUMN not in table:
        raise InputError(
            f"{path}: has no column {COLUMN}; found {', '.join(table.columns[:8])}. Rename the column that "
            "holds the sequences"
        )
    for number, row in enumerate(table.to_dict("records"), start=1):
        letters = row[COLUMN].strip().removeprefix("<").removesuffix(">")
        strange = set(letters.upper()) - set(IUPAC.decode())
        if strange or not letters:
            found = repr(min(strange)) if strange else "an empty sequence"
            raise InputError(
                f"{path}, row {number}: expected nucleotide codes ({IUPAC.decode()}), found {found}. Mend or "
                "remove the row"
            )
        name = row.get("NCBIGeneID") or str(number)
        kind = row.get("GeneType") or "unknown"
        yield name, row.get("Symbol") or name, kind, encode(letters), count_changes(letters.encode())
