"""Train a causal model on a corpus: one loop, with mixed precision, checkpoints, and exact resumption."""

from __future__ import annotations

import dataclasses
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnastudy.files import InputError, nearest, write_json
from dnastudy.genes.corpus import Corpus
from dnastudy.models.base import CausalModel
from dnastudy.models.checkpoint import Run, locked
from dnastudy.models.neural import IGNORED, NeuralModel, pick_device
from dnastudy.models.store import build, check_value, save
from dnastudy.models.windows import cut_windows
from dnastudy.tokens.tokenizer import FIRST_BASE

PRECISIONS = ("auto", "fp32", "bf16")
_VALIDATION_SEED = 1  # the same windows whatever the run's seed, so that runs can be compared


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Lengths in bases, the learning rate per step, no budget in seconds.

    Attributes
    ----------
    steps, batch, window
        Optimiser steps, windows in each, and bases in each window.
    learning_rate, warmup, final
        Peak rate; steps of linear rise to it; share of it at the end of the cosine that follows.
    weight_decay, clip
        AdamW's decay of weight matrices; greatest norm of the gradient.
    validate_every, validation_windows
        Steps between looks at the validation genes, and windows looked at.
    checkpoint_every
        Steps between checkpoints.
    precision
        ``fp32``, ``bf16``, or ``auto``: bf16 where the machine computes it faster.
    seed
        Of the weights, the windows and the dropout.
    """

    steps: int = 1000
    batch: int = 16
    window: int = 256
    learning_rate: float = 2e-3
    warmup: int = 60
    final: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    validate_every: int = 100
    validation_windows: int = 256
    checkpoint_every: int = 200
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            least = int(isinstance(field.default, int) and field.name not in ("warmup", "seed"))
            check_value(f"training: {field.name}", getattr(self, field.name), field.default, least=least)
        if self.precision not in PRECISIONS:
            raise InputError(f"training: precision {self.precision!r}; {nearest(self.precision, PRECISIONS)}")

    @staticmethod
    def from_dict(values: dict) -> TrainingConfig:
        """Make one from a mapping; an unknown key raises :class:`InputError` with the nearest right one."""
        known = [field.name for field in dataclasses.fields(TrainingConfig)]
        for name in values:
            if name not in known:
                raise InputError(f"training: {name!r} is no setting of it; {nearest(name, known)}")
        return TrainingConfig(**values)


def train_from_config(
    config: dict,
    corpus: str | Path,
    out: str | Path,
    device: str | None = None,
    *,
    progress: bool | TextIO = True,
) -> CausalModel:
    """Build, train and save one model: ``{"model": {"kind": ...}, "training": {...}}`` to a model folder.

    ``out`` then holds the model and ``history.json``: the rows of `train`, or for an n-gram model, which is
    counted on the training genes, those of `NgramModel.history`. An interrupted call goes on from its last
    checkpoint when it is made again; the checkpoint is removed once the model is saved.

    Of the training settings an n-gram model uses ``validation_windows`` and ``window`` alone: with settings
    it is scored on the very windows, each from a cold start, that the neural models are validated on.

    Returns
    -------
    The trained model, with the weights that did best on the validation genes. ``trained_on`` holds the SHA-256
    of the corpus' arrays, ``precision`` that of a neural model's training, and ``validation_bits_per_base``
    the best of its history; an n-gram model's is that of the windows, or without settings that of the bases
    which its weights were fitted on.

    Raises
    ------
    InputError
        When a setting, the corpus or an old checkpoint is not as expected, or another run writes to ``out``.
    """
    for name in config:
        if name not in ("model", "training"):
            raise InputError(f"configuration: {name!r} is no part of it; {nearest(name, ('model', 'training'))}")
    if not isinstance(config.get("model"), dict):
        raise InputError("configuration: no 'model' in it; expected for example {'model': {'kind': 'lstm'}}")
    settings = TrainingConfig.from_dict(config.get("training") or {})
    out = Path(out)
    corpus = Corpus.load(corpus)
    if config["model"].get("kind") == "ngram":
        model = build(config["model"])
        fitted, held_out = ((corpus.all_codes, corpus.spans(split)) for split in ("train", "validation"))
        history = model.fit(fitted, validation=held_out).history
        model.validation_bits_per_base = history[-1]["validation_bits_per_base"]
        if config.get("training"):
            _, targets = validation_set(corpus, settings)
            codes = torch.where(targets >= FIRST_BASE, targets - FIRST_BASE, 4).numpy().astype(np.uint8)
            model.validation_bits_per_base = math.log2(model.perplexity(list(codes)))
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = build(config["model"], device=device)
        history = train(model, corpus.folder, out, settings, device=device, progress=progress)
        model.validation_bits_per_base = min(row["validation_bits_per_base"] for row in history)
        model.precision = "bf16" if use_bf16(settings.precision, model.device) else "fp32"
    model.trained_on = digests(corpus)
    save(model, out)
    write_json(out / "history.json", history)
    if model.kind != "ngram":
        shutil.rmtree(out / "checkpoint")
    return model


def train(
    model: NeuralModel,
    corpus: str | Path,
    out: str | Path,
    config: TrainingConfig | None = None,
    *,
    device: str | None = None,
    progress: bool | TextIO = True,
) -> list[dict]:
    """Train ``model`` in place on a corpus folder's training genes; it ends with the best weights.

    ``out/checkpoint`` is written as it goes, and gone on from if it is there. Ctrl-C ends the step under way,
    writes a checkpoint and raises KeyboardInterrupt.

    Returns
    -------
    One row for each look at the validation genes: step, bases (seen so far), train_bits_per_base (mean
    since the row before, end symbols included), validation_bits_per_base (over A C G T alone),
    learning_rate and bases_per_second.

    Raises
    ------
    InputError
        When the corpus lacks a file or a split, or was changed, the checkpoint there is of another
        configuration, another run writes to ``out``, or the loss is no longer a number (the last checkpoint is kept).
    """
    config = config or TrainingConfig()
    device = pick_device(device)
    if model.context is not None and config.window > model.context:
        raise InputError(
            f"training: window {config.window} is longer than the model's context of {model.context}; "
            "shorten the one or lengthen the other"
        )
    corpus = Corpus.load(corpus)
    held_out = validation_set(corpus, config)
    model.to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, config.weight_decay), lr=config.learning_rate)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(config.precision, device))
    run = Run(model, optimizer)
    identity = {"model": model.config, "training": dataclasses.asdict(config), "corpus": digests(corpus)}
    with (
        locked(Path(out) / "checkpoint") as folder,
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        deferred_interrupt() as interrupted,
        progress_line(config.steps, progress) as report,
    ):
        torch.manual_seed(config.seed)
        run.resume(folder, identity)
        seconds, bases = time.perf_counter(), run.bases
        while run.step < config.steps:
            rate = learning_rate(run.step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            drawn = cut_windows(corpus, "train", config.batch, config.window, [config.seed, run.step])
            inputs, targets = (part.to(device) for part in drawn)
            with autocast:
                logits, _ = model(inputs)
            loss = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            if not math.isfinite(norm):
                raise InputError(
                    f"step {run.step + 1}: loss {loss.item():.4g}, gradient norm {norm.item():.4g} at "
                    f"learning rate {rate:.3g}; the last good checkpoint is kept in {folder}: lower "
                    "learning_rate or raise warmup, and train into another folder"
                )
            optimizer.step()
            optimizer.zero_grad()
            run.count(loss.item(), int((targets >= FIRST_BASE).sum()))

            if run.step % config.validate_every == 0 or run.step == config.steps:
                speed = (run.bases - bases) / (time.perf_counter() - seconds)
                with autocast:
                    run.note(bits_per_base(model, *held_out, config.batch), rate, speed)
                seconds, bases = time.perf_counter(), run.bases
            stop = interrupted.is_set()
            if stop or run.step % config.checkpoint_every == 0 or run.step == config.steps:
                run.save(folder, identity)
            report(run)
            if stop:
                raise KeyboardInterrupt(f"stopped after step {run.step}; the same call goes on from there")
    model.load_state_dict(run.best)
    model.eval()
    return run.history


def digests(corpus: Corpus) -> dict[str, str]:
    """SHA-256 of the files that training reads, by name."""
    return {name: corpus.info["files"][name] for name in ("codes.npy", "offsets.npy", "split.npy")}


def validation_set(corpus: Corpus, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Input ids and target ids of the validation windows: the same whatever the model, its batch or its seed."""
    return cut_windows(corpus, "validation", config.validation_windows, config.window, [_VALIDATION_SEED])


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Rate of a step (counted from 0): a linear rise, then half a cosine down to ``final`` times the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (config.final + (1 - config.final) * (1 + math.cos(math.pi * done)) / 2)


def parameter_groups(model: NeuralModel, weight_decay: float) -> list[dict]:
    """Decay of weight matrices alone: biases and norms aren't drawn to zero."""
    parameters = list(model.parameters())
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bf16: if asked to, or with ``auto`` where the machine has instructions for it.

    A CPU without them is slower in bf16 than in fp32.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@torch.no_grad()
def bits_per_base(model: NeuralModel, inputs: Tensor, targets: Tensor, batch: int) -> float:
    """Bits per base over the A C G T targets of ``inputs`` (both int64 [windows, positions])."""
    model.eval()
    nats, bases = 0.0, 0
    for some_inputs, some_targets in zip(inputs.split(batch), targets.split(batch), strict=True):
        some_targets = some_targets.to(model.device)
        logits, _ = model(some_inputs.to(model.device))
        known = some_targets >= FIRST_BASE
        nats += functional.cross_entropy(
            logits[known][:, FIRST_BASE:].float(), some_targets[known] - FIRST_BASE, reduction="sum"
        ).item()
        bases += int(known.sum())
    model.train()
    if bases == 0:
        raise InputError("the validation windows hold no A, C, G or T; give more validation_windows or genes")
    return nats / bases / math.log(2)


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Let Ctrl-C only set a flag, so that no step is left half done; a second Ctrl-C stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # signals reach the main thread alone
        return

    def ask(number: int, frame: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress_line(steps: int, wanted: bool | TextIO) -> Iterator[Callable[[Run], None]]:
    """A bar on a terminal, a line at each validation in a log file or the stream given, nothing in a notebook."""
    if not isinstance(wanted, bool):
        yield lambda run: _print_row(run, steps, wanted)
        return
    if not wanted or "ipykernel" in sys.modules:
        yield lambda run: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None  # a bare GPU node has no more than torch
    if tqdm is None or not sys.stderr.isatty():
        yield lambda run: _print_row(run, steps, sys.stderr)
        return
    with tqdm(total=steps, unit="step", file=sys.stderr, dynamic_ncols=True) as bar:

        def show(run: Run) -> None:
            if run.history:
                last = run.history[-1]
                bits, speed = last["validation_bits_per_base"], last["bases_per_second"]
                bar.set_postfix_str(f"{bits:.3f} bits/base, {speed / 1e3:.0f} kb/s", refresh=False)
            bar.update(run.step - bar.n)

        yield show


def _print_row(run: Run, steps: int, stream: TextIO) -> None:
    if not run.history or run.history[-1]["step"] != run.step:
        return
    row = run.history[-1]
    left = (steps - run.step) * row["bases"] / run.step / row["bases_per_second"]
    print(
        f"step {run.step}/{steps}  train {row['train_bits_per_base']:.4f}  "
        f"validation {row['validation_bits_per_base']:.4f} bits/base  "
        f"{row['bases_per_second']:,.0f} bases/s  ETA {left:.0f} s",
        file=stream,
        flush=True,
    )
