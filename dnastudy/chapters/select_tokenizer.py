"""What each vocabulary is worth: a model pre-trained on its tokens, evaluated by its bits and by the next k-mer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from dnastudy.files import InputError, read_json, sha256
from dnastudy.genes.codes import UNKNOWN, kmers_at
from dnastudy.models import TrainingConfig, build, load, save, train
from dnastudy.models.batches import MaskedSource, TokenSource
from dnastudy.models.kmer_head import FineTuning, KmerClassifier, fine_tune_kmers, operations, predict_kmers
from dnastudy.models.neural import pick_device
from dnastudy.models.store import digest_of
from dnastudy.models.token_bits import marginal, next_kmers, successors, token_log_likelihoods
from dnastudy.models.training import masked_bits
from dnastudy.study.cache import begin, finished, keep, side_by_side
from dnastudy.tasks.next_kmer import blocks, check_classes, context_tokens, draw_examples
from dnastudy.tokens.tokenizer import FIRST_BASE, Tokenizer, single_base

LEARNT = 0.8  # share of the published protocol's windows that are learnt from (Sanabria et al. 2024)
LOOKS = 5  # at the validation windows in a pre-training
SURROUNDINGS = 100  # bases each side of a scored window that its tokens are made with


@dataclass(frozen=True)
class Plan:
    """What is done with each vocabulary; the same for all."""

    model: dict
    training: dict
    bases: int
    window: int
    sizes: tuple[int, ...]
    examples: int
    context: int = 50
    margin: int = 100
    published: int = 0
    read_off: int = 0
    seeds: tuple[int, ...] = (0,)
    fine_tuning: dict = field(default_factory=dict)
    fine_dropout: float = 0.0
    block: int = 1_000_000


class Material(NamedTuple):
    """Contigs to learn from and held out (uint8 codes), and where in them (int64)."""

    train_codes: np.ndarray
    test_codes: np.ndarray
    learn: np.ndarray  # places to fine-tune at, in random order
    test: np.ndarray  # places in the held-out contigs
    published: np.ndarray  # places in the contigs to learn from
    windows: np.ndarray  # spans [n, 2] of the held-out contigs that bits are counted on

    def digest(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256()
        for part in self:
            digest.update(np.ascontiguousarray(part))
        return digest.hexdigest()


def gather(
    train_codes: np.ndarray,
    test_codes: np.ndarray,
    plan: Plan,
    *,
    test_examples: int,
    windows: int,
    length: int,
    seed: int = 0,
) -> Material:
    """Choose the places where k-mers are predicted and the windows that bits are counted on."""
    most = max(plan.sizes)
    for name, count in (("test_examples", test_examples), ("windows", windows), ("length", length)):
        if count < 1:
            raise InputError(f"{name} = {count}; expected 1 or more")
    if plan.published:
        check_classes(int(LEARNT * plan.published), most)
    options = {"context": plan.context, "most": most, "seed": seed}
    learn = draw_examples(train_codes, 8 * plan.examples, **options)
    check_classes(len(learn[: plan.examples]), most)
    published = draw_examples(train_codes, plan.published, overlapping=True, **options) if plan.published else learn[:0]
    ends = draw_examples(test_codes, windows, context=length, most=0, seed=seed)
    return Material(
        train_codes,
        test_codes,
        np.random.default_rng(seed).permutation(learn),
        draw_examples(test_codes, test_examples, **options),
        np.random.default_rng(seed).permutation(published),
        np.stack([ends - length, ends], axis=1),
    )


class Outcome(NamedTuple):
    """What came of one vocabulary."""

    facts: dict  # plain values by name
    bits: pd.DataFrame  # a row a window: block, bases, bits, exact
    predictions: pd.DataFrame  # a row a run, k and example: protocol, start, seed, k, example, block, right, bits

    @property
    def merges(self) -> float:
        """How many merges the vocabulary has; NaN of k-mers and of models pre-trained elsewhere."""
        return float(self.facts["merges"] or math.nan)


def evaluate_vocabularies(
    vocabularies: dict[str, Path],
    material: Material,
    plan: Plan,
    out: str | Path,
    *,
    code: str = "",
    device: str | None = None,
    progress: str | Path | None = None,
) -> dict[str, Outcome]:
    """Pre-train, read off and fine-tune a model for each vocabulary, several at a time (see `side_by_side`).

    What is finished is cached in ``out`` and isn't done again with the same plan, data and ``code``; an interrupted
    pre-training goes on from its checkpoint.
    """
    out = Path(out)
    waiting, done = [], {}
    if len({slug(name) for name in vocabularies}) < len(vocabularies):
        raise InputError(f"{', '.join(vocabularies)}: two names that are one as a folder's; rename one")
    as_read = json.loads(json.dumps(dataclasses.asdict(plan)))
    fixed = {"plan": as_read, "material": material.digest(), "code": code, "torch": torch.__version__}
    for name, source in vocabularies.items():
        identity = fixed | {"source": _digest(source), "device": pick_device(device).type}
        if found := finished(out / slug(name), identity, ("bits", "predictions")):
            done[name] = Outcome(*found)
        else:
            waiting.append((name, str(source), identity, out, device, progress))
    done |= dict(side_by_side(_evaluate, waiting, (material, plan), device=device, what="evaluated a vocabulary"))
    return {name: done[name] for name in vocabularies}


def _digest(source: str | Path) -> str:
    """What tells a tokenizer or a model from another: a digest of its file or configuration, or its name elsewhere."""
    path = Path(source)
    if str(source).startswith("hf:") or path.is_dir():
        if path.is_dir() and (kind := read_json(path / "config.json").get("kind")) == "ngram":
            raise InputError(f"{source}: an {kind} model has no states to fine-tune on; give a network's folder")
        return digest_of(source)
    if not path.is_file():
        raise InputError(f"{source}: nothing there; expected a tokenizer's file, a model's folder or hf:NAME")
    return sha256(path)


def slug(name: str) -> str:
    """A vocabulary's name as that of a file."""
    return name.replace(" ", "-")


def _evaluate(task: tuple, material: Material, plan: Plan) -> tuple[str, Outcome]:
    """Evaluate one vocabulary and cache its outcome."""
    name, source, identity, out, device, progress = task
    folder = out / slug(name)

    def say(text: str) -> None:
        if progress:
            with open(progress, "a", encoding="utf-8") as stream:
                print(f"{name}: {text}", file=stream)

    started = time.monotonic()
    begin(folder, identity)
    trunk, tokenizer, facts = _pre_trained(source, material, plan, folder, device)
    facts["seconds_pre_training"] = time.monotonic() - started
    say(f"pre-trained in {facts['seconds_pre_training']:.0f} s")
    bits, parts = pd.DataFrame(), []
    if trunk.causal:
        may_follow = successors(tokenizer)
        bits = _count_bits(trunk, tokenizer, material, plan, may_follow)
        if plan.read_off and trunk.kind in ("lstm", "gru") and not trunk.published:
            parts.append(_read_off(trunk, tokenizer, material, plan, may_follow))
            say("read off")
    else:
        facts |= _count_masked(trunk, tokenizer, material, plan)
    facts["examples_paid_for"] = _examples(trunk, tokenizer, material, plan)
    facts["examples"] = min(facts["examples_paid_for"], len(material.learn))
    tunings = [_Tuning("mended", "pre-trained", seed) for seed in plan.seeds]
    tunings.append(_Tuning("mended", "random start", plan.seeds[0]))
    for tuning in tunings + [_Tuning("published", "pre-trained", plan.seeds[0])] * (plan.published > 0):
        learn = material.published if tuning.protocol == "published" else material.learn[: facts["examples"]]
        parts.append(_fine_tuned(trunk, tokenizer, material, plan, tuning, learn, device))
        say(f"{tuning.start}, {tuning.protocol}, seed {tuning.seed}: fine-tuned")
    facts["seconds"] = time.monotonic() - started
    outcome = Outcome(facts, bits, pd.concat(parts, ignore_index=True))
    keep(folder, identity, facts, bits=bits, predictions=outcome.predictions)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return name, outcome


def _pre_trained(source: str, material: Material, plan: Plan, folder: Path, device: str | None):
    """A model that has learnt a vocabulary, its tokenizer, and what is known of both."""
    if source.startswith("hf:") or Path(source).is_dir():
        trunk = load(source, device=device)
        tokenizer = getattr(trunk, "tokenizer", single_base())
        return trunk, tokenizer, {"merges": 0, "tokens": len(tokenizer), "parameters": trunk.size}
    tokenizer = Tokenizer.load(source)
    causal = plan.model["kind"] != "bert"
    about = {"vocabulary": len(tokenizer)} if causal else {"tokenizer": source}
    per_token = _bases_per_token(tokenizer, material.train_codes)
    config = TrainingConfig.from_dict(plan.training | {"window": _window(plan, per_token, causal)})
    windows = (TokenSource if causal else MaskedSource)(material.train_codes, tokenizer, config)
    steps = windows.steps_for(plan.bases)
    often = max(1, steps // LOOKS)
    config = dataclasses.replace(config, steps=steps, validate_every=often, checkpoint_every=often)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trunk = build(plan.model | about, device=device)
    history = windows.in_tokens(train(trunk, windows, folder, config, device=device, progress=False))
    if not causal:
        save(trunk, folder)  # for who wants to look into it
    seen, width = history[-1]["tokens"], trunk.config["width"]
    best = min(history, key=lambda row: row["validation_bits_per_token"])
    facts = {
        "merges": len(tokenizer.merges),
        "tokens": len(tokenizer),
        "parameters": trunk.size,
        "bases_per_token": per_token,
        "window": config.window,
        "steps": config.steps,
        "tokens_seen": seen,
        "bases_seen": seen * per_token,
        "operations": seen * (operations(trunk, (), config.window) / config.window + 6 * width * len(tokenizer)),
        windows.cost: best[windows.cost],
        "bits_per_token": best["validation_bits_per_token"],
    }
    return trunk, tokenizer, facts


def _bases_per_token(tokenizer: Tokenizer, codes: np.ndarray) -> float:
    """Mean length of a sequence's tokens."""
    ids = tokenizer.encode(codes)
    return tokenizer.lengths[ids[ids >= FIRST_BASE]].mean().item()


def _window(plan: Plan, per_token: float, causal: bool) -> int:
    """Positions of a training window; a BERT's has CLS and SEP within."""
    return max(8, round(plan.window / per_token)) + 2 * (not causal)


def _count_masked(trunk, tokenizer: Tokenizer, material: Material, plan: Plan) -> dict[str, float]:
    """What a masked token of the held-out contigs costs a BERT, and that over its bases."""
    pieces = [np.append(material.test_codes[start:end], np.uint8(UNKNOWN)) for start, end in material.windows]
    codes = np.concatenate(pieces)
    window = min(_window(plan, _bases_per_token(tokenizer, codes), trunk.causal), trunk.context)
    settings = plan.training | {"window": window, "validation_windows": len(pieces)}
    held_out = MaskedSource(codes, tokenizer, TrainingConfig.from_dict(settings), validation=codes)
    per_token, per_base = masked_bits(trunk, held_out)
    context = {"context": plan.context, "margin": plan.margin}
    learnt = context_tokens(tokenizer, material.train_codes, material.learn, **context)
    return {
        "masked_bits_per_token": per_token,
        "masked_bits_per_base": per_base,
        "by_frequency_per_base": _frequency_bits(tokenizer, np.concatenate(learnt), tokenizer.encode(codes)),
    }


def _frequency_bits(tokenizer: Tokenizer, learnt: np.ndarray, held_out: np.ndarray) -> float:
    """What a held-out base costs when each token is told by how often it comes in others (ids of both), add-one."""
    seen, asked = (np.bincount(ids, minlength=len(tokenizer))[FIRST_BASE:] for ids in (learnt, held_out))
    bits = -np.log2((seen + 1) / (seen + 1).sum())
    return float(asked @ bits / (asked @ tokenizer.lengths[FIRST_BASE:]))


def _count_bits(trunk, tokenizer: Tokenizer, material: Material, plan: Plan, may_follow: np.ndarray) -> pd.DataFrame:
    """Bits of the tokens of each window, and the same when only tokens that may stand there are thought of."""
    spans = material.windows
    rows = [tokenizer.encode_within(material.test_codes, *span, margin=SURROUNDINGS)[0] for span in spans]
    bases = [tokenizer.lengths[row].sum() for row in rows]
    bits = pd.DataFrame({"block": blocks(spans[:, 0], plan.block), "bases": bases})
    for name, allowed in (("bits", None), ("exact", may_follow)):
        nats = token_log_likelihoods(trunk, rows, may_follow=allowed)
        bits[name] = [-np.sum(one, dtype=np.float64) / np.log(2) for one in nats]
    return bits


def _read_off(trunk, tokenizer: Tokenizer, material: Material, plan: Plan, may_follow: np.ndarray) -> pd.DataFrame:
    """The k-mers that a causal model itself expects, at some of the held-out places."""
    chosen = np.linspace(0, len(material.test) - 1, min(plan.read_off, len(material.test))).astype(int)
    places = material.test[chosen]
    contexts = context_tokens(tokenizer, material.test_codes, places, context=plan.context, margin=plan.margin)
    longest = next_kmers(trunk, tokenizer, contexts, max(plan.sizes), may_follow)
    found = {}
    for k in plan.sizes:
        nats = marginal(longest, k)
        label = kmers_at(material.test_codes, places, k)
        found[k] = nats.argmax(axis=1) == label, -nats[np.arange(len(label)), label] / np.log(2)
    about = {"protocol": "mended", "start": "read off", "seed": plan.training.get("seed", 0)}
    return _rows(found, chosen, blocks(places, plan.block), **about)


def _examples(trunk, tokenizer: Tokenizer, material: Material, plan: Plan) -> int:
    """How many examples the operations pay for that ``plan.examples`` cost a model of single bases."""
    how = {"context": plan.context, "margin": plan.margin}
    some = context_tokens(tokenizer, material.train_codes, material.learn[:500], **how)
    mean = np.mean([len(tokens) for tokens in some])
    with torch.random.fork_rng(devices=[]):
        single = build({name: value for name, value in trunk.config.items() if name != "vocabulary"}, device="cpu")
    pays = operations(single, plan.sizes, plan.context) / operations(trunk, plan.sizes, mean)
    return round(plan.examples * pays)


class _Tuning(NamedTuple):
    """One fine-tuning: by which protocol ("mended" or "published"), from which start, with which seed."""

    protocol: str
    start: str
    seed: int


def _fine_tuned(trunk, tokenizer, material: Material, plan: Plan, tuning: _Tuning, learn: np.ndarray, device):
    """Fine-tune a copy of a model, or one of the same build with fresh weights, and predict (a row a k and example)."""
    test, margin, tested = material.test, plan.margin, material.test_codes
    if tuning.protocol == "published":
        learn, test = np.split(learn, [int(LEARNT * len(learn))])
        margin, tested = 0, material.train_codes

    def read(codes: np.ndarray, places: np.ndarray):
        tokens = context_tokens(tokenizer, codes, places, context=plan.context, margin=margin)
        return tokens, {k: kmers_at(codes, places, k) for k in plan.sizes}

    tokens, labels = read(material.train_codes, learn)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(tuning.seed)
        network = trunk if tuning.start == "pre-trained" else build(trunk.config, device=device)
        classifier = KmerClassifier(network, plan.sizes, dropout=plan.fine_dropout, shares=_shares(labels))
    fine_tune_kmers(classifier, tokens, labels, FineTuning(**plan.fine_tuning, seed=tuning.seed), device=device)
    found = predict_kmers(classifier, *read(tested, test))
    return _rows(found, np.arange(len(test)), blocks(test, plan.block), **tuning._asdict())


def _shares(labels: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """How often each k-mer comes, add-one, float64 [4^k] a k."""
    counts = {k: np.bincount(label, minlength=4**k) + 1 for k, label in labels.items()}
    return {k: count / count.sum() for k, count in counts.items()}


def _rows(found: dict[int, tuple], examples: np.ndarray, block: np.ndarray, **about) -> pd.DataFrame:
    """A row a k and example."""
    same = {"example": examples, "block": block}
    tables = [pd.DataFrame({"k": k} | same | {"right": right, "bits": bits}) for k, (right, bits) in found.items()]
    return pd.concat(tables, ignore_index=True).assign(**about)
