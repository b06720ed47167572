"""Train a model: one loop, with mixed precision, several processes, checkpoints, and exact resumption."""

from __future__ import annotations

import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnastudy.files import InputError, nearest, write_json
from dnastudy.genes.corpus import Corpus
from dnastudy.models.base import LEARNT_FROM, CausalModel
from dnastudy.models.batches import CorpusSource, MaskedSource, digests
from dnastudy.models.checkpoint import Run, check_out, locked
from dnastudy.models.neural import IGNORED, NeuralModel, keep_freed_memory
from dnastudy.models.parallel import all_reduce, broadcast, own_device, pieces, process_group, rank, world_size
from dnastudy.models.settings import TrainingConfig, learning_rate
from dnastudy.models.store import build, save
from dnastudy.tokens.tokenizer import FIRST_BASE, PAD

Drawn = tuple[Tensor, Tensor]  # inputs and targets, int64 [rows, ..., positions]; a target that isn't learnt is -100


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
    `train` (of a BERT in tokens, of an n-gram model `NgramModel.history`). An interrupted call goes on from its last
    checkpoint when it is made again. An n-gram model uses ``train_bases``, ``seed``, ``validation_windows`` and
    ``window`` alone, and is scored on the windows of the others. Under torchrun the first process writes the model.
    """
    settings = _settings(config)
    out = Path(out)
    check_out(out, overwrite=overwrite)
    corpus = Corpus.load(corpus)
    if config["model"].get("kind") == "ngram":
        if world_size() > 1:
            raise InputError("ngram: counted by one process; give the same command without torchrun")
        with locked(out / "checkpoint"):
            model, history = _fit_ngram(config, corpus, settings)
    else:
        model, history = _fit_network(config["model"], corpus, out, settings, own_device(device), progress)
    model.trained_on = digests(corpus)
    if rank() == 0:
        write_json(out / "history.json", history)
        write_json(out / LEARNT_FROM, corpus.info)
        save(model, out)
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return model


def train(
    model: NeuralModel,
    source: CorpusSource,
    out: str | Path,
    config: TrainingConfig | None = None,
    *,
    device: str | torch.device | None = None,
    progress: bool | TextIO = True,
) -> list[dict]:
    """Train ``model`` in place; it ends with the weights that ``config.keep`` names.

    ``source`` is a `CorpusSource` or whatever else has its ``draw``, ``validation``, ``identity`` (a checkpoint made
    with other data isn't gone on from) and ``bases``; ``epoch_steps`` and a ``unit`` other than base it may have.
    ``out/checkpoint`` is written as it goes, and gone on from if it is there. Ctrl-C ends the step under way,
    writes a checkpoint and raises KeyboardInterrupt. Under torchrun each process computes a share of every
    step's rows, and the first one writes, prints and validates.
    """
    config = (config or TrainingConfig()).in_steps(source)
    device = own_device(device)
    if model.context is not None and config.window > model.context:
        raise InputError(f"window {config.window} is longer than the model's context of {model.context}; shorten it")
    silent = rank() > 0 or progress is False or (progress is True and "ipykernel" in sys.modules)
    log = None if silent else sys.stderr if progress is True else progress
    loop = _Loop(model, source, config, device, Path(out) / "checkpoint", log)
    with (
        process_group(device),
        locked(loop.folder) if rank() == 0 else nullcontext(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        _explained(config),
        _deferred_interrupt() as interrupted,
    ):
        loop.go(interrupted)
    if config.keep == "best":
        model.load_state_dict(loop.best)
    model.eval()
    return loop.history


class _Loop(Run):
    """The steps of :func:`train`, and all that they need."""

    def __init__(
        self,
        model: NeuralModel,
        source: CorpusSource,
        config: TrainingConfig,
        device: torch.device,
        folder: Path,
        log: TextIO | None,
    ):
        keep_freed_memory()
        self.source, self.config, self.device, self.folder, self.log = source, config, device, folder, log
        self.held_out = source.validation()
        model.to(device).train()
        self.weights = [one for one in model.parameters() if one.requires_grad]
        groups = parameter_groups(self.weights, config.weight_decay, model.times)
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=device.type == "cuda")
        super().__init__(model, optimizer, keep=config.keep)
        self.forward = torch.compile(model, dynamic=config.sampling == "genes") if config.compile else model
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(config.precision, device))
        self.rows = -(-config.batch // (config.accumulate * world_size()))
        self.identity = {"model": model.config, "training": config.identity(), "data": source.identity()}

    def go(self, interrupted: threading.Event) -> None:
        """All steps that are left."""
        config = self.config
        self.resume(self.folder, self.identity)
        if (first := broadcast(self.step, self.device)) != self.step:
            raise InputError(
                f"{self.folder}: process {rank()} would go on from step {self.step}, the first one from step "
                f"{first:.0f}; give a folder that all machines share"
            )
        if self.step:
            self._say(f"going on from step {self.step} of {config.steps}")
        drawn = self.source.draw(self.step)
        seconds, bases = time.perf_counter(), self.bases
        while not self._finished():
            rate = learning_rate(self.step, config)
            drawn, stop = self._step(drawn, rate, interrupted)
            if looked := self.step % config.validate_every == 0 or self.step == config.steps:
                self._validate(rate, (self.bases - bases) / (time.perf_counter() - seconds))
                seconds, bases = time.perf_counter(), self.bases
            if rank() == 0 and (stop or self._finished() or self.step % config.checkpoint_every == 0):
                self.save(self.folder, self.identity)
            if looked:
                self._say(progress_line(self.history[-1], config.steps, getattr(self.source, "unit", "base")))
            if stop:
                raise KeyboardInterrupt(f"stopped after step {self.step}; the same call goes on from there")

    def _finished(self) -> bool:
        """Whether all steps are done, or ``patience`` looks have found nothing better."""
        return self.step >= self.config.steps or 0 < self.config.patience <= self.stale

    def _say(self, line: str) -> None:
        if self.log:
            print(line, file=self.log, flush=True)

    def _step(self, drawn: Drawn, rate: float, interrupted: threading.Event) -> tuple[Drawn, bool]:
        """One optimiser step; what the next one is made on, and whether a process was asked to stop."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["times"]
        random = np.random.SeedSequence([config.seed, self.step, rank()])
        torch.manual_seed(int(random.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        seen = self.source.bases(*drawn)
        loss = self._backward(drawn)
        asked = torch.tensor(float(interrupted.is_set()), device=self.device)
        summed = all_reduce(self.weights, torch.stack([loss, asked]))
        if self.step + 1 < config.steps:
            drawn = self.source.draw(self.step + 1)  # while a GPU still computes
        norm = torch.nn.utils.clip_grad_norm_(self.weights, config.clip or math.inf)
        loss, stopping = summed.tolist()
        if not math.isfinite(norm):
            raise self._diverged(self.step + 1, f"loss {loss:.4g}, gradient norm {norm.item():.4g}", rate)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.count(loss, seen)
        return drawn, stopping > 0

    def _backward(self, drawn: Drawn) -> Tensor:
        """Add up the gradients of this process's rows; their share of the step's mean loss, in nats."""
        targets_in_all = max(1, int((drawn[1] != IGNORED).sum()))
        loss = torch.zeros((), device=self.device)
        for inputs, targets in pieces(drawn, self.rows):
            inputs, targets = inputs.to(self.device), targets.to(self.device)
            wanted = None if self.model.causal else targets != IGNORED
            with self.autocast:
                logits, _ = self.forward(inputs, wanted)
            targets = targets.flatten() if wanted is None else targets[wanted]
            logits = logits.float().flatten(0, -2)
            nats = functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
            (nats / targets_in_all).backward()
            loss += nats.detach() / targets_in_all
        return loss

    def _validate(self, rate: float, speed: float) -> None:
        with self.autocast:
            cost = bits_per_symbol(self.model, *self.held_out, self.rows) if rank() == 0 else math.nan
        if not math.isfinite(cost := broadcast(cost, self.device)):
            raise self._diverged(self.step, f"validation {cost:.4g} bits/base", rate)
        self.note(cost, rate, speed)

    def _diverged(self, step: int, found: str, rate: float) -> InputError:
        return InputError(
            f"step {step}: {found} at learning rate {rate:.3g}; the last good checkpoint, if there is one, is kept in "
            f"{self.folder}: lower learning_rate or raise warmup, and train into another folder"
        )


def _settings(config: dict) -> TrainingConfig:
    """The training settings of a configuration, whose outer form is checked."""
    for name in config:
        if name not in ("model", "training"):
            raise InputError(f"configuration: {name!r} is no part of it; {nearest(name, ('model', 'training'))}")
    if not isinstance(config.get("model"), dict):
        raise InputError("configuration: no 'model' in it; expected for example {'model': {'kind': 'lstm'}}")
    if not isinstance(training := config.get("training") or {}, dict):
        raise InputError("configuration: 'training' is no mapping; expected for example {'training': {'steps': 1000}}")
    return TrainingConfig.from_dict(training)


def _fit_network(
    build_as: dict, corpus: Corpus, out: Path, settings: TrainingConfig, device: torch.device, progress: bool | TextIO
) -> tuple[NeuralModel, list[dict]]:
    """A neural model trained on the training genes, and its history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build(build_as, device=str(device))
    source = CorpusSource(corpus, settings) if model.causal else MaskedSource(corpus, model.tokenizer, settings)
    history = train(model, source, out, settings, device=device, progress=progress)
    cost = "validation_bits_per_base"
    if not model.causal:
        cost, history = source.cost, source.in_tokens(history)
    costs = [row[cost] for row in history]
    setattr(model, cost, min(costs) if settings.keep == "best" else costs[-1])
    model.precision = "bf16" if use_bf16(settings.precision, model.device) else "fp32"
    return model, history


def _fit_ngram(config: dict, corpus: Corpus, settings: TrainingConfig) -> tuple[CausalModel, list[dict]]:
    """An n-gram model counted on the training genes, and its history."""
    model = build(config["model"])
    source, held_out = CorpusSource(corpus, settings), (corpus.all_codes, corpus.spans("validation"))
    history = model.fit((corpus.all_codes, source.spans), validation=held_out).history
    if history:
        model.validation_bits_per_base = history[-1]["validation_bits_per_base"]
    if config.get("training"):
        _, targets = source.validation()
        codes = torch.where(targets >= FIRST_BASE, targets - FIRST_BASE, 4).numpy().astype(np.uint8)
        model.validation_bits_per_base = math.log2(model.perplexity(list(codes)))
    return model, history


@torch.no_grad()
def bits_per_symbol(model: NeuralModel, inputs: Tensor, targets: Tensor, rows: int) -> float:
    """Bits per target (int64 [n, ..., positions]), ``rows`` at a time, of probabilities over ``model.scored`` alone."""
    model.eval()
    scored = torch.tensor(model.scored, device=model.device)
    nats, count = 0.0, 0
    for some_inputs, some_targets in zip(inputs.split(rows), targets.split(rows), strict=True):
        known = some_targets != IGNORED
        if not known.any():
            continue
        looked_at = known if model.causal else some_inputs != PAD
        there = (slice(None), *(slice(int(places.max()) + 1) for places in looked_at.nonzero(as_tuple=True)[1:]))
        ids, wanted, known = (part[there].to(model.device) for part in (some_inputs, some_targets, known))
        place = torch.searchsorted(scored, wanted[known])
        nats += functional.cross_entropy(model(ids)[0][known][:, scored].float(), place, reduction="sum").item()
        count += len(place)
    model.train()
    if count == 0:
        raise InputError("the validation windows hold no A, C, G or T; give more validation_windows or genes")
    return nats / count / math.log(2)


def masked_bits(model: NeuralModel, source: MaskedSource) -> tuple[float, float]:
    """Bits per masked token of the validation windows, and per base of those tokens."""
    with model.evaluating():
        bits = bits_per_symbol(model, *source.validation(), source.config.batch)
    return bits, bits / source.bases_per_target()


def progress_line(row: dict, steps: int, unit: str) -> str:
    """What is said of a look at the validation genes, a row of the history."""
    speed = row["bases_per_second"]
    left = (steps - row["step"]) * row["bases"] / row["step"] / speed
    return (
        f"step {row['step']}/{steps}  train {row['train_bits_per_base']:.4f}  "
        f"validation {row['validation_bits_per_base']:.4f} bits/{unit}  {speed:,.0f} {unit}s/s  ETA {left:.0f} s"
    )


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
    """Whether to compute in bf16: if asked to, or with ``auto`` where the machine has instructions for it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
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
def _explained(config: TrainingConfig) -> Iterator[None]:
    """Turn lack of memory, and a compiler that is missing, into an :class:`InputError` that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
            advice = "shorten window, or train a smaller model"
            if config.accumulate < config.batch:
                more = 2 * config.accumulate
                advice = f"set accumulate to {more} (the same checkpoint goes on), or batch to {config.batch // 2 or 1}"
            parts = f"batch {config.batch} in {config.accumulate} piece(s) of window {config.window}"
            raise InputError(f"training: out of memory with {parts}; {advice}") from None
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            why = str(error).strip().splitlines()[0]
            raise InputError(
                f"compile = True, but torch can't compile here ({why}); install a C++ compiler, or leave compile out"
            ) from None
        raise
