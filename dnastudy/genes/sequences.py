"""Make a corpus of ready sequences, from FASTA or from the human-genes paper's CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from dnastudy.files import InputError, sha256
from dnastudy.genes.corpus import SPLITS, Corpus, write_corpus
from dnastudy.genes.fasta import DAMAGED_GZIP, IUPAC, count_changes, damaged_gzip, encode, read_fasta

COLUMN = "NucleotideSequence"
VALIDATION_SHARE = 0.1


def load_sequences(
    out: str | Path,
    *,
    train: str | Path,
    test: str | Path | None = None,
    validation: str | Path | None = None,
    seed: int = 0,
) -> Corpus:
    """Code ready sequences into a corpus folder; each sequence is a locus of its own.

    A file is FASTA (see `read_fasta`), or CSV or TSV with a column ``NucleotideSequence``, whose values may
    be wrapped in ``<`` and ``>``; ``NCBIGeneID``, ``Symbol`` and ``GeneType`` are used where they are there
    (Ihtiyar and Ozgur 2024). What isn't given is drawn from the training sequences: a tenth each, by
    ``seed``.

    Raises
    ------
    InputError
        When a file cannot be read, has no such column or no sequences, names two of them alike, or holds a
        character that is no nucleotide code; or when too few sequences are there to draw from.
    """
    given = dict(zip(SPLITS, (train, validation, test), strict=True))
    tables = {name: _read(Path(file)) for name, file in given.items() if file is not None}
    split = np.repeat([SPLITS.index(name) for name in tables], [len(table) for table in tables.values()])
    genes = pd.concat(tables.values(), ignore_index=True)
    random = np.random.default_rng(seed)
    drawn = []
    for number, name in enumerate(SPLITS):
        if name in tables:
            continue
        pool = np.flatnonzero(split == 0)
        size = max(1, round(VALIDATION_SHARE * len(tables["train"])))
        if size >= len(pool):
            raise InputError(
                f"{train}: {len(tables['train'])} sequences are too few to draw the {name} split from; "
                f"expected more, or a file of its own for {name}"
            )
        split[random.choice(pool, size, replace=False)] = number
        drawn.append(name)
    order = np.argsort(split, kind="stable")
    genes, split = genes.iloc[order].reset_index(drop=True), split[order]
    info = {
        "made_by": "load_sequences",
        "inputs": {name: [{"file": Path(file).name, "sha256": sha256(file)}] for name, file in given.items() if file},
        "held_out": {
            name: f"a tenth of the training sequences, by seed {seed}" if name in drawn else "a file of its own"
            for name in SPLITS[1:]
        },
        "letters": pd.DataFrame(list(genes.pop("changes"))).sum().to_dict(),
        "dropped": {},
    }
    codes = list(genes.pop("codes"))
    genes = genes.assign(contig="", start=0, end=list(map(len, codes)), strand="+", locus=np.arange(len(genes)))
    genes["tss"] = [[] for _ in codes]
    return write_corpus(out, codes, genes, split.astype(np.uint8), {}, info)


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
