"""Read whole contigs as one sequence to learn from and one to hold out, with the repeats in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnastudy.files import InputError, nearest
from dnastudy.genes.fasta import UNKNOWN, canonical_contig, m5, read_fasta
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
    """Base codes (uint8, [n]) and M5 of the contigs of FASTA files, by canonical name.

    Parameters
    ----------
    paths
        FASTA files.
    contigs
        Canonical names of those that are wanted; None: all.

    Raises
    ------
    InputError
        When two contigs have one name, or as `read_fasta` says.
    """
    found = {}
    for path in paths:
        for record in read_fasta(path):
            name = canonical_contig(record.name)
            if name in found:
                raise InputError(f"{path}: a second contig named {name}; expected one name for each. Rename it")
            if contigs is None or name in contigs:
                found[name] = record.codes, record.m5
    return found


def name_contigs(train: Iterable[str], test: Iterable[str]) -> dict[str, list[str]]:
    """Canonical names of the contigs to learn from (``train``) and of those to hold out (``test``).

    Raises
    ------
    InputError
        When a contig is to be learnt from and held out.
    """
    named = {"train": [canonical_contig(name) for name in train], "test": [canonical_contig(name) for name in test]}
    if both := set(named["train"]) & set(named["test"]):
        raise InputError(f"{', '.join(sorted(both))}: both learnt from and held out; name each contig once")
    return named


def read_contigs(
    paths: Iterable[str | Path],
    *,
    train: Collection[str] = (),
    test: Collection[str] = (),
    repeats: str | Path | None = None,
) -> dict[str, Contigs]:
    """Read the contigs of FASTA files, some to learn from and some to hold out.

    Parameters
    ----------
    paths
        FASTA files.
    train, test
        Names of contigs; ``19`` is ``chr19``. Without ``test``, the last one that ``train`` doesn't name is held out;
        without ``train``, all that aren't held out are learnt from. Of a single contig that neither names, the second
        half is held out.
    repeats
        A BED or Parquet file of intervals.

    Returns
    -------
    The contigs of ``train`` and ``test``, in file order.

    Raises
    ------
    InputError
        When a contig is missing, comes twice or is to be learnt from and held out, nothing is left to hold out, or as
        `read_fasta` and `read_track` say.
    """
    named = {split: set(names) for split, names in name_contigs(train, test).items()}
    found = read_genome(paths)
    for name in sorted(named["train"] | named["test"]):
        if name not in found:
            raise InputError(f"no contig {name!r} in the sequence; {nearest(name, found)}")
    masks = dict.fromkeys(found) if repeats is None else _mask(found, repeats)
    if len(found) == 1 and not any(named.values()):
        ((name, (codes, _)),) = found.items()
        middle = len(codes) // 2
        halves = {f"{name}:{start + 1}-{end}": slice(start, end) for start, end in ((0, middle), (middle, len(codes)))}
        found = {half: (codes[part], m5(codes[part])) for half, part in halves.items()}
        masks = {half: None if repeats is None else masks[name][part] for half, part in halves.items()}
    others = [name for name in found if name not in named["train"] | named["test"]]
    test = named["test"] or set(others[-1:])
    train = named["train"] or set(others) - test
    if not (train and test):
        raise InputError(
            f"{', '.join(found)}: nothing left to {'hold out' if train else 'learn from'}; name fewer contigs"
        )
    return {"train": _join(found, masks, train), "test": _join(found, masks, test)}


def _mask(found: dict[str, tuple[np.ndarray, str]], repeats: str | Path) -> dict[str, np.ndarray]:
    """Which bases of each contig lie in a repeat."""
    masks = {name: np.zeros(len(codes), dtype=bool) for name, (codes, _) in found.items()}
    for name, rows in read_track(repeats, {name: codes for name, (codes, _) in found.items()}).groupby("contig"):
        for start, end in zip(*merge(rows["start"], rows["end"]), strict=True):
            masks[name][start:end] = True
    return masks


def _join(found: dict[str, tuple[np.ndarray, str]], masks: dict[str, np.ndarray | None], names: set[str]) -> Contigs:
    """The named contigs in a row, in the order in which they were found."""
    codes, repeats = [], []
    names = [name for name in found if name in names]
    for name in names:
        codes += [found[name][0], np.array([UNKNOWN], dtype=np.uint8)]
        repeats += [masks[name], np.array([False])]
    identities = {name: {"length": len(found[name][0]), "m5": found[name][1]} for name in names}
    repeats = None if repeats[0] is None else np.concatenate(repeats[:-1])
    return Contigs(np.concatenate(codes[:-1]), repeats, identities)
