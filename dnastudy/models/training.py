"""Train a model: one loop, with mixed precision, several processes, checkpoints, and exact resumption."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnastudy.files import InputError, nearest, write_json
from dnastudy.genes.corpus import Corpus
from dnastudy.models.base import CausalModel
from dnastudy.models.checkpoint import Run, check_out, locked
from dnastudy.models.masked import MaskedSource
from dnastudy.models.memory import keep_freed_memory
from dnastudy.models.neural import IGNORED, NeuralModel
from dnastudy.models.parallel import add_up, joined, own_device, pieces, processes, rank, told_by_first
from dnastudy.models.progress import deferred_interrupt, explained, progress_line, repeatable, utilisation
from dnastudy.models.settings import TrainingConfig, learning_rate
from dnastudy.models.store import LEARNT_FROM, build, save
from dnastudy.models.windows import CorpusSource, digests, training_spans, validation_set
from dnastudy.tokens.tokenizer import FIRST_BASE, PAD


class Source(Protocol):
    """What a model learns from.

    Besides ``epoch_steps`` (int), where epochs are to be counted, and ``unit``, where a symbol is no base.
    """

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, int64 [rows, ..., positions]; a target that isn't learnt is -100."""

    def validation(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets that the model is validated on, likewise."""

    def identity(self) -> dict:
        """What the data are, JSON-able: a checkpoint made with others isn't gone on from."""

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many bases (or tokens, or characters, or words) of a step are counted as seen."""


def train_from_config(
    config: dict,
    corpus: str | Path,
    out: str | Path,
    device: str | None = None,
    *,
    overwrite: bool = False,
    progress: bool | TextIO = True,
) -> CausalModel:
    """Build, train and save one model: ``{"model": {"kind": ...}, "training": {...}}`` to a model folder.

    ``out`` then holds the model, ``learnt_from.json`` (what ``corpus.json`` says) and ``history.json``: the rows of
    `train` (for a BERT see `MaskedSource.in_tokens`), or for an n-gram model, which is counted on the training genes,
    those of `NgramModel.history`. An interrupted call goes on from its last checkpoint when it is made again; the
    checkpoint is removed once the model is saved. A finished model that stands in ``out`` is replaced only with
    ``overwrite``, and not before the new one is trained.

    Of the training settings an n-gram model uses ``train_bases`` with ``seed``, and ``validation_windows``
    with ``window``: with settings it is scored on the very windows, each from a cold start, that the neural
    models are validated on. Under torchrun every process returns the neural model, and the first one writes it.

    Returns
    -------
    The trained model, with the weights that `train` kept. ``trained_on`` holds the SHA-256 of the corpus'
    arrays, ``precision`` that of a neural model's training, and ``validation_bits_per_base`` (of a BERT
    ``validation_masked_bits_per_base``) that of the weights kept; an n-gram model's is that of the windows, or
    without settings that of the bases which its weights were fitted on.

    Raises
    ------
    InputError
        When a setting, the corpus or an old checkpoint is not as expected, another run writes to ``out``, or a
        corpus or a finished model stands there.
    """
    for name in config:
        if name not in ("model", "training"):
            raise InputError(f"configuration: {name!r} is no part of it; {nearest(name, ('model', 'training'))}")
    if not isinstance(config.get("model"), dict):
        raise InputError("configuration: no 'model' in it; expected for example {'model': {'kind': 'lstm'}}")
    if not isinstance(config.get("training") or {}, dict):
        raise InputError("configuration: 'training' is no mapping; expected for example {'training': {'steps': 1000}}")
    settings = TrainingConfig.from_dict(config.get("training") or {})
    out = Path(out)
    check_out(out, overwrite=overwrite)
    corpus = Corpus.load(corpus)
    if config["model"].get("kind") == "ngram":
        if processes() > 1:
            raise InputError("ngram: counted by one process; give the same command without torchrun")
        with locked(out / "checkpoint"):
            model, history = _fit_ngram(config, corpus, settings)
    else:
        device = own_device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = build(config["model"], device=str(device))
        source = CorpusSource(corpus, settings) if model.causal else MaskedSource(corpus, model.tokenizer, settings)
        history = train(model, source, out, settings, device=device, progress=progress)
        kept = "validation_bits_per_base"
        if not model.causal:
            kept, history = "validation_masked_bits_per_base", source.in_tokens(history)
        costs = [row[kept] for row in history]
        setattr(model, kept, min(costs) if settings.keep == "best" else costs[-1])
        model.precision = "bf16" if use_bf16(settings.precision, model.device) else "fp32"
    model.trained_on = digests(corpus)
    if rank() == 0:
        write_json(out / "history.json", history)
        write_json(out / LEARNT_FROM, corpus.info)
        save(model, out)
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return model


def train(
    model: NeuralModel,
    source: Source,
    out: str | Path,
    config: TrainingConfig | None = None,
    *,
    device: str | torch.device | None = None,
    progress: bool | TextIO = True,
) -> list[dict]:
    """Train ``model`` in place; it ends with the weights that ``config.keep`` names.

    ``out/checkpoint`` is written as it goes, and gone on from if it is there. Ctrl-C ends the step under way,
    writes a checkpoint and raises KeyboardInterrupt. Under torchrun each process computes a share of every
    step's rows, and the first one writes, prints and validates.

    Returns
    -------
    One row for each look at the validation genes: step, bases (seen so far), train_bits_per_base (mean
    since the row before, end symbols included), validation_bits_per_base (see :func:`bits_per_symbol`),
    learning_rate and bases_per_second.

    Raises
    ------
    InputError
        When the checkpoint there is of another configuration or other data, another run writes to ``out``, the
        loss is no longer a number (the last checkpoint is kept), memory runs out, or torch can't compile.
    """
    config = (config or TrainingConfig()).in_steps(source)
    device = own_device(device)
    if model.context is not None and config.window > model.context:
        raise InputError(
            f"training: window {config.window} is longer than the model's context of {model.context}; "
            "shorten the one or lengthen the other"
        )
    keep_freed_memory()
    held_out = source.validation()
    model.to(device).train()
    learnt = [one for one in model.parameters() if one.requires_grad]
    groups = parameter_groups(learnt, config.weight_decay, model.times)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=device.type == "cuda")
    forward = torch.compile(model, dynamic=config.sampling == "genes") if config.compile else model
    bf16 = use_bf16(config.precision, device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    rows = -(-config.batch // (config.accumulate * processes()))
    run = Run(model, optimizer, keep=config.keep)
    identity = {"model": model.config, "training": config.identity(), "data": source.identity()}
    folder = Path(out) / "checkpoint"
    with (
        joined(device),
        locked(folder) if rank() == 0 else nullcontext(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        repeatable(config.deterministic),
        explained(config),
        deferred_interrupt() as interrupted,
        progress_line(
            config,
            progress if rank() == 0 else False,
            utilisation(model, config.window) if bf16 else None,
            getattr(source, "unit", "base"),
        ) as report,
    ):
        run.resume(folder, identity)
        if (first := told_by_first(run.step, device)) != run.step:
            raise InputError(
                f"{folder}: process {rank()} would go on from step {run.step}, the first one from step {first:.0f}; "
                "give a folder that all machines share"
            )
        if run.step:
            report(run, going_on=True)
        drawn = source.draw(run.step)
        seconds, bases = time.perf_counter(), run.bases
        while not finished(run, config):
            rate = learning_rate(run.step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["times"]
            random = np.random.SeedSequence([config.seed, run.step, rank()])
            torch.manual_seed(int(random.generate_state(1, np.uint64)[0] >> np.uint64(1)))
            seen, targets_in_all = source.bases(*drawn), max(1, int((drawn[1] != IGNORED).sum()))
            loss = torch.zeros((), device=device)
            for inputs, targets in pieces(drawn, rows):
                inputs, targets = inputs.to(device), targets.to(device)
                wanted = None if model.causal else targets != IGNORED
                with autocast:
                    logits, _ = forward(inputs, wanted)
                targets = targets.flatten() if wanted is None else targets[wanted]
                nats = functional.cross_entropy(
                    logits.float().flatten(0, -2), targets, ignore_index=IGNORED, reduction="sum"
                )
                (nats / targets_in_all).backward()
                loss += nats.detach() / targets_in_all
            asked = torch.tensor(float(interrupted.is_set()), device=device)
            summed = add_up(learnt, torch.stack([loss, asked]))
            if run.step + 1 < config.steps:
                drawn = source.draw(run.step + 1)  # while a GPU still computes
            norm = torch.nn.utils.clip_grad_norm_(learnt, config.clip or math.inf)
            loss, stopping = summed.tolist()
            if not math.isfinite(norm):
                found = f"loss {loss:.4g}, gradient norm {norm.item():.4g}"
                raise InputError(_diverged(run.step + 1, found, rate, folder))
            optimizer.step()
            optimizer.zero_grad()
            run.count(loss, seen)

            if run.step % config.validate_every == 0 or run.step == config.steps:
                speed = (run.bases - bases) / (time.perf_counter() - seconds)
                with autocast:
                    cost = bits_per_symbol(model, *held_out, rows) if rank() == 0 else math.nan
                if not math.isfinite(cost := told_by_first(cost, device)):
                    raise InputError(_diverged(run.step, f"validation {cost:.4g} bits/base", rate, folder))
                run.note(cost, rate, speed)
                seconds, bases = time.perf_counter(), run.bases
            stop = stopping > 0
            if rank() == 0 and (stop or finished(run, config) or run.step % config.checkpoint_every == 0):
                run.save(folder, identity)
            report(run)
            if stop:
                raise KeyboardInterrupt(f"stopped after step {run.step}; the same call goes on from there")
    if config.keep == "best":
        model.load_state_dict(run.best)
    model.eval()
    return run.history


def _fit_ngram(config: dict, corpus: Corpus, settings: TrainingConfig) -> tuple[CausalModel, list[dict]]:
    """An n-gram model counted on the training genes, and its history."""
    model = build(config["model"])
    spans = training_spans(corpus, settings.train_bases, settings.seed)
    held_out = corpus.all_codes, corpus.spans("validation")
    history = model.fit((corpus.all_codes, spans), validation=held_out).history
    if history:
        model.validation_bits_per_base = history[-1]["validation_bits_per_base"]
    if config.get("training"):
        _, targets = validation_set(corpus, settings)
        codes = torch.where(targets >= FIRST_BASE, targets - FIRST_BASE, 4).numpy().astype(np.uint8)
        model.validation_bits_per_base = math.log2(model.perplexity(list(codes)))
    return model, history


def _diverged(step: int, found: str, rate: float, folder: Path) -> str:
    return (
        f"step {step}: {found} at learning rate {rate:.3g}; the last good checkpoint, if there is one, is kept in "
        f"{folder}: lower learning_rate or raise warmup, and train into another folder"
    )


def finished(run: Run, config: TrainingConfig) -> bool:
    """Whether all steps are done, or ``patience`` looks have found nothing better."""
    return run.step >= config.steps or 0 < config.patience <= run.stale


def parameter_groups(parameters: list[Tensor], weight_decay: float, times: Callable[[Tensor], float]) -> list[dict]:
    """Decay of weight matrices alone: biases and norms aren't drawn to zero. ``times``: of a weight's learning rate."""
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for one in parameters:
        groups.setdefault((times(one), one.ndim <= 1), []).append(one)
    return [
        {"params": these, "weight_decay": 0.0 if flat else weight_decay, "times": rate}
        for (rate, flat), these in sorted(groups.items(), key=lambda group: group[0])
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
def bits_per_symbol(model: NeuralModel, inputs: Tensor, targets: Tensor, rows: int) -> float:
    """Bits per target over ``inputs`` (both int64 [n, ..., positions]), ``rows`` at a time; of DNA, bits per base.

    Probabilities are normalised over ``model.scored``: of a tuned model of DNA, A C G T alone.

    Raises
    ------
    InputError
        When there is no target to score.
    """
    model.eval()
    scored = torch.tensor(model.scored, device=model.device)
    nats, count = 0.0, 0
    for some_inputs, some_targets in zip(inputs.split(rows), targets.split(rows), strict=True):
        known = some_targets != IGNORED
        if not known.any():
            continue
        looked_at = known if model.causal else some_inputs != PAD
        there = (slice(None), *(slice(int(places.max()) + 1) for places in looked_at.nonzero(as_tuple=True)[1:]))
        known, wanted = known[there].to(model.device), some_targets[there].to(model.device)
        logits, _ = model(some_inputs[there].to(model.device))
        place = torch.searchsorted(scored, wanted[known])
        nats += functional.cross_entropy(logits[known][:, scored].float(), place, reduction="sum").item()
        count += len(place)
    model.train()
    if count == 0:
        raise InputError("the validation windows hold no A, C, G or T; give more validation_windows or genes")
    return nats / count / math.log(2)
