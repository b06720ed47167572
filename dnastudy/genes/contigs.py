"""Read whole contigs as one sequence to learn from and one to hold out, with the repeats in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import UNKNOWN, m5
from dnastudy.genes.fasta import canonical_contig, read_fasta, read_names
from dnastudy.genes.intervals import merge, read_track


class Contigs(NamedTuple):
    """Contigs in a row, an unknown base between two.

    ``codes`` are base codes (uint8, [n]), ``repeats`` says which bases lie in a repeat (bool, [n]; None where no track
    was given), and ``contigs`` has each one's length (bases) and m5, by name.
    """

    codes: np.ndarray
    repeats: np.ndarray | None
    contigs: dict[str, dict]


def read_genome(
    paths: Iterable[str | Path], contigs: Collection[str] | None = None
) -> dict[str, tuple[np.ndarray, str]]:
    """Base codes (uint8, [n]) and M5 of the contigs of FASTA files, by canonical name."""
    found = {}
    for path in paths:
        for record in read_fasta(path, lambda name: contigs is None or canonical_contig(name) in contigs):
            name = canonical_contig(record.name)
            if name in found:
                raise InputError(f"{path}: a second contig named {name}; expected one name for each. Rename it")
            found[name] = record.codes, record.m5
    return found


def names_in(paths: Iterable[str | Path]) -> list[str]:
    """Canonical names of the contigs of FASTA files, in file order (see `dnastudy.genes.fasta.read_names`)."""
    return [canonical_contig(name) for path in paths for name in read_names(path)]


def name_contigs(train: Iterable[str], test: Iterable[str]) -> dict[str, list[str]]:
    """Canonical names of the contigs to learn from (``train``) and of those to hold out (``test``)."""
    named = {"train": [canonical_contig(name) for name in train], "test": [canonical_contig(name) for name in test]}
    if both := set(named["train"]) & set(named["test"]):
        raise InputError(f"{', '.join(sorted(both))}: both learnt from and held out; name each contig once")
    return named


def read_chosen(
    paths: Sequence[str | Path], train: Iterable[str] = (), test: Iterable[str] = ()
) -> dict[str, tuple[np.ndarray, str]]:
    """Read the contigs named (see `read_genome`); or all, where none to learn from or none to hold out are named."""
    named = name_contigs(train, test)
    both = named["train"] + named["test"]
    found = read_genome(paths, both if all(named.values()) else None)
    for name in both:
        if name not in found:
            raise InputError(f"no contig {name!r} in the sequence; {nearest(name, names_in(paths))}")
    return found


def choose_contigs(found: Iterable[str], train: Iterable[str] = (), test: Iterable[str] = ()) -> dict[str, list[str]]:
    """Which contigs are learnt from ("train") and which are held out ("test"), each in the order of ``found``.

    Without ``test``, the last one that ``train`` doesn't name is held out; without ``train``, all that aren't held out
    are learnt from.
    """
    named, found = name_contigs(train, test), list(found)
    others = [name for name in found if name not in named["train"] + named["test"]]
    test = named["test"] or others[-1:]
    train = named["train"] or [name for name in others if name not in test]
    if not (train and test):
        raise InputError(
            f"{', '.join(found)}: nothing left to {'hold out' if train else 'learn from'}; give two contigs, or name "
            "fewer"
        )
    return {split: [name for name in found if name in names] for split, names in (("train", train), ("test", test))}


def read_contigs(
    paths: Sequence[str | Path],
    *,
    train: Collection[str] = (),
    test: Collection[str] = (),
    repeats: str | Path | None = None,
    halves: bool = True,
) -> dict[str, Contigs]:
    """Read the contigs of FASTA files, some to learn from and some to hold out."""
    found = read_chosen(paths, train, test)
    masks = dict.fromkeys(found) if repeats is None else _mask(found, repeats)
    if halves and len(found) == 1 and not (train or test):
        ((name, (codes, _)),) = found.items()
        middle = len(codes) // 2
        parts = {f"{name}:{start + 1}-{end}": slice(start, end) for start, end in ((0, middle), (middle, len(codes)))}
        found = {half: (codes[part], m5(codes[part])) for half, part in parts.items()}
        masks = {half: None if repeats is None else masks[name][part] for half, part in parts.items()}
    return {split: _join(found, masks, names) for split, names in choose_contigs(found, train, test).items()}


def _mask(found: dict[str, tuple[np.ndarray, str]], repeats: str | Path) -> dict[str, np.ndarray]:
    """Which bases of each contig lie in a repeat."""
    masks = {name: np.zeros(len(codes), dtype=bool) for name, (codes, _) in found.items()}
    for name, rows in read_track(repeats, {name: codes for name, (codes, _) in found.items()}).groupby("contig"):
        for start, end in zip(*merge(rows["start"], rows["end"]), strict=True):
            masks[name][start:end] = True
    return masks


def _join(found: dict[str, tuple[np.ndarray, str]], masks: dict[str, np.ndarray | None], names: list[str]) -> Contigs:
    """The named contigs in a row."""
    codes, repeats = [], []
    for name in names:
        codes += [found[name][0], np.array([UNKNOWN], dtype=np.uint8)]
        repeats += [masks[name], np.array([False])]
    identities = {name: {"length": len(found[name][0]), "m5": found[name][1]} for name in names}
    repeats = None if repeats[0] is None else np.concatenate(repeats[:-1])
    return Contigs(np.concatenate(codes[:-1]), repeats, identities)
