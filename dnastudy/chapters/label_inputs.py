"""Notebook 09's inputs: contigs, tracks, known variants and label sets; what these hold, and what gives them away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError, nearest, sha256
from dnastudy.genes.codes import join, kmer_numbers
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
from dnastudy.study.metrics import judge
from dnastudy.study.model_inputs import model_folders
from dnastudy.study.statistics import Interval
from dnastudy.tasks.composition import kmer_counts, kmer_shares, longest_runs
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
from dnastudy.tokens.tokenizer import BASES

TASKS = ("promoters", "scan", "ctcf", "splice", "elements")
NEED_TRACKS = {"ctcf", "elements"}
FIRST_LOOK = ("epochs", "trees", "cnn_epochs")  # whose defaults are too little to judge by
PARTS = 5  # of a sequence, between which its GC share varies
WORDS = 6  # bases of the words whose frequencies are compared


class Material(NamedTuple):
    """What label sets are made of."""

    genome: dict[str, np.ndarray]  # base codes (uint8) by contig
    splits: dict[str, str]  # "train" or "test" by contig
    starts: pd.DataFrame  # of transcription
    known_starts: pd.DataFrame  # where any transcript begins
    sites: pd.DataFrame  # of splicing
    repeats: pd.DataFrame | None
    tracks: Tracks | None  # None where none were asked for


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
    contigs = [material.genome[name] for name, split in material.splits.items() if split == "train"]
    return train_bpe(np.concatenate(contigs), run.merges, np.cumsum([len(one) for one in contigs])[:-1])


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
    genome, splits, tracks = material.genome, material.splits, material.tracks
    about = {"known": material.known_starts, "draw": draw}
    found = []
    if "promoters" in tasks:
        about |= {"tokenizer": tokenizer, "repeats": material.repeats}
        found += [promoters(genome, material.starts, splits, negatives=kind, **about) for kind in kinds]
    if "scan" in tasks:
        fewer = {split: int(np.ceil(run.scan_share * most[split])) for split in ("train", "validation")}
        how = {"known": material.known_starts, "stride": run.stride, "draw": draw._replace(most=most | fewer)}
        found.append(promoter_scan(genome, material.starts, splits, **how))
    if "ctcf" in tasks:
        note_silent(run, genome, tracks.ctcf["contig"], "bound intervals of CTCF")
        found.append(ctcf_sites(genome, tracks.motif, tracks.ctcf, splits, draw=draw))
    if "splice" in tasks:
        found.append(splice_labels(genome, material.sites, splits, draw=draw))
    if "elements" in tasks:
        found.append(accessible(tracks.elements, draw=draw))
    return {labels.title: labels for labels in found}


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
                f"{split}: {facts['sharing']:,} of {len(labels.rows(split)):,} sequences stand in training, whole "
                f"({facts['copies']:,}) or with 31 of their bases; -p drop_shared True leaves them out"
            )
    name = f"own: {labels.name}"
    return {name: labels._replace(name=name)}


def floor_scores(label_sets: Mapping[str, LabelSet], material: Material | None) -> dict[str, dict[str, tuple]]:
    """How well the best place of each sequence fits the CTCF motif (bits), where that is what is asked."""
    if "CTCF" not in label_sets or material is None:
        return {}
    weights, labels = log_odds(material.tracks.motif), label_sets["CTCF"]
    best = np.array([max(strand.max() for strand in scan(codes, weights)) for codes in labels.codes])
    return {"CTCF": {"CTCF motif": tuple(best[labels.rows(split)] for split in ("train", "test"))}}


def cards(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """The card of every label set, a line a row: task, what, value."""
    rows = [(name, *row) for name, labels in label_sets.items() for row in _card(labels)]
    return pd.DataFrame(rows, columns=["task", "what", "value"])


def _card(labels: LabelSet) -> Iterator[tuple[str, str]]:
    table, sizes = labels.table, np.unique([len(codes) for codes in labels.codes])
    yield "examples", f"{len(table):,}"
    yield "bases of an example", " to ".join(f"{size:,}" for size in np.unique(sizes[[0, -1]]))
    for split in SPLITS:
        here = table.iloc[labels.rows(split)]
        counts = np.bincount(here["label"], minlength=len(labels.classes))
        found = ", ".join(f"{count:,} {name}" for count, name in zip(counts, labels.classes, strict=True))
        yield split, f"{found}; {here['group'].nunique():,} groups"
    shares = {"GC share": [np.isin(codes, (1, 2)).sum() / max((codes < 4).sum(), 1) for codes in labels.codes]}
    for what, share in (shares | ({"share in repeats": table["repeats"]} if "repeats" in table else {})).items():
        means = pd.Series(share).groupby(table["label"]).mean()
        yield what, ", ".join(f"{name} {means[number]:.1%}" for number, name in enumerate(labels.classes))
    yield from _facts(labels.facts)


def _facts(facts: dict, before: str = "") -> Iterator[tuple[str, str]]:
    """Facts in facts line by line: their names, with colons between, and their values as text."""
    for name, value in facts.items():
        words = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _facts(value, f"{words}: ")
        elif isinstance(value, bool):
            yield words, "yes" if value else "no"
        else:
            yield words, f"{value:,}" if isinstance(value, int) else str(value)


def sizes_table(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """What each label set holds: examples by split, classes, bases, and of held-out rows two shares."""
    rows = []
    for name, labels in label_sets.items():
        test, sizes = labels.test, {split: len(labels.rows(split)) for split in SPLITS}
        row = {"task": name, "classes": len(labels.classes), **sizes}
        row |= {"bases": int(np.median([len(codes) for codes in labels.codes])), "blocks": test["group"].nunique()}
        row["commonest"] = float(test["label"].value_counts(normalize=True).max())
        rows.append(row | {"shared": float(test["shared"].mean())})
    return pd.DataFrame(rows)


def labels_table(label_sets: Mapping[str, LabelSet]) -> pd.DataFrame:
    """A row a labelled sequence: task, row (of its split), split, label (word), and its place."""
    parts = []
    for name, labels in label_sets.items():
        words = labels.table["label"].map(dict(enumerate(labels.classes)))
        row = labels.table.groupby("split").cumcount()
        parts.append(labels.table.assign(task=name, row=row, label=words))
    columns = ["task", "split", "row", "label", "contig", "start", "end", "strand"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def given_away(label_sets: Mapping[str, LabelSet], tokenizer: Tokenizer, *, resamples: int, seed: int) -> pd.DataFrame:
    """AUROC of single statistics between held-out promoters and each kind of negatives, the most telling ones first."""
    values, ends = {}, {}
    for labels in label_sets.values():
        if kind := labels.negatives:
            test, statistics = single_statistics(labels, tokenizer)
            found = pd.DataFrame(
                {(name, learnt): auroc(test, each, resamples, seed) for name, learnt, each in statistics}
            )
            values[kind], ends[f"{kind}_low"], ends[f"{kind}_high"] = (found.loc[row] for row in range(3))
    if not values:
        return pd.DataFrame()
    table = pd.DataFrame(values | ends).rename_axis(index=["statistic", "learnt"])
    order = (table.iloc[:, 0] - 0.5).abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index()


def auroc(test: pd.DataFrame, values: np.ndarray, resamples: int, seed: int) -> Interval:
    """How well one number (float [n]) tells held-out rows of label 0 from those of a higher one."""
    columns, truth = np.stack([-values, values], axis=1), (test["label"] > 0).to_numpy(np.int64)
    how = {"metrics": ["auroc"], "resamples": resamples, "seed": seed}
    return judge(truth, columns, test["group"].to_numpy(), **how)["auroc"]


def single_statistics(labels: LabelSet, tokenizer: Tokenizer) -> tuple[pd.DataFrame, Iterator[tuple]]:
    """Test rows of the first and the last class, and the numbers of each that `given_away` evaluates."""
    last = len(labels.classes) - 1
    (learn, answers), (judged, truth) = labels.part("train"), labels.part("test")
    ends = np.isin(truth, (0, last))
    classes = [[learn[row] for row in np.flatnonzero(answers == end)] for end in (0, last)]
    return labels.test[ends], _statistics(*classes, [judged[row] for row in np.flatnonzero(ends)], tokenizer)


def _statistics(
    first: Sequence[np.ndarray], last: Sequence[np.ndarray], judged: Sequence[np.ndarray], tokenizer: Tokenizer
) -> Iterator[tuple[str, bool, np.ndarray]]:
    """Name of each statistic, whether it takes training examples (of two classes), and its values, float64 [n]."""
    ids = [tokenizer.encode(codes) for codes in judged]
    yield "tokens", False, np.array([len(each) for each in ids], dtype=np.float64)
    yield "longest token", False, np.array([tokenizer.lengths[each].max(initial=0) for each in ids], dtype=np.float64)
    yield "longest run of a base", False, longest_runs(judged).astype(np.float64)
    yield "GC share", False, kmer_shares(judged, 1)[:, 1:3].sum(axis=1)
    gc = [[np.isin(part, (1, 2)).mean() for part in np.array_split(codes, PARTS)] for codes in judged]
    yield f"spread of GC over {PARTS} parts", False, np.std(gc, axis=1)
    for number, share in enumerate(kmer_shares(judged, 2).T):
        yield BASES[number // 4] + BASES[number % 4], False, share
    tokens = (np.concatenate([tokenizer.encode(codes) for codes in each]) for each in (first, last))
    ratio = _log_ratio(*(np.bincount(each, minlength=len(tokenizer)) for each in tokens))
    yield "tokens by frequency", True, np.array([ratio[each].sum() for each in ids])
    ratio = _log_ratio(*(kmer_counts(each, WORDS).reshape(-1, 4) for each in (first, last))).ravel()
    text, begins = join(judged)
    numbers = kmer_numbers(text, WORDS)
    yield f"{WORDS}-mers", True, np.add.reduceat(np.where(numbers >= 0, ratio[numbers], 0.0), begins)


def _log_ratio(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Log of how much more common something is in the last class, by counts (along the last axis), add-one."""
    first, last = (np.log((1 + counts) / (1 + counts).sum(axis=-1, keepdims=True)) for counts in (first, last))
    return last - first


def read_known_variants(run, material: Material | None) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Known variants on the held-out contigs that are scored, drawn, with controls (`matched_controls`); None: none."""
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
    return chosen.assign(group=groups), controls


def score_known_variants(run, material: Material | None, known: tuple | None, models: Mapping) -> pd.DataFrame:
    """Log-likelihood ratios of known variants, each beside its control."""
    tables = []
    for name, model in models.items() if known else ():
        scored, control = (score_variants(model, material.genome, one, context=run.context) for one in known)
        about = {"model": name, "control": control["llr"].to_numpy(), "group": known[0]["group"].to_numpy()}
        tables.append(scored.assign(**about))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
