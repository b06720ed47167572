"""Read what is known of the contigs of a run, its annotation and tracks, and note what isn't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError, sha256
from dnastudy.genes.annotation import check_ends, read_annotation
from dnastudy.genes.manifest import fetch, load_manifest
from dnastudy.genes.tracks import (
    CANONICAL,
    Tracks,
    annotated_starts,
    read_tracks,
    splice_sites,
    transcription_starts,
)
from dnastudy.study.inputs import member_of, paths_of, some_of


class Annotated(NamedTuple):
    """What annotations say, of whatever contigs: tables in 0-based, half-open coordinates.

    ``genes`` are those of `dnastudy.genes.annotation.read_annotation`; ``starts``, ``known_starts`` and ``sites`` as
    `dnastudy.genes.tracks.transcription_starts`, `annotated_starts` and `splice_sites` return them.
    """

    genes: pd.DataFrame
    starts: pd.DataFrame
    known_starts: pd.DataFrame
    sites: pd.DataFrame


def locate_tracks(run) -> tuple[list[Path], Path | None]:
    """Where the annotation and the repeats stand that go with the contigs of `dnastudy.study.inputs.chromosomes`.

    Returns
    -------
    Annotation files, none where a FASTA of the user's has none beside it; and the repeats, None where there are none.
    """
    if run.fasta:
        return paths_of(run.annotation), member_of(run.repeats, "intervals") if run.repeats else None
    kinds = {member: its.kind for member, its in load_manifest(run.dataset).members.items()}
    files = fetch(run.dataset, members=[member for member, kind in kinds.items() if kind == "annotation"])
    repeats = run.repeats or (run.dataset if "intervals" in kinds.values() else "")
    return list(files.values()), member_of(repeats, "intervals") if repeats else None


def read_annotated(run, paths: Iterable[Path], genome: Mapping[str, np.ndarray]) -> Annotated:
    """Read the annotations of a genome (base codes, uint8, by contig); the record keeps files and counts, a note too.

    Raises
    ------
    InputError
        When one ends past a contig, or as `dnastudy.genes.annotation.read_annotation` says.
    """
    parts, incomplete = [], 0
    for path in paths:
        its = read_annotation(path)
        for name, codes in genome.items():
            check_ends(its, name, len(codes), path)
        parts.append((its.genes, transcription_starts(its), annotated_starts(its), splice_sites(its)))
        transcripts = its.transcripts[its.transcripts["contig"].isin(genome)]
        incomplete += int((transcripts["coding"] & ~transcripts["complete"]).sum())
    found = Annotated(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))
    genes, starts, _, sites = (table[table["contig"].isin(genome)] for table in found)
    counts = {
        "genes": len(genes),
        "transcription starts of coding transcripts": len(starts),
        "coding transcripts left out, whose 5' end is incomplete": incomplete,
        "donors": int((sites["kind"] == "donor").sum()),
        "acceptors": int((sites["kind"] == "acceptor").sum()),
    }
    run.data["annotation"] = counts | {"files": {path.name: sha256(path) for path in paths}}
    run.note(f"annotation: {', '.join(f'{count:,} {what}' for what, count in counts.items())}")
    return found


def read_run_tracks(run, genome: Mapping[str, np.ndarray]) -> Tracks | None:
    """Tracks of the dataset that a run names, None where it names none; the record keeps the facts, a note the counts.

    Raises
    ------
    InputError
        As `dnastudy.genes.tracks.read_tracks` says; and that what doesn't fit is the default, where it is.
    """
    if not run.tracks:
        return None
    try:
        tracks = read_tracks(run.tracks, genome)
    except InputError as error:
        if run.is_default("tracks"):
            raise InputError(
                f"{error}. tracks is at its default, {run.tracks!r}, which fits the embedded sample alone: name a "
                'dataset of your assembly, or none (papermill: -r tracks "")'
            ) from None
        raise
    run.data["tracks"] = tracks.facts
    for track in ("ctcf", "cpg"):
        facts = tracks.facts[track].items()
        counts = [f"{count:,} {what.replace('other', 'on other').replace('_', ' ')}" for what, count in facts]
        run.note(f"{run.tracks}, {track}: {', '.join(counts)}")
    return tracks


def note_silent(run, contigs: Iterable[str], marked: Iterable[str], what: str = "any gene") -> list[str]:
    """The contigs that an annotation or a track has nothing of, and so may not know, with a note of them."""
    if lacking := sorted(set(contigs) - set(marked)):
        run.note(
            f"{some_of(lacking)}: without {what} in the files given, so that nothing of the kind is learnt or judged "
            "there; where there should be some, name contigs alike in all files"
        )
    return lacking


def refuse_unannotated(run, held_out: Iterable[str], annotated: Iterable[str]) -> None:
    """Refuse to hold out, where the user names nothing, contigs that no annotated gene lies on (`InputError`)."""
    if not run.test_contigs and not set(held_out) & set(annotated):
        raise InputError(
            f"{some_of(held_out)}: held out, since it comes last, but the annotation has no gene on it; name contigs "
            "with genes as test_contigs"
        )


def note_not_run(run, names: Iterable[str], how: str) -> None:
    """Note of what no package registry has, and isn't looked at, where it is to be had, and how it can be given."""
    for name in names:
        run.note(f"not run: {name}, {CANONICAL[name]}; {how}")
