"""Read label sets from files of sequences and labels, as the usual benchmarks have them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.corpus import SPLITS
from dnastudy.genes.fasta import encode
from dnastudy.genes.kmers import either_strand
from dnastudy.tasks.label_splits import check_classes, sharing
from dnastudy.tasks.labels import LabelSet
from dnastudy.tasks.pairs import check_sequence, read_table

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"sequence": ("sequence", "seq"), "label": ("label", "class", "target"), "split": ("split",)}
WORDS = {"dev": "validation", "valid": "validation", "val": "validation", "training": "train"}
VALIDATION = 10  # one in so many training sequences, where there is no file of them


def read_labels(
    train: str | Path,
    validation: str | Path = "",
    test: str | Path = "",
    *,
    name: str = "",
    drop_shared: bool = False,
    seed: int = 0,
) -> LabelSet:
    """Read sequences and labels from CSV or TSV files, plain or gz.

    Columns are ``sequence`` (or seq) and ``label`` (or class, target), in either case; all others but ``split`` are
    left alone. Labels are whole numbers or words, and numbered in their order. Without a file for it, the validation
    part is a tenth of the training sequences of each label, drawn at random; one file alone has a column ``split``
    (train, validation or dev, test).

    Parameters
    ----------
    train, validation, test
        The files.
    name
        Of the label set; empty: that of the folder or, of a single file, the file's own.
    drop_shared
        Leave out held-out sequences that stand in training, whole or with 31 of their bases, on either strand; else
        they are only counted.
    seed
        Of the draw.

    Returns
    -------
    LabelSet. Each sequence is a group of its own; ``contig`` is empty. ``facts`` has the files and, of validation and
    test, how many sequences stand in training, on either strand, whole or with 31 of their bases (sharing), and how
    many of them whole (copies).

    Raises
    ------
    InputError
        When a file can't be read or has no sequences, a column is missing, a line has no nucleotide sequence or no
        label, one number is written in two ways, a label is held out that training lacks, or a split lacks a class or
        is left without one.
    """
    import pandas as pd

    train, given = Path(train), {"train": train, "validation": validation, "test": test}
    tables = {split: _read(Path(path)) for split, path in given.items() if path}
    if not test:
        tables = _by_column(train, tables)
    _check_writing(tables)
    words = tables["train"]["label"]
    classes = tuple(sorted(words.unique(), key=_in_order))
    if len(classes) == 1:
        raise InputError(
            f"{train}: all {len(words):,} training sequences have the label {classes[0]!r}; expected at least two "
            "labels. Add sequences of another"
        )
    for table in tables.values():
        unknown = ~table["label"].isin(classes)
        if unknown.any():
            row = table[unknown].iloc[0]
            raise InputError(
                f"{row['where']}: label {row['label']!r}, which no training sequence has; expected one of "
                f"{', '.join(classes[:10])}. Remove the line, or add training sequences of that label"
            )
    if "validation" not in tables:
        held_out = _tenth(words, np.random.default_rng(seed))
        tables = {**tables, "train": tables["train"][~held_out], "validation": tables["train"][held_out]}
    numbers = {word: number for number, word in enumerate(classes)}
    facts = {"files": {split: Path(path).name for split, path in given.items() if path}, "drop_shared": drop_shared}
    codes = {split: [encode(letters) for letters in tables[split]["sequence"]] for split in SPLITS}
    name = name or (train.resolve().parent.name if test else train.name.split(".")[0])
    parts, known = [], {either_strand(each) for each in codes["train"]}
    for split in SPLITS:
        labels = tables[split]["label"].map(numbers).to_numpy(np.int64)
        where = str(given[split] or train)
        check_classes(where, split, labels, classes)
        part = {"contig": "", "start": 0, "end": [len(each) for each in codes[split]], "strand": "+"}
        parts.append(pd.DataFrame({**part, "label": labels, "split": split, "shared": False}))
        if split != "train":
            copies = np.array([either_strand(each) in known for each in codes[split]])
            parts[-1]["shared"] = shared = sharing(codes["train"], codes[split]) | copies
            if drop_shared:
                left = "that don't stand in training, whole or with 31 of their bases"
                check_classes(where, split, labels[~shared], classes, left)
            facts[split] = {"sharing": int(shared.sum()), "copies": int(copies.sum())}
    table, codes = pd.concat(parts, ignore_index=True), [each for split in SPLITS for each in codes[split]]
    table = table[~(table["shared"] & drop_shared)]
    codes = [codes[row] for row in table.index]
    table = table.reset_index(drop=True).assign(group=np.arange(len(table)))
    return LabelSet(name, table, codes, classes, facts)


def _read(path: Path) -> pd.DataFrame:
    """sequence, label and, where there is one, split, as text; and where each row stands."""
    table = read_table(path, "sequences and labels")
    if table.columns.empty:
        raise InputError(f"{path}: the file is empty; expected a header with sequence and label, and a line for each")
    found = {}
    for column in table.columns:
        for name, spellings in NAMES.items():
            if column.strip().lower() in spellings:
                found.setdefault(name, column)
    for name in ("sequence", "label"):
        if name not in found:
            raise InputError(
                f"{path}: no column {name!r} among {', '.join(table.columns[:8])}; expected one named "
                f"{' or '.join(NAMES[name])} in the first line"
            )
    if table.empty:
        raise InputError(f"{path}: a header and no sequence; expected a sequence and its label a line")
    table = table[list(found.values())].set_axis(list(found), axis=1).apply(lambda column: column.str.strip())
    table["where"] = [f"{path}, line {line}" for line in table.index]
    for where, letters, label in zip(table["where"], table["sequence"], table["label"], strict=True):
        check_sequence(where, letters)
        if not label:
            raise InputError(f"{where}: no label; expected a whole number or a word. Fill it in or remove the line")
    return table.reset_index(drop=True)


def _by_column(path: Path, tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Divide the one file by its column ``split``."""
    table = tables["train"]
    if "split" not in table or "validation" in tables:
        raise InputError(
            f"{path}: no sequences to test on; give a file of them, or a column `split` (train, validation, test) in "
            "one file alone"
        )
    words = table["split"].str.lower().replace(WORDS)
    odd = ~words.isin(SPLITS)
    if odd.any():
        row = table[odd].iloc[0]
        raise InputError(f"{row['where']}: split {row['split']!r}; expected train, validation (or dev) or test")
    found = {split: table[words == split].reset_index(drop=True) for split in SPLITS if (words == split).any()}
    for split in ("train", "test"):
        if split not in found:
            raise InputError(f"{path}: no line whose split is {split}; expected some. Add them, or give separate files")
    return found


def _tenth(labels: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """A tenth of the rows of each label, one at least, bool [n]."""
    held_out = np.zeros(len(labels), dtype=bool)
    for rows in labels.groupby(labels).indices.values():
        held_out[rng.choice(rows, max(1, len(rows) // VALIDATION), replace=False)] = True
    return held_out


def _check_writing(tables: dict[str, pd.DataFrame]) -> None:
    """Refuse one number in two ways, such as 1 and 1.0, which would be two labels."""
    seen: dict[Decimal, tuple[str, str]] = {}
    for table in tables.values():
        numbers = table[table["label"].str.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")]
        for row in numbers.drop_duplicates("label").itertuples():
            word, where = seen.setdefault(Decimal(row.label), (row.label, row.where))
            if word != row.label:
                raise InputError(
                    f"{row.where}: label {row.label!r}, which {where} writes as {word!r}; expected one way of writing "
                    "a label, since these would be two. Write it alike in all files"
                )


def _in_order(label: str) -> tuple[bool, int, str]:
    """Whole numbers by value, before words by the alphabet."""
    number = label.removeprefix("-").isdecimal()
    return (not number, int(label) if number else 0, label)
