"""Turn a notebook's parameters into its inputs: a corpus from whatever was given, and small ones where nothing was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from filelock import BaseFileLock, FileLock

from dnastudy.files import InputError, nearest, sha256
from dnastudy.genes import SPLITS, Corpus, extract_genes, load_sequences
from dnastudy.genes.annotation import annotated_starts, check_ends, read_annotation, splice_sites, transcription_starts
from dnastudy.genes.contigs import name_contigs, read_contigs
from dnastudy.genes.download import fetch
from dnastudy.genes.fasta import canonical_contig
from dnastudy.genes.manifest import MANIFESTS, load_manifest
from dnastudy.genes.tracks import CANONICAL, Tracks, read_tracks
from dnastudy.study.parameters import PROJECT, declared_parameters, listed, package_hash


def build_corpus(parameters: dict, out: Path) -> Corpus:
    """Build the corpus that the parameters of 01_extract_genes describe, in ``out``, and return it.

    Ready sequences come first, then a FASTA with its annotation, then the named dataset, which may hold either.
    """
    if parameters["train_sequences"] and (parameters["fasta"] or parameters["annotation"]):
        raise InputError(
            "train_sequences and fasta are both given: name ready sequences, or a FASTA with its annotation"
        )
    given = {k: _paths_of(v) for k, v in parameters.items() if k in ("fasta", "annotation")}
    ready = {name: parameters[f"{name}_sequences"] or None for name in SPLITS}
    if any(ready.values()) and not ready["train"]:
        raise InputError("train_sequences is empty, but other sequences are given: name the file to train from too")
    if len(given["annotation"]) not in {len(given["fasta"]), min(1, len(given["fasta"]))}:
        raise InputError(
            f"fasta and annotation go together, one annotation a FASTA or one for all: found {len(given['fasta'])} and "
            f"{len(given['annotation'])} files"
        )
    named = {name: listed(parameters[name]) for name in ("train_contigs", "test_contigs")}
    repeats = None
    if not ready["train"] and not given["fasta"]:
        contigs = named["train_contigs"] and named["train_contigs"] + named["test_contigs"]
        ready, given, repeats = _dataset(parameters["dataset"], {canonical_contig(name) for name in contigs})
    rules = {name: parameters[name] for name in ("split", "family_method", "family_share", "allow_duplicates", "seed")}
    if ready.get("train"):
        if any(named.values()):
            raise InputError("train_contigs or test_contigs names contigs, but ready sequences lie on none; empty both")
        shares = {name: parameters[name] for name in ("validation_share", "test_share")}
        return load_sequences(out, **ready, **shares, **rules)
    biotypes = listed(parameters["biotypes"])
    return extract_genes(
        **given,
        out=out,
        biotypes=None if biotypes in ([], ["all"]) else biotypes,
        min_length=parameters["min_length"],
        max_length=parameters["max_length"] or None,
        max_n=parameters["max_n"],
        **{name: names or None for name, names in named.items()},
        validation=parameters["validation_share"],
        test=parameters["test_share"],
        **rules,
        repeats=member_of(parameters["repeats"], "intervals") if parameters["repeats"] else repeats,
    )


def load_corpus(run) -> Corpus:
    """The corpus named by a run's ``corpus`` parameter, the embedded sample's where that is empty."""
    corpus = Corpus.load(run.parameters["corpus"] or smoke_corpus())
    run.data["corpus"] = corpus.info
    return corpus


def load_corpora(run, name: str) -> dict[str, Corpus]:
    """The corpora of the comma-separated folders in another parameter, by name."""
    found = {short: Corpus.load(folder) for short, folder in run.folders(name).items()}
    run.data |= {f"corpus {short}": corpus.info["files"] for short, corpus in found.items()}
    return found


def annotated(corpus) -> list[str]:
    """The contigs of a corpus that a gene of its annotation lies on; none where it has no contigs."""
    return [name for name, its in corpus.info.get("contigs", {}).items() if its["name_in_annotation"]]


def chromosomes(run, *, halves: bool = True):
    """The contigs that a run learns from and holds out, of the user's FASTA files, else of the named dataset.

    No more than the contigs asked for is fetched. Of a single one the second half is held out, if ``halves``.
    """
    named = {split: run.listed(f"{split}_contigs") for split in ("train", "test")}
    paths, track = locate_sequences(run)
    track = member_of(run.repeats, "intervals") if run.repeats else track
    found = read_contigs(paths, **named, repeats=track, halves=halves)
    run.data["corpus"] = {"contigs": {name: its for part in found.values() for name, its in part.contigs.items()}}
    if track:
        run.data["repeats"] = {"file": track.name, "sha256": sha256(track)}
    for split, part in found.items():
        run.note(f"{'learnt from' if split == 'train' else 'held out'}: {', '.join(part.contigs)}")
    return found


def locate_sequences(run) -> tuple[list[Path], Path | None]:
    """Where the contigs stand that a run names: the user's FASTA files, else those of its dataset, with its repeats."""
    if run.fasta:
        return _paths_of(run.fasta), None
    named = name_contigs(run.listed("train_contigs"), run.listed("test_contigs"))
    return _sequences(run.dataset, {*named["train"], *named["test"]} if all(named.values()) else set())


def smoke_corpus() -> Path:
    """Folder of the corpus of the embedded sample, built if it isn't there (a second or two)."""
    defaults = {name: p.default for name, p in declared_parameters("01_extract_genes").items()}
    folder = smoke_folder(defaults, "files.py", "genes", "study/inputs.py") / "corpus"
    with one_at_a_time(folder):
        if not (folder / "corpus.json").is_file():
            build_corpus(defaults, folder)
    return folder


def smoke_folder(parameters: dict, *code: str) -> Path:
    """A folder whose name changes with what fills it (parameters, code, sample), so that nothing stale is read."""
    state = [parameters, package_hash(*code), sha256(MANIFESTS / "sample.yaml")]
    name = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:12]
    return PROJECT / "results" / "smoke" / "inputs" / name


def one_at_a_time(folder: Path) -> BaseFileLock:
    """A lock for the time that a folder takes to fill: of two notebooks that run at once, one waits for the other."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{folder}.lock")


def _paths_of(value: str) -> list[Path]:
    """The files that a parameter names, between commas."""
    return [Path(part).resolve() for part in listed(value)]


def _dataset(name: str, contigs: set[str]) -> tuple[dict[str, Path], dict[str, list[Path]], Path | None]:
    """What a dataset holds: tables by split, sequence (see `_sequences`) with its annotation, repeats."""
    members = load_manifest(name).members
    tables = {Path(member).stem: member for member, its in members.items() if its.kind == "table"}
    tables = {split: tables[split] for split in SPLITS if split in tables}
    sequence, annotation = ([m for m, its in members.items() if its.kind == k] for k in ("sequence", "annotation"))
    if "train" not in tables and not (sequence and annotation):
        raise InputError(
            f"dataset={name!r}: expected sequence and annotation, or tables of ready sequences named train, validation "
            f"and test; found {', '.join(members)}. Name another dataset"
        )
    fasta, track = _sequences(name, contigs) if sequence else ([], None)
    if len(annotation) == len(sequence):  # one a FASTA, in the manifest's order
        taken = {path.name for path in fasta}
        annotation = [its for member, its in zip(sequence, annotation, strict=True) if member in taken]
    files = fetch(name, members=[*tables.values(), *annotation])
    ready = {split: files[member] for split, member in tables.items()}
    return ready, {"fasta": fasta, "annotation": [files[member] for member in annotation]}, track


def _sequences(name: str, contigs: set[str]) -> tuple[list[Path], Path | None]:
    """The sequence of a dataset, or the files of it that hold some contigs, and its repeats if it has any."""
    manifest = load_manifest(name)
    held = manifest.contigs
    if not held:
        raise InputError(f"dataset={name!r}: holds no sequence; name another, or a FASTA file of your own")
    for contig in sorted(contigs - held.keys()):
        raise InputError(f"dataset={name!r}: no contig {contig!r} in it; {nearest(contig, held)}")
    sequence = list(dict.fromkeys(member for contig, member in held.items() if contig in (contigs or held)))
    track = [member for member, its in manifest.members.items() if its.kind == "intervals"][:1]
    files = fetch(name, members=[*sequence, *track])
    return [files[member] for member in sequence], files[track[0]] if track else None


def some_of(names: Iterable[str]) -> str:
    """The first few of some names, for a note."""
    names = sorted(set(names))
    return ", ".join(names[:5] + ["..."] * (len(names) > 5))


def member_of(value: str, kind: str) -> Path:
    """A user's own file, or the first file of a kind in the named dataset."""
    if Path(value).is_file():
        return Path(value).resolve()
    name = next((name for name, member in load_manifest(value).members.items() if member.kind == kind), None)
    if name is None:
        raise InputError(f"{value}: the dataset holds no {kind}; name another, or a file of your own")
    return fetch(value, members=[name])[name]


class Annotated(NamedTuple):
    """What annotations say, of whatever contigs: the tables of `dnastudy.genes.annotation`, 0-based and half-open."""

    genes: pd.DataFrame
    starts: pd.DataFrame
    known_starts: pd.DataFrame
    sites: pd.DataFrame


def locate_tracks(run) -> tuple[list[Path], Path | None]:
    """Where the annotation and the repeats stand that go with the contigs of `dnastudy.study.inputs.chromosomes`."""
    if run.fasta:
        return _paths_of(run.annotation), member_of(run.repeats, "intervals") if run.repeats else None
    kinds = {member: its.kind for member, its in load_manifest(run.dataset).members.items()}
    files = fetch(run.dataset, members=[member for member, kind in kinds.items() if kind == "annotation"])
    repeats = run.repeats or (run.dataset if "intervals" in kinds.values() else "")
    return list(files.values()), member_of(repeats, "intervals") if repeats else None


def read_annotated(run, paths: Iterable[Path], genome: Mapping[str, np.ndarray]) -> Annotated:
    """Read the annotations of a genome (base codes, uint8, by contig); the record keeps files and counts."""
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
    """Tracks of the dataset that a run names, None where it names none; the record keeps facts and counts."""
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
