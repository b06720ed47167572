"""Evaluate models on label sets: fine-tuned, probed, from a random start and as they are, beside the floors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from dnastudy.files import InputError, atomic_path
from dnastudy.genes.corpus import SPLITS
from dnastudy.models import TrainingConfig, load
from dnastudy.models.classify import SequenceClassifier, fine_tune, predict
from dnastudy.models.neural import pick_device
from dnastudy.models.pooled import count_in_pieces, embed, opposite
from dnastudy.models.store import digest_of, untrained
from dnastudy.study.cache import begin, finished, keep, side_by_side
from dnastudy.tasks.floors import CLASS_ORDER, class_ngrams, label_floors, probe
from dnastudy.tasks.label_sets import LabelSet
from dnastudy.tasks.zero_shot import occlusion, site_likelihood

FLOORS = "floors"  # what stands in a model's place
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
    """What came of one model, or of the floors, on one label set; an example is a test row.

    ``predictions``: predictor, use, seed, strands ("one", or "both" averaged), example, p0, p1 ... (of each class).
    """

    facts: dict
    predictions: pd.DataFrame
    scores: pd.DataFrame  # zero-shot: predictor, use, example, score


def evaluate_models(
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
    """Judge each model, and the floors, on each label set, side by side (see `dnastudy.study.cache`).

    What is finished is kept in ``out`` and isn't done again with the same plan, data and ``code``, nor is a fine-tuning
    that ended; an interrupted one goes on from its checkpoint.
    """
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
    waiting.sort(key=lambda task: -sum(map(len, label_sets[task[0]].codes)) * (task[1] != FLOORS))
    done |= dict(side_by_side(_judge, waiting, (given, plan), device=device, what="judged a model"))
    return {(name, model): done[name, model] for name in label_sets for model in digests}


def _has_sites(labels: LabelSet) -> bool:
    """Whether a label hangs on some bases of each sequence, more than one, that can be replaced."""
    table = labels.table
    return "core_start" in table and bool((table["core_end"] - table["core_start"] > 1).all())


def _centre(labels: LabelSet) -> int | None:
    """Where each sequence is looked at by place: the middle of the bases that all labels hang on."""
    table = labels.table
    if "core_start" in table:
        first, end = int(table["core_start"].max()), int(table["core_end"].min())
        return (first + end) // 2 if first < end else None
    return None if table["contig"].any() else len(labels.codes[0]) // 2


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
        uses = [_class_ngrams(trunk, labels)] if trunk.kind == "ngram" else _tuned(trunk, labels, plan, folder, device)
        parts = [
            _rows(model, use, seed, strands, found)
            for use, seed, *both in (*uses, _probed(trunk, labels, plan))
            for strands, found in zip(("one", "both"), both, strict=True)
        ]
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
    how = {"seeds": plan.seeds, "trees": plan.trees, "epochs": plan.epochs, "centre": _centre(labels)}
    floors = label_floors(labels.part("train"), labels.part("test")[0], **how, scores=scores, device=device)
    for floor, found in floors.items():
        for seed, probabilities in zip(plan.seeds, found, strict=False):
            yield _rows(floor, "floor", seed, "one", probabilities)


def _facts(trunk, labels: LabelSet) -> dict:
    """Size of a model, and how many sequences are longer than what it sees at once."""
    if trunk.kind == "ngram":
        longest = max(map(len, labels.codes))
        return {"kind": trunk.kind, "parameters": None, "in_pieces": 0, "longest": longest, "seen": None}
    return {"kind": trunk.kind, "parameters": trunk.size} | count_in_pieces(trunk, labels.codes)


# Each gives a use, a seed, and the test rows' class probabilities (float [n, classes]) by one strand and by both.
def _class_ngrams(trunk, labels: LabelSet) -> tuple:
    """N-grams of each class, of the model's order up to 6 and of its strands; nothing else of it is in them."""
    learn, validation, (test, _) = map(labels.part, SPLITS)
    how = {"order": min(trunk.order, CLASS_ORDER), "reverse_complement": trunk.reverse_complement}
    one, other = np.split(class_ngrams(learn, test + opposite(test), validation=validation, **how), 2)
    return "fine-tuned", 0, one, (one + other) / 2


def _tuned(trunk, labels: LabelSet, plan: Plan, folder: Path, device: str | None) -> Iterator[tuple]:
    learn, validation, (test, _) = map(labels.part, SPLITS)
    runs = [("fine-tuned", seed) for seed in plan.seeds]
    runs += [("random start", plan.seeds[0])] * plan.random_start
    for use, seed in runs:
        out = folder / "tuning" / f"{use.replace(' ', '-')}-{seed}"
        if not (path := out / "predictions.npy").exists():
            config = _settings(plan, seed, len(learn[0]))
            start = trunk if use == "fine-tuned" else untrained(trunk, seed)
            how = {"dropout": plan.dropout, "head_rate": plan.head_rate, "seed": seed}
            classifier = SequenceClassifier(start, len(labels.classes), **how)
            fine_tune(classifier, *learn, out, config, validation=validation, device=device)
            strands = [predict(classifier, codes, precision=config.precision) for codes in (test, opposite(test))]
            with atomic_path(path) as partial, partial.open("wb") as stream:
                np.save(stream, strands)
        one, other = np.load(path)
        yield use, seed, one, (one + other) / 2


def _probed(trunk, labels: LabelSet, plan: Plan) -> tuple:
    parts, precision = [labels.part(split) for split in SPLITS], TrainingConfig.from_dict(plan.training).precision
    one, other = (
        [embed(trunk, strand(codes), precision=precision) for codes, _ in parts] for strand in (list, opposite)
    )
    found = [
        probe(learn, parts[0][1], test, classes=len(labels.classes), validation=(validation, parts[1][1]))
        for learn, validation, test in (one, [(a + b) / 2 for a, b in zip(one, other, strict=True)])
    ]
    return "probe", plan.seeds[0], *found


def _settings(plan: Plan, seed: int, examples: int) -> TrainingConfig:
    """Of a fine-tuning on so many examples."""
    config = TrainingConfig.from_dict(plan.training | {"seed": seed})
    if "checkpoint_every" in plan.training:
        return config
    steps = config.epochs * -(-examples // config.batch) or config.steps
    return dataclasses.replace(config, checkpoint_every=min(max(steps // 10, 10), 500))


def _zero_shot(trunk, labels: LabelSet, plan: Plan) -> pd.DataFrame:
    """What a model that was never shown a label says of each test site."""
    codes, _ = labels.part("test")
    cores = labels.test[["core_start", "core_end"]].to_numpy(np.int64)
    cost = occlusion(trunk, codes, cores, replacements=plan.replacements, seed=plan.seeds[0])
    found = {"occlusion": cost, "site likelihood": site_likelihood(trunk, codes, cores)}
    tables = [pd.DataFrame({"use": use, "example": range(len(codes)), "score": its}) for use, its in found.items()]
    return pd.concat(tables, ignore_index=True)


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
