"""Make a corpus of ready sequences, from FASTA or from the human-genes paper's CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.files import InputError, sha256
from dnastudy.genes.corpus import SPLITS, Corpus, write_corpus
from dnastudy.genes.fasta import DAMAGED_GZIP, IUPAC, count_changes, damaged_gzip, encode, read_fasta
from dnastudy.genes.split import (
    COPY,
    EMPTIED,
    RELATED,
    RELATIVE,
    TEST,
    check_filled,
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

    A file is FASTA (see `read_fasta`), or CSV or TSV with a column ``NucleotideSequence``, whose values may
    be wrapped in ``<`` and ``>``; ``NCBIGeneID``, ``Symbol`` and ``GeneType`` are used where they are there
    (Ihtiyar and Ozgur 2024). What isn't given is drawn from the training sequences, a tenth each unless told
    otherwise.

    A file is kept whole, save that by family the sequences of train and validation that have a relative in the test
    file, and those of train with one in the validation file, are dropped and counted. By any other rule a test file
    keeps its relatives; ``corpus.json`` says, as ``test_relatives``, how many test sequences have one in train or
    validation.

    Parameters
    ----------
    out
        Folder of the corpus.
    train, validation, test
        The files.
    split, validation_share, test_share, seed
        How to draw what isn't given: sequence by sequence (``"random"``, and ``"chromosome"``, since ready
        sequences name none), or in whole homology families (``"family"``; see `dnastudy.genes.split.hold_out`).
    family_method, family_share
        How families are found (see `dnastudy.genes.families.find_families`).
    allow_duplicates
        Keep test sequences that equal one of train or validation; ``corpus.json`` says how many.

    Raises
    ------
    InputError
        When a file cannot be read, has no such column or no sequences, names two of them alike, or holds a
        character that is no nucleotide code; when too few sequences are there to draw from; or when one of a
        test file equals one of train or validation (where the test set is drawn, it is dropped and counted; by
        family, the one in train or validation is).
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
    place, held_out, rule, families = hold_out(
        list(genes["codes"]),
        place,
        shares,
        by_family=split == "family",
        method=family_method,
        share=family_share,
        seed=seed,
    )
    if families is not None:
        genes["family"] = families
    copies, leaves = find_copies(genes["codes"], place), place == RELATED
    dropped = {RELATIVE: int(leaves.sum())} if leaves.any() else {}
    if copies.any() and not allow_duplicates:
        if test is not None:
            raise InputError(_refuse_copies(given, genes["id"][copies]))
        dropped[COPY] = int(copies.sum())
        leaves = leaves | copies
    genes, place, copies = genes[~leaves], place[~leaves], copies[~leaves]
    check_filled(place, held_out, EMPTIED)
    order = np.argsort(place, kind="stable")
    genes, place = genes.iloc[order].reset_index(drop=True), place[order]
    info = {
        "made_by": "load_sequences",
        "inputs": {name: [{"file": Path(file).name, "sha256": sha256(file)}] for name, file in given.items() if file},
        "parameters": rule,
        "held_out": held_out,
        "letters": pd.DataFrame(list(genes.pop("changes"))).sum().to_dict(),
        "dropped": dropped,
        "test_copies": int(copies.sum()),
    }
    if families is not None:
        seen = genes["family"][place < TEST]
        info["test_relatives"] = int(genes["family"][place == TEST].isin(seen).sum())
    codes = list(genes.pop("codes"))
    genes = genes.assign(contig="", start=0, end=list(map(len, codes)), strand="+", locus=np.arange(len(genes)))
    genes["tss"] = [[] for _ in codes]
    return write_corpus(out, codes, genes, place.astype(np.uint8), {}, info)


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
