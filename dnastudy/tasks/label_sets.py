"""Label sets: windows of real contigs with what each is, divided into training and held-out parts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import encode
from dnastudy.genes.corpus import SPLITS
from dnastudy.genes.kmers import either_strand
from dnastudy.genes.motifs import WIDTHS, Motif, log_odds
from dnastudy.genes.sequences import check_sequence, read_table
from dnastudy.tasks.composition import dinucleotide_shuffle
from dnastudy.tasks.label_windows import (
    BLOCK,
    EVERYTHING,
    Draw,
    Genome,
    bases_in,
    check_classes,
    cut,
    divide,
    hold_out,
    look_alikes,
    match,
    motif_hits,
    thin,
    token_shuffle,
    windows_about,
)
from dnastudy.tasks.memorization import copied_bases
from dnastudy.tokens.tokenizer import Tokenizer

NEGATIVES = ("tokens", "dinucleotides", "genomic")
BEFORE, AFTER = 250, 50  # bases of a promoter's window before its transcription start and from it on
ABOUT = 5000  # bases on each side of a transcription start that are scanned for it
WIDTH = 1000  # bases of a window of such a scan
NAMES = {"sequence": ("sequence", "seq"), "label": ("label", "class", "target"), "split": ("split",)}
WORDS = {"dev": "validation", "valid": "validation", "val": "validation", "training": "train"}
VALIDATION = 10  # one in so many training sequences, where there is no file of them

Splits = Mapping[str, str]  # train or test by contig


class LabelSet(NamedTuple):
    """Sequences and what each of them is; ``negatives`` is their kind where a task has several."""

    name: str
    table: pd.DataFrame
    codes: list[np.ndarray]
    classes: tuple[str, ...]
    facts: dict
    negatives: str = ""

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the rows of a split, int64."""
        return np.flatnonzero(self.table["split"] == split)

    def part(self, split: str) -> tuple[list[np.ndarray], np.ndarray]:
        """Sequences and labels (int64) of a split."""
        rows = self.rows(split)
        return [self.codes[row] for row in rows], self.table["label"].to_numpy(np.int64)[rows]

    @property
    def test(self) -> pd.DataFrame:
        """The held-out rows, numbered anew."""
        return self.table.iloc[self.rows("test")].reset_index(drop=True)

    @property
    def title(self) -> str:
        """Its name in tables."""
        return f"{self.name}, {self.negatives}" if self.negatives else self.name


def promoters(
    genome: Genome,
    starts: pd.DataFrame,
    splits: Splits,
    *,
    negatives: str = "genomic",
    known: pd.DataFrame | None = None,
    tokenizer: Tokenizer | None = None,
    repeats: pd.DataFrame | None = None,
    draw: Draw = EVERYTHING,
) -> LabelSet:
    """Prom300: the sequence about each transcription start beside as much that holds none.

    With one seed the promoters are the same whatever the kind of negatives (but where ``drop_shared`` drops pairs):
    each has a real window nearby that matches it, in the same split.
    """
    if negatives not in NEGATIVES:
        raise InputError(f"negatives {negatives!r}; {nearest(negatives, NEGATIVES)}")
    if negatives == "tokens" and tokenizer is None:
        raise InputError("negatives 'tokens': no tokenizer whose tokens could be shuffled; give one of byte pairs")
    regions = divide(genome, splits)
    apart, dropped = thin(_starts_on("Prom300", starts, splits), BEFORE + AFTER)
    first = apart["position"] - np.where(apart["strand"] == "+", BEFORE, AFTER - 1)
    windows = apart.assign(start=first, end=first + BEFORE + AFTER, label=1, core_start=BEFORE, core_end=BEFORE + 1)
    positives, codes = cut(genome, windows, dropped, regions)
    positives["unit"] = np.arange(len(positives))
    found = match(genome, positives, regions, pd.concat([starts, known]), repeats, draw.seed)
    matched = found >= 0
    dropped["promoter without a match"] = int((~matched).sum())
    positives, codes = positives[matched], [codes[row] for row in np.flatnonzero(matched)]
    others = positives.assign(label=0)
    rng = np.random.default_rng(draw.seed)
    if negatives == "genomic":
        others["start"], others["end"] = found[matched], found[matched] + BEFORE + AFTER
        others, theirs = cut(genome, others, dropped)
    elif negatives == "tokens":
        theirs = [token_shuffle(each, tokenizer, rng) for each in codes]
    else:
        theirs = [dinucleotide_shuffle(each, rng) for each in codes]
    table = pd.concat([positives, others], ignore_index=True)
    if repeats is not None and negatives == "genomic":
        table["repeats"] = bases_in(table, repeats) / (table["end"] - table["start"])
    facts = {"contigs": dict(splits), "before": BEFORE, "negatives": negatives, "dropped": dropped}
    labels = _finish("Prom300", ("no promoter", "promoter"), table, codes + theirs, facts, draw, by="pair")
    return labels._replace(negatives=negatives)


def promoter_scan(
    genome: Genome,
    starts: pd.DataFrame,
    splits: Splits,
    *,
    known: pd.DataFrame | None = None,
    stride: int = 500,
    draw: Draw = EVERYTHING,
) -> LabelSet:
    """PromScan: which windows of the 10 kb about transcription starts hold one.

    Windows begin at the multiples of ``stride`` on a contig. A window comes once, on the strand of the start next to
    its middle, and is positive with a start on either strand, since most promoters are read both ways. All windows next
    to a start are drawn together.
    """
    regions = divide(genome, splits)
    starts = _starts_on("PromScan", starts, splits).sort_values(["contig", "position"], ignore_index=True)
    tables = (starts, pd.concat([starts, known]))
    parts = [
        windows_about(*(one[one["contig"] == contig] for one in tables), ABOUT, WIDTH, stride) for contig in splits
    ]
    windows = pd.concat(parts, ignore_index=True)
    doubtful = windows["label"] < 0
    dropped = {"no start but another known one": int(doubtful.sum())}
    found = cut(genome, windows[~doubtful], dropped, regions)
    facts = {"contigs": dict(splits), "stride": stride, "about": 2 * ABOUT, "dropped": dropped}
    return _finish("PromScan", ("no start", "start"), *found, facts, draw, by="locus")


def ctcf_sites(
    genome: Genome,
    motif: Motif,
    bound: pd.DataFrame,
    splits: Splits,
    *,
    threshold: float = 10.0,
    width: int = 200,
    draw: Draw = EVERYTHING,
) -> LabelSet:
    """CTCF: places where the motif stands, bound or not, in the middle of their windows, on the strand that scores.

    A motif that lies partly in a bound interval is left out, and so are contigs that have none.
    """
    regions, weights = divide(genome, splits), log_odds(motif)
    parts = [motif_hits(genome[contig], weights, threshold).assign(contig=contig) for contig in splits]
    table = pd.concat(parts, ignore_index=True)
    inside = bases_in(table.assign(start=table["site"], end=table["site"] + len(weights)), bound)
    silent = ~table["contig"].isin(bound["contig"])  # what binds there isn't known
    partly = (inside > 0) & (inside < len(weights))
    dropped = {"motif on a contig without a bound interval": int(silent.sum())}
    dropped["motif partly in a bound interval"] = int(partly.sum())
    table = table.assign(label=(inside > 0).astype(np.int64))[~(partly | silent)].reset_index(drop=True)
    before = width // 2 - len(weights) // 2
    after = width - before - len(weights)
    table["start"] = table.pop("site") - np.where(table["strand"] == "+", before, after)
    table["end"] = table["start"] + width
    table["core_start"], table["core_end"] = before, before + len(weights)
    facts = {"contigs": dict(splits), "motif": motif.id, "threshold": threshold, "dropped": dropped}
    return _finish("CTCF", ("unbound", "bound"), *cut(genome, table, dropped, regions), facts, draw)


def splice_labels(
    genome: Genome, sites: pd.DataFrame, splits: Splits, *, width: int = 100, draw: Draw = EVERYTHING
) -> LabelSet:
    """Splice: donors and acceptors, the border in the middle of the window, beside places that look like them.

    For each, a place between the outermost borders of its gene that has GT after it as a donor has, or AG before it,
    and is no border on either strand.
    """
    regions, rng = divide(genome, splits), np.random.default_rng(draw.seed)
    sites = sites[sites["contig"].isin(splits)].drop_duplicates(["contig", "border", "strand"], ignore_index=True)
    like = [look_alikes(genome[contig], here, rng) for contig, here in sites.groupby("contig", sort=False)]
    real = sites.assign(label=sites["kind"].map({"donor": 1, "acceptor": 2}).astype(np.int64))
    table = pd.concat([real, *like], ignore_index=True)
    dropped = {"gene without a look-alike left": 2 * len(sites) - len(table)}
    table["start"] = table["border"] - width // 2
    table["end"] = table["start"] + width
    reach = np.array([WIDTHS[kind] for kind in table["kind"]], dtype=np.int64).reshape(-1, 2)
    table["core_start"], table["core_end"] = width // 2 - reach[:, 0], width // 2 + reach[:, 1]
    table = table.drop(columns=["border", "gene"]).rename(columns={"kind": "like"})
    facts = {"contigs": dict(splits), "negatives": "GT or AG inside the same genes", "dropped": dropped}
    return _finish("splice", ("neither", "donor", "acceptor"), *cut(genome, table, dropped, regions), facts, draw)


def accessible(elements: pd.DataFrame, *, draw: Draw = EVERYTHING) -> LabelSet:
    """DNase: in which cell type an element is accessible. The split is the elements' own."""
    classes = tuple(sorted(elements["cell"].unique()))
    table = elements.reset_index(drop=True)
    codes = [encode(sequence) for sequence in table.pop("sequence")]
    table["label"] = table.pop("cell").map({name: number for number, name in enumerate(classes)}).astype(np.int64)
    blocks = table["contig"] + ":" + (table["start"] // BLOCK).astype(str)
    table = table.assign(strand="+", group=blocks.factorize()[0])
    return _finish("DNase", classes, table, codes, {}, draw)


def _starts_on(name: str, starts: pd.DataFrame, contigs: Splits) -> pd.DataFrame:
    """Transcription starts on some contigs, one at least."""
    found = starts[starts["contig"].isin(contigs)]
    if found.empty:
        raise InputError(
            f"{name}: no transcription start on {', '.join(contigs)}; expected protein-coding transcripts whose 5' end "
            "is complete. Give an annotation that has some, or leave this label set out"
        )
    return found


def _finish(
    name: str, classes: tuple[str, ...], table: pd.DataFrame, codes: list, facts: dict, draw: Draw, by: str = "class"
) -> LabelSet:
    table, codes, rows = hold_out(name, table, codes, classes, draw, by=by)
    return LabelSet(name, table, codes, classes, facts | rows | {"drop_shared": draw.drop_shared, "seed": draw.seed})


def read_labels(
    train: str | Path, validation: str | Path = "", test: str | Path = "", *, drop_shared: bool = False, seed: int = 0
) -> LabelSet:
    """Read sequences and labels from CSV or TSV files, plain or gz.

    Columns are ``sequence`` (or seq) and ``label`` (or class, target), in either case. Labels are whole numbers or
    words, and numbered in their order. Without a file for it, the validation part is a tenth of the training sequences
    of each label, drawn at random; one file alone has a column ``split`` (train, validation or dev, test).
    """
    given = zip(SPLITS, (train, validation, test), strict=True)
    files = {split: Path(path) for split, path in given if path}
    parts = {split: _read(path) for split, path in files.items()}
    if "test" not in files:
        parts = _by_column(files["train"], parts)
    table = pd.concat([part.assign(split=split) for split, part in parts.items()], ignore_index=True)
    classes = _read_classes(files["train"], table)
    if "validation" not in parts:
        rng = np.random.default_rng(seed)
        for rows in parts["train"].groupby("label").indices.values():  # which come first in the table
            drawn = rng.choice(rows, max(1, len(rows) // VALIDATION), replace=False)
            table.loc[drawn, "split"] = "validation"
        table = table.sort_values("split", key=lambda split: split.map(SPLITS.index), kind="stable", ignore_index=True)
    codes = [encode(letters) for letters in table["sequence"]]
    table = pd.DataFrame({"contig": "", "start": 0, "end": list(map(len, codes)), "strand": "+"}).assign(
        label=table["label"].map(classes.index).astype(np.int64), split=table["split"], shared=False
    )
    first = int((table["split"] == "train").sum())
    known = {either_strand(each) for each in codes[:first]}
    copies = table["shared"].copy()
    copies[first:] = [either_strand(each) in known for each in codes[first:]]
    table.loc[first:, "shared"] = (copied_bases(codes[:first], codes[first:]) > 0) | copies[first:]
    facts = {"files": {split: path.name for split, path in files.items()}, "drop_shared": drop_shared}
    for split in SPLITS:
        here, where = table[table["split"] == split], str(files.get(split, train))
        check_classes(where, split, here["label"], classes)
        if drop_shared:
            left = "that don't stand in training, whole or with 31 of their bases"
            check_classes(where, split, here.loc[~here["shared"], "label"], classes, left)
        if split != "train":
            facts[split] = {"sharing": int(here["shared"].sum()), "copies": int(copies[here.index].sum())}
    table = table[~(table["shared"] & drop_shared)]
    name = files["train"].resolve().parent.name if test else files["train"].name.split(".")[0]
    codes = [codes[row] for row in table.index]
    return LabelSet(name, table.reset_index(drop=True).assign(group=np.arange(len(table))), codes, classes, facts)


def _read_classes(train: Path, table: pd.DataFrame) -> tuple[str, ...]:
    """The labels of training in order; refuse one alone, in two ways (as 1 and 1.0), or a held-out sequence's own."""
    seen: dict[Decimal, tuple[str, str]] = {}
    numbers = table[table["label"].str.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")]
    for row in numbers.drop_duplicates("label").itertuples():
        word, where = seen.setdefault(Decimal(row.label), (row.label, row.where))
        if word != row.label:
            raise InputError(
                f"{row.where}: label {row.label!r}, which {where} writes as {word!r}; expected one way of writing "
                "a label, since these would be two. Write it alike in all files"
            )
    words = table.loc[table["split"] == "train", "label"]
    classes = tuple(sorted(words.unique(), key=_in_order))
    if len(classes) == 1:
        raise InputError(
            f"{train}: all {len(words):,} training sequences have the label {classes[0]!r}; expected at least two "
            "labels. Add sequences of another"
        )
    for row in table[~table["label"].isin(classes)].itertuples():
        raise InputError(
            f"{row.where}: label {row.label!r}, which no training sequence has; expected one of "
            f"{', '.join(classes[:10])}. Remove the line, or add training sequences of that label"
        )
    return classes


def _read(path: Path) -> pd.DataFrame:
    """sequence, label and, where there is one, split, as text; and where each row stands."""
    table = read_table(path, "sequences and labels")
    if table.columns.empty:
        raise InputError(f"{path}: the file is empty; expected a header with sequence and label, and a line for each")
    names = {spelling: name for name, spellings in NAMES.items() for spelling in spellings}
    found = {}
    for column in table.columns:
        if name := names.get(column.strip().lower()):
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
    for row in table[~words.isin(SPLITS)].itertuples():
        raise InputError(f"{row.where}: split {row.split!r}; expected train, validation (or dev) or test")
    found = {split: table[words == split].reset_index(drop=True) for split in SPLITS if (words == split).any()}
    for split in ("train", "test"):
        if split not in found:
            raise InputError(f"{path}: no line whose split is {split}; expected some. Add them, or give separate files")
    return found


def _in_order(label: str) -> tuple[bool, int, str]:
    """Whole numbers by value, before words by the alphabet."""
    number = label.removeprefix("-").isdecimal()
    return (not number, int(label) if number else 0, label)
