"""Judge models on label sets: fine-tuned, probed, from a random start and as they are, with the floors beside them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnastudy.files import InputError, atomic_path, nearest, sha256
from dnastudy.genes.codes import join, kmer_numbers, reverse_complement
from dnastudy.genes.contigs import choose_contigs, read_chosen
from dnastudy.genes.corpus import SPLITS
from dnastudy.genes.intervals import read_track
from dnastudy.genes.motifs import log_odds, scan
from dnastudy.genes.tracks import Tracks
from dnastudy.genes.variants import check_assembly, check_variants, read_variants
from dnastudy.models import TrainingConfig, load
from dnastudy.models.classify import fine_tune, predict
from dnastudy.models.neural import pick_device
from dnastudy.models.pooled import count_in_pieces, embed
from dnastudy.models.store import check, digest_of, untrained
from dnastudy.study.cache import begin, finished, keep, side_by_side
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
from dnastudy.tasks.composition import kmer_counts, kmer_shares, longest_runs
from dnastudy.tasks.floors import CLASS_ORDER, class_ngrams, label_floors, probe
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
from dnastudy.tasks.zero_shot import matched_controls, occlusion, score_variants, site_likelihood
from dnastudy.tokens import Tokenizer, train_bpe
from dnastudy.tokens.ids import BASES

FLOORS = "floors"  # what stands in a model's place
PARTS = 5  # of a sequence, between which its GC share varies
WORDS = 6  # bases of the words whose frequencies are compared
TASKS = ("promoters", "scan", "ctcf", "splice", "elements")
NEED_TRACKS = {"ctcf", "elements"}
FIRST_LOOK = ("epochs", "trees", "cnn_epochs")  # whose defaults are too little to judge by
TRAINING = "epochs batch accumulate learning_rate warmup weight_decay patience precision reverse_complement".split()


@dataclass(frozen=True)
class Plan:
    """What is done with each model on each label set; the same for all."""

    training: dict = field(default_factory=dict)
    head_rate: float = 10.0
    dropout: float = 0.0
    seeds: tuple[int, ...] = (0, 1, 2)
    random_start: bool = True
    replacements: int = 4
    trees: int = 100
    epochs: int = 10


class Outcome(NamedTuple):
    """What came of one model, or of the floors, on one label set.

    ``facts`` are plain values by name. ``predictions`` has a row a run and test example: predictor, use, seed, strands
    ("one", or "both" averaged), example (which of the test rows), p0, p1 ... (probability of each class). ``scores``
    has a row a zero-shot score and test example: predictor, use, example, score.
    """

    facts: dict
    predictions: pd.DataFrame
    scores: pd.DataFrame


def judge_models(
    label_sets: Mapping[str, LabelSet],
    models: Mapping[str, str | Path],
    plan: Plan,
    out: str | Path,
    *,
    floor_scores: Mapping[str, dict] | None = None,
    code: str = "",
    device: str | None = None,
    progress: str | Path | None = None,
) -> dict[tuple[str, str], Outcome]:
    """Judge each model, and the floors, on each label set.

    Pieces are done side by side (see `dnastudy.study.cache`). What is finished is kept in ``out`` and isn't
    done again with the same plan, data and ``code``, nor is a fine-tuning that ended; an interrupted one goes on from
    its checkpoint.
    """
    import torch

    if FLOORS in models:
        raise InputError(f"{models[FLOORS]}: {FLOORS!r} is what the floors are called; rename the model's folder")
    fixed = {"plan": json.loads(json.dumps(dataclasses.asdict(plan))), "code": code, "torch": torch.__version__}
    fixed["device"] = pick_device(device).type
    given = {name: (labels, (floor_scores or {}).get(name, {})) for name, labels in label_sets.items()}
    digests = {name: digest_of(source) for name, source in models.items()} | {FLOORS: FLOORS}
    done, waiting = {}, []
    for name, (labels, scores) in given.items():
        examples = _digest(labels, scores)
        for model, source in {FLOORS: None, **models}.items():
            folder = Path(out) / re.sub(r"\W+", "-", name) / model
            identity = fixed | {"examples": examples, "model": digests[model]}
            found = finished(folder, identity, ("predictions", "scores"))
            if found is None:
                waiting.append((name, model, source and str(source), identity, folder, device, progress))
            else:
                done[name, model] = Outcome(*found)
    # What takes longest begins first, so that no process is left alone with it at the end.
    waiting.sort(key=lambda task: -_cost(label_sets[task[0]]) * (task[1] != FLOORS))
    done |= dict(side_by_side(_judge, waiting, (given, plan), device=device, what="judged a model"))
    return {(name, model): done[name, model] for name in label_sets for model in digests}


def rows_of(labels: LabelSet, split: str) -> np.ndarray:
    """Numbers of the rows of a split, int64."""
    return np.flatnonzero(labels.table["split"] == split)


def part(labels: LabelSet, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences and labels (int64) of a split."""
    rows = rows_of(labels, split)
    return [labels.codes[row] for row in rows], labels.table["label"].to_numpy(np.int64)[rows]


def _has_sites(labels: LabelSet) -> bool:
    """Whether a label hangs on some bases of each sequence, more than one, that can be replaced."""
    table = labels.table
    return "core_start" in table and bool((table["core_end"] - table["core_start"] > 1).all())


def _centre(labels: LabelSet) -> int | None:
    """Where each sequence is looked at by place: the middle of the bases that all labels hang on.

    Of a user's own sequences, of which that isn't known, it is their middle; of windows without a core there is none.
    """
    table = labels.table
    if "core_start" in table:
        first, end = int(table["core_start"].max()), int(table["core_end"].min())
        return (first + end) // 2 if first < end else None
    return None if table["contig"].any() else len(labels.codes[0]) // 2


def _cost(labels: LabelSet) -> int:
    return sum(map(len, labels.codes))


def _digest(labels: LabelSet, scores: Mapping) -> str:
    """SHA-256 of examples, labels, splits, cores and scores."""
    digest = hashlib.sha256()
    for codes in labels.codes:
        digest.update(codes.tobytes() + b"\xff")
    columns = [name for name in ("label", "split", "core_start", "core_end") if name in labels.table]
    digest.update(labels.table[columns].to_csv(index=False).encode())
    for name, pair in sorted(scores.items()):
        digest.update(name.encode() + b"".join(np.asarray(values, dtype=np.float64).tobytes() for values in pair))
    return digest.hexdigest()


def _judge(task: tuple, given: Mapping[str, tuple], plan: Plan) -> tuple[tuple[str, str], Outcome]:
    """Judge one model, or the floors, on one label set and keep what comes of it."""

    name, model, source, identity, folder, device, progress = task
    labels, floor_scores = given[name]
    started = time.monotonic()
    begin(folder, identity)
    scores = pd.DataFrame(columns=["predictor", "use", "example", "score"])
    if source is None:
        facts, parts = {}, list(_floors(labels, floor_scores, plan, device))
    else:
        trunk = load(source, device=device)
        facts = _facts(trunk, labels)
        uses = (
            _class_ngrams(trunk, labels) if trunk.kind == "ngram" else _fine_tuned(trunk, labels, plan, folder, device)
        )
        parts = [_rows(model, *found) for found in (*uses, *_probed(trunk, labels, plan))]
        if plan.replacements and _has_sites(labels):
            scores = _zero_shot(trunk, labels, plan).assign(predictor=model)
    facts["seconds"] = time.monotonic() - started
    outcome = Outcome(facts, pd.concat(parts, ignore_index=True), scores)
    keep(folder, identity, facts, predictions=outcome.predictions, scores=scores)
    shutil.rmtree(folder / "tuning", ignore_errors=True)
    if progress:
        with open(progress, "a", encoding="utf-8") as stream:
            print(f"{name}: {model} judged in {facts['seconds']:.0f} s", file=stream)
    return (name, model), outcome


def _rows(predictor: str, use: str, seed: int, strands: str, probabilities: np.ndarray) -> pd.DataFrame:
    """A row a test example."""

    columns = {f"p{number}": column for number, column in enumerate(np.asarray(probabilities, np.float32).T)}
    about = {"predictor": predictor, "use": use, "seed": seed, "strands": strands}
    return pd.DataFrame(about | {"example": np.arange(len(probabilities))} | columns)


def _floors(labels: LabelSet, scores: Mapping, plan: Plan, device: str | None) -> Iterator[pd.DataFrame]:

    learn, test = part(labels, "train"), part(labels, "test")
    how = {"seeds": plan.seeds, "trees": plan.trees, "epochs": plan.epochs}
    found_by = label_floors(learn, test[0], **how, centre=_centre(labels), scores=scores, device=device)
    for floor, found in found_by.items():
        for seed, probabilities in zip(plan.seeds, found, strict=False):
            yield _rows(floor, "floor", seed, "one", probabilities)


def _facts(trunk, labels: LabelSet) -> dict:
    """Size of a model, and how many sequences are longer than what it sees at once."""

    facts = {"kind": trunk.kind, "parameters": None, "in_pieces": 0}
    facts |= {"longest": max(map(len, labels.codes)), "seen": None}
    if trunk.kind == "ngram":
        return facts
    return facts | {"parameters": trunk.size} | count_in_pieces(trunk, labels.codes)


def _class_ngrams(trunk, labels: LabelSet) -> Iterator[tuple]:
    """N-grams of each class, of the model's order up to 6 and of its strands; nothing else of it is in them."""

    learn, validation, (test, _) = (part(labels, split) for split in SPLITS)
    how = {"order": min(trunk.order, CLASS_ORDER), "reverse_complement": trunk.reverse_complement}
    turned = [reverse_complement(codes) for codes in test]
    one, other = np.split(class_ngrams(learn, test + turned, validation=validation, **how), 2)
    yield "fine-tuned", 0, "one", one
    yield "fine-tuned", 0, "both", (one + other) / 2


def _fine_tuned(trunk, labels: LabelSet, plan: Plan, folder: Path, device: str | None) -> Iterator[tuple]:

    learn, validation, (test, _) = (part(labels, split) for split in SPLITS)
    turned = [reverse_complement(codes) for codes in test]
    runs = [("fine-tuned", seed) for seed in plan.seeds]
    runs += [("random start", plan.seeds[0])] * plan.random_start
    for use, seed in runs:
        out = folder / "tuning" / f"{use.replace(' ', '-')}-{seed}"
        if not (path := out / "predictions.npy").exists():
            config = _settings(plan, seed, len(learn[0]))
            classifier = fine_tune(
                trunk if use == "fine-tuned" else untrained(trunk, seed),
                *learn,
                len(labels.classes),
                out,
                config,
                validation=validation,
                dropout=plan.dropout,
                head_rate=plan.head_rate,
                device=device,
            )
            strands = [predict(classifier, codes, precision=config.precision) for codes in (test, turned)]
            with atomic_path(path) as partial, partial.open("wb") as stream:
                np.save(stream, strands)
        one, other = np.load(path)
        yield use, seed, "one", one
        yield use, seed, "both", (one + other) / 2


def _settings(plan: Plan, seed: int, examples: int) -> TrainingConfig:
    """Of a fine-tuning on so many examples."""

    config = TrainingConfig.from_dict(plan.training | {"seed": seed})
    if "checkpoint_every" in plan.training:
        return config
    steps = config.epochs * -(-examples // config.batch) or config.steps
    return dataclasses.replace(config, checkpoint_every=min(max(steps // 10, 10), 500))


def _probed(trunk, labels: LabelSet, plan: Plan) -> Iterator[tuple]:

    parts = [part(labels, split) for split in SPLITS]
    answers = [labels for _, labels in parts]
    precision = TrainingConfig.from_dict(plan.training).precision
    one = [embed(trunk, codes, precision=precision) for codes, _ in parts]
    other = [embed(trunk, [reverse_complement(one) for one in codes], precision=precision) for codes, _ in parts]
    for strands, states in (("one", one), ("both", [(a + b) / 2 for a, b in zip(one, other, strict=True)])):
        validation = states[1], answers[1]
        found = probe(states[0], answers[0], states[2], classes=len(labels.classes), validation=validation)
        yield "probe", plan.seeds[0], strands, found


def _zero_shot(trunk, labels: LabelSet, plan: Plan) -> pd.DataFrame:
    """What a model that was never shown a label says of each test site."""

    rows = rows_of(labels, "test")
    codes = [labels.codes[row] for row in rows]
    cores = labels.table[["core_start", "core_end"]].to_numpy(np.int64)[rows]
    found = {
        "occlusion": occlusion(trunk, codes, cores, replacements=plan.replacements, seed=plan.seeds[0]),
        "site likelihood": site_likelihood(trunk, codes, cores),
    }
    tables = [
        pd.DataFrame({"use": use, "example": np.arange(len(rows)), "score": score}) for use, score in found.items()
    ]
    return pd.concat(tables, ignore_index=True)


def card(labels: LabelSet) -> pd.DataFrame:
    """A label set in a few lines."""

    table, rows = labels.table, [("examples", f"{len(labels.codes):,}"), ("bases of an example", _range(labels.codes))]
    for split in SPLITS:
        here = table[table["split"] == split]
        counts = np.bincount(here["label"], minlength=len(labels.classes))
        found = ", ".join(f"{count:,} {name}" for name, count in zip(labels.classes, counts, strict=True))
        rows.append((split, f"{found}; {here['group'].nunique():,} groups"))
    gc = pd.Series([np.isin(codes, (1, 2)).sum() / max((codes < 4).sum(), 1) for codes in labels.codes])
    shares = {"GC share": gc} | ({"share in repeats": table["repeats"]} if "repeats" in table else {})
    for what, share in shares.items():
        means = share.groupby(table["label"]).mean()
        rows.append((what, ", ".join(f"{name} {means[number]:.1%}" for number, name in enumerate(labels.classes))))
    return pd.DataFrame([*rows, *_said(labels.facts)], columns=["what", "value"])


def give_away(labels: LabelSet, tokenizer: Tokenizer) -> pd.DataFrame:
    """How well single numbers tell a label set's last class from its first, on the test split."""
    from sklearn.metrics import roc_auc_score

    rows, statistics = single_statistics(labels, tokenizer)
    is_last = labels.table["label"].to_numpy()[rows] > 0
    found = []
    for statistic, learnt, values in statistics:
        auroc = roc_auc_score(is_last, values)
        found.append((statistic, learnt, values[~is_last].mean(), values[is_last].mean(), auroc))
    table = pd.DataFrame(found, columns=["statistic", "learnt", "first", "last", "auroc"])
    return table.sort_values("auroc", key=lambda auroc: -abs(auroc - 0.5), kind="stable", ignore_index=True)


def single_statistics(
    labels: LabelSet, tokenizer: Tokenizer
) -> tuple[np.ndarray, Iterator[tuple[str, bool, np.ndarray]]]:
    """The numbers that `give_away` judges, of each test example of the first and the last class."""
    label, splits = labels.table["label"].to_numpy(), labels.table["split"].to_numpy()
    ends = np.isin(label, (0, len(labels.classes) - 1))
    train, test = (np.flatnonzero(ends & (splits == split)) for split in ("train", "test"))
    learn, judge = ([labels.codes[row] for row in rows] for rows in (train, test))
    return test, _statistics(learn, label[train] > 0, judge, tokenizer)


def _statistics(
    learn: Sequence[np.ndarray], is_last: np.ndarray, judge: Sequence[np.ndarray], tokenizer: Tokenizer
) -> Iterator[tuple[str, bool, np.ndarray]]:
    """Name of each statistic, whether it takes training examples, and its values, float64 [n]."""
    ids = [tokenizer.encode(codes) for codes in judge]
    yield "tokens", False, np.array([len(each) for each in ids], dtype=np.float64)
    yield "longest token", False, np.array([tokenizer.lengths[each].max(initial=0) for each in ids], dtype=np.float64)
    yield "longest run of a base", False, longest_runs(judge).astype(np.float64)
    yield "GC share", False, kmer_shares(judge, 1)[:, 1:3].sum(axis=1)
    gc = [[np.isin(part, (1, 2)).mean() for part in np.array_split(codes, PARTS)] for codes in judge]
    yield f"spread of GC over {PARTS} parts", False, np.std(gc, axis=1)
    names = [first + second for first in BASES for second in BASES]
    yield from ((name, False, share) for name, share in zip(names, kmer_shares(judge, 2).T, strict=True))
    first, last = ([learn[row] for row in np.flatnonzero(is_last == end)] for end in (False, True))
    ratio = np.log(_shares(last, tokenizer)) - np.log(_shares(first, tokenizer))
    yield "tokens by frequency", True, np.array([ratio[each].sum() for each in ids])
    first, last = (1.0 + kmer_counts(each, WORDS).reshape(-1, 4) for each in (first, last))
    ratio = np.log(last / last.sum(axis=1, keepdims=True)) - np.log(first / first.sum(axis=1, keepdims=True))
    text, begins = join(judge)
    numbers = kmer_numbers(text, WORDS)
    values = np.where(numbers >= 0, ratio.ravel()[numbers], 0.0)
    yield f"{WORDS}-mers", True, np.add.reduceat(values, begins)


def _shares(sequences: Sequence[np.ndarray], tokenizer: Tokenizer) -> np.ndarray:
    """Share of each token among all, add-one, float64 [tokens]."""
    ids = np.concatenate([tokenizer.encode(codes) for codes in sequences])
    counts = 1 + np.bincount(ids, minlength=len(tokenizer))
    return counts / counts.sum()


def _range(codes: Sequence[np.ndarray]) -> str:
    low, high = min(map(len, codes)), max(map(len, codes))
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _said(facts: dict, before: str = "") -> Iterator[tuple[str, str]]:
    """Facts in facts line by line: their names, with colons between, and their values as text."""
    for name, value in facts.items():
        words = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _said(value, f"{words}: ")
        else:
            yield words, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


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
    """Variants on the held-out contigs and, row by row, their controls.

    ``genome`` are base codes (uint8) by contig; both tables are as `zero_shot.score_variants` takes them,
    ``chosen`` with group (block of the contig, int64) too.
    """

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
    for source in run.any_folders.values() if run.parameters["models"] else ():
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


def read_plan(run) -> Plan:
    """What the parameters ask to be done with each model."""
    seeds = tuple(run.listed("seeds", int))
    if not seeds:
        raise InputError("seeds is empty: give one or more numbers, between commas")
    training = {name: run.parameters[name] for name in TRAINING} | {"validate_every": 0, "sampling": "genes"}
    return Plan(
        training=training,
        seeds=seeds,
        epochs=run.cnn_epochs,
        **{name: run.parameters[name] for name in ("head_rate", "dropout", "random_start", "replacements", "trees")},
    )


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
