"""Read what notebook 09 is asked about: contigs, tracks, label sets and known variants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.chapters.label_regulatory_sequence import rows_of
from dnastudy.files import InputError, nearest, sha256
from dnastudy.genes.contigs import choose_contigs, read_chosen
from dnastudy.genes.corpus import SPLITS
from dnastudy.genes.intervals import read_track
from dnastudy.genes.motifs import log_odds, scan
from dnastudy.genes.tracks import Tracks
from dnastudy.genes.variants import check_assembly, check_variants, read_variants
from dnastudy.models.store import check
from dnastudy.study.inputs import (
    locate_sequences,
    locate_tracks,
    member_of,
    note_not_run,
    note_silent,
    read_annotated,
    read_run_tracks,
    refuse_unannotated,
)
from dnastudy.study.model_inputs import model_folders
from dnastudy.tasks.label_sets import (
    NEGATIVES,
    LabelSet,
    accessible,
    ctcf_sites,
    promoter_scan,
    promoters,
    read_labels,
    splice_labels,
)
from dnastudy.tasks.label_windows import Draw, assign, divide
from dnastudy.tasks.zero_shot import matched_controls, score_variants
from dnastudy.tokens import Tokenizer, train_bpe

TASKS = ("promoters", "scan", "ctcf", "splice", "elements")
NEED_TRACKS = {"ctcf", "elements"}
FIRST_LOOK = ("epochs", "trees", "cnn_epochs")  # whose defaults are too little to judge by


class Material(NamedTuple):
    """What label sets are made of.

    ``genome`` are base codes (uint8) by contig, ``splits`` says which contigs are "train" and "test"; ``starts`` and
    ``sites`` are the transcription starts and splice sites of the annotation, ``known_starts`` where any of its
    transcripts begins, ``repeats`` intervals or None, and ``tracks`` None where none were asked for.
    """

    genome: dict[str, np.ndarray]
    splits: dict[str, str]
    starts: pd.DataFrame
    known_starts: pd.DataFrame
    sites: pd.DataFrame
    repeats: pd.DataFrame | None
    tracks: Tracks | None


class KnownVariants(NamedTuple):
    """Variants on the held-out contigs and, row by row, their controls."""

    genome: dict[str, np.ndarray]
    chosen: pd.DataFrame
    controls: pd.DataFrame


def read_material(run) -> Material:
    """Read the contigs that the parameters of 09_label_regulatory_sequence name, and what is known of them."""
    for name in ("validation_labels", "test_labels"):
        if run.parameters[name]:
            raise InputError(
                f"{name}={run.parameters[name]!r}, but train_labels is empty; name the file to learn from there, or "
                "leave all three empty"
            )
    fastas, _ = locate_sequences(run)
    annotations, track = locate_tracks(run)
    if not annotations:
        raise InputError("annotation is empty: name the GTF or GFF3 file that goes with your FASTA")
    named = run.listed("train_contigs"), run.listed("test_contigs")
    found = read_chosen(fastas, *named)
    splits = {name: split for split, names in choose_contigs(found, *named).items() for name in names}
    genome = {name: found[name][0] for name in splits}
    contigs = {name: {"m5": found[name][1], "length": len(codes)} for name, codes in genome.items()}
    run.data["corpus"] = {"contigs": contigs}
    annotated = read_annotated(run, annotations, genome)
    note_silent(run, genome, annotated.genes["contig"])
    refuse_unannotated(run, [name for name, split in splits.items() if split == "test"], annotated.genes["contig"])
    tracks = read_run_tracks(run, genome)
    repeats = None
    if track:
        run.data["repeats"] = {"file": track.name, "sha256": sha256(track)}
        repeats = read_track(track, genome)
    return Material(genome, splits, annotated.starts, annotated.known_starts, annotated.sites, repeats, tracks)


def check_models(run) -> None:
    """Refuse a named model that isn't there, or is of no known build, before anything takes time (`InputError`)."""
    for source in model_folders(run).values() if run.parameters["models"] else ():
        check(source)


def held_out(run, material: Material | None, label_sets: Mapping[str, LabelSet]) -> dict[str, str | None]:
    """M5 of what is held out, and of contigs that held-out examples lie on; None where the sequence isn't at hand."""
    if material is None:
        return {}
    names = [name for name, split in material.splits.items() if split == "test"]  # its variants are scored
    for labels in label_sets.values():
        names += labels.table.query("split == 'test'")["contig"].unique().tolist()
    contigs = run.data["corpus"]["contigs"]
    return {name: contigs[name]["m5"] if name in contigs else None for name in dict.fromkeys(names)}


def read_tokenizer(run, material: Material | None) -> Tokenizer | None:
    """Whose tokens the published negatives shuffle: the file given, or merges learnt from the training contigs."""
    if material is None:
        return None
    if run.tokenizer:
        return Tokenizer.load(run.tokenizer)
    names = [name for name, split in material.splits.items() if split == "train"]
    offsets = np.cumsum([len(material.genome[name]) for name in names])[:-1]
    return train_bpe(np.concatenate([material.genome[name] for name in names]), run.merges, offsets)


def build_label_sets(run, material: Material | None, tokenizer: Tokenizer | None) -> dict[str, LabelSet]:
    """The label sets asked for, by name; the user's own where there are any."""
    if material is None:
        return _users(run)
    tasks, kinds = run.listed("tasks"), run.listed("negatives")
    for name, value, known in (("tasks", tasks, TASKS), ("negatives", kinds, NEGATIVES)):
        if not value and (name == "tasks" or "promoters" in tasks):
            raise InputError(f"{name} is empty: name one or more of {', '.join(known)}, between commas")
        for each in value:
            if each not in known:
                raise InputError(f"{name}={run.parameters[name]!r}: no {each!r}; {nearest(each, known)}")
    if material.tracks is None and (without := NEED_TRACKS & set(tasks)):
        raise InputError(
            f"tasks={run.tasks!r}: {', '.join(sorted(without))} can't be made without tracks; name a dataset of "
            "tracks, or leave it out"
        )
    most = {"train": run.examples, "validation": run.validation_examples, "test": run.test_examples}
    draw = Draw(most, run.drop_shared, run.seed)
    place = (material.genome, material.starts, material.splits)
    found = {}
    if "promoters" in tasks:
        for kind in kinds:
            about = {"negatives": kind, "tokenizer": tokenizer, "repeats": material.repeats}
            found[f"Prom300, {kind}"] = promoters(*place, known=material.known_starts, **about, draw=draw)
    if "scan" in tasks:
        fewer = {split: int(np.ceil(run.scan_share * most[split])) for split in ("train", "validation")}
        how = {"known": material.known_starts, "stride": run.stride, "draw": draw._replace(most=most | fewer)}
        found["PromScan"] = promoter_scan(*place, **how)
    if "ctcf" in tasks:
        tracks = material.tracks
        note_silent(run, material.genome, tracks.ctcf["contig"], "bound intervals of CTCF")
        found["CTCF"] = ctcf_sites(material.genome, tracks.motif, tracks.ctcf, material.splits, draw=draw)
    if "splice" in tasks:
        found["splice"] = splice_labels(material.genome, material.sites, material.splits, draw=draw)
    if "elements" in tasks:
        found["DNase"] = accessible(material.tracks.elements, draw=draw)
    return found


def _users(run) -> dict[str, LabelSet]:
    """The label set of the user's own files, whole, by a name that none of ours has."""
    paths = {split: run.parameters[f"{split}_labels"] for split in SPLITS}
    labels = read_labels(**paths, drop_shared=run.drop_shared, seed=run.seed)
    run.data["labels"] = {split: sha256(path) for split, path in paths.items() if path}
    floors_alone = run.parameters["models"] == "none"
    left = [name for name in FIRST_LOOK if run.is_default(name) and not (floors_alone and name == "epochs")]
    if left:
        run.note(
            f"{', '.join(left)}: at the default of a first look at the sample, which on labels of your own says "
            "nothing of a model (begin with -p epochs 10 -p cnn_epochs 20 -p trees 100 -r seeds 0,1,2)"
        )
    for split in ("validation", "test"):
        facts = labels.facts[split]
        if facts["sharing"] and not run.drop_shared:
            run.note(
                f"{split}: {facts['sharing']:,} of {len(rows_of(labels, split)):,} sequences stand in training, whole "
                f"({facts['copies']:,}) or with 31 of their bases; -p drop_shared True leaves them out"
            )
    return {f"own: {labels.name}": labels}


def floor_scores(label_sets: Mapping[str, LabelSet], material: Material | None) -> dict[str, dict[str, tuple]]:
    """How well the best place of each sequence fits the CTCF motif (bits), where that is what is asked."""
    if "CTCF" not in label_sets or material is None:
        return {}
    weights = log_odds(material.tracks.motif)
    labels = label_sets["CTCF"]
    best = np.array([max(strand.max() for strand in scan(codes, weights)) for codes in labels.codes])
    return {"CTCF": {"CTCF motif": tuple(best[rows_of(labels, split)] for split in ("train", "test"))}}


def read_known_variants(run, material: Material | None) -> KnownVariants | None:
    """Read and check known variants on the held-out contigs, and draw those that are scored.

    A control is the same change of the same three bases nearby (`dnastudy.tasks.zero_shot.matched_controls`). Notes say
    what is left out. None when none are asked for, or none on these contigs has a control.
    """
    if run.variants < 1 or material is None:
        run.note(f"variants: left out, since {'your own labels are judged' if material is None else 'variants is 0'}")
        return None
    path = member_of(run.variants_dataset, "variants")
    known = read_variants(path, [name for name, split in material.splits.items() if split == "test"])
    if not Path(run.variants_dataset).is_file():
        note_not_run(run, ["clinical variants"], "a VCF of them is read as variants_dataset, or by dnastudy variants")
    agreeing, refused = check_variants(known, material.genome)
    run.table(refused.assign(position=refused["position"] + 1), "variants_refused")
    check_assembly(agreeing, refused, path, run.out / "variants_refused.tsv")
    chosen = agreeing.sample(min(run.variants, len(agreeing)), random_state=run.seed).sort_index(ignore_index=True)
    controls = matched_controls(material.genome, chosen, known, run.seed)
    chosen = chosen.loc[controls.index]
    reasons = {reason: int(count) for reason, count in refused["reason"].value_counts().items()}
    run.data["variants"] = {"file": path.name, "sha256": sha256(path), "refused": reasons}
    run.note(
        f"{path.name}: {len(known):,} single-base variants on the held-out contigs, {len(refused):,} "
        f"refused ({', '.join(f'{count} {reason}' for reason, count in reasons.items()) or 'none'}); "
        f"{len(chosen):,} scored"
    )
    if known.empty and run.is_default("variants_dataset"):
        run.note(
            f"variants_dataset is at its default, {run.variants_dataset!r}, which fits the embedded sample alone: give "
            "a VCF of your contigs, or ask for none (-p variants 0)"
        )
    if chosen.empty:
        return None
    places = chosen.assign(start=chosen["position"], end=chosen["position"])
    groups = assign(places, divide(material.genome, material.splits))["group"].to_numpy()
    return KnownVariants(material.genome, chosen.assign(group=groups), controls)


def score_known_variants(run, known: KnownVariants | None, models: Mapping[str, object]) -> pd.DataFrame:
    """Log-likelihood ratios of known variants, each beside its control."""
    if known is None or not models:
        return pd.DataFrame()
    tables = []
    for name, model in models.items():
        scored, beside = (
            score_variants(model, known.genome, one, context=run.context) for one in (known.chosen, known.controls)
        )
        group = known.chosen["group"].to_numpy()
        tables.append(scored.assign(model=name, control=beside["llr"].to_numpy(), group=group))
    return pd.concat(tables, ignore_index=True)
