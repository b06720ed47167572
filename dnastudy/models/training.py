"""Train a model: one loop, with mixed precision, several processes, checkpoints, and exact resumption."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnastudy.files import InputError, nearest, write_json
from dnastudy.genes.corpus import Corpus
from dnastudy.models.base import LEARNT_FROM, CausalModel
from dnastudy.models.batches import CorpusSource, MaskedSource, bits_per_symbol, digests, training_spans, validation_set
from dnastudy.models.checkpoint import Run, check_out, locked
from dnastudy.models.neural import IGNORED, NeuralModel, keep_freed_memory
from dnastudy.models.parallel import add_up, joined, own_device, pieces, processes, rank, told_by_first
from dnastudy.models.settings import TrainingConfig, learning_rate
from dnastudy.models.store import build, save
from dnastudy.tokens.ids import FIRST_BASE

# Dense bf16 operations a second, from NVIDIA's data sheets; the first name found in the device's counts.
PEAKS = {
    "GB200": 2.5e15,
    "B200": 2.25e15,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L4": 121e12,
}


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


def flops_per_position(model: NeuralModel, positions: int) -> float:
    """Operations to train on one position of a row of ``positions``, forward and backward.

    Six for each parameter, and in a Transformer 12 x layers x width x positions for attention (Chowdhery et
    al. 2022, appendix B).
    """
    attention = 12 * model.config["layers"] * model.config["width"] * positions if model.kind in ("gpt", "bert") else 0
    return 6 * model.size + attention


def utilisation(model: NeuralModel, positions: int) -> float | None:
    """Share of the GPU's bf16 peak that one base a second makes use of (MFU / rate); None where that is unknown."""
    if model.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(model.device)
    peak = next((value for part, value in PEAKS.items() if part in name), None)
    return peak and flops_per_position(model, positions) / peak / processes()


@contextmanager
def progress_line(
    config: TrainingConfig, wanted: bool | TextIO, mfu: float | None, unit: str = "base"
) -> Iterator[Callable[..., None]]:
    """A bar on a terminal, a line at each validation in a log file or the stream given, nothing in a notebook.

    What is yielded is called with the run after each step, and with ``going_on=True`` before the first one of a run
    that was interrupted, which it says. ``mfu`` is that of one base a second, None where it is unknown. ``unit`` is
    what a symbol is called.
    """
    steps = config.steps
    if not isinstance(wanted, bool):
        yield lambda run, **how: _print_row(run, steps, mfu, wanted, unit, **how)
        return
    if not wanted or "ipykernel" in sys.modules:
        yield lambda run, **how: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None  # a bare GPU node has no more than torch
    if tqdm is None or not sys.stderr.isatty():
        yield lambda run, **how: _print_row(run, steps, mfu, sys.stderr, unit, **how)
        return
    with tqdm(total=steps, unit="step", file=sys.stderr, dynamic_ncols=True) as bar:

        def show(run: Run, *, going_on: bool = False) -> None:
            if going_on:
                bar.write(_going_on(run, steps), file=sys.stderr)
            if run.history:
                last = run.history[-1]
                bits, speed = last["validation_bits_per_base"], last["bases_per_second"]
                bar.set_postfix_str(
                    f"{bits:.3f} bits/{unit}, {speed / 1e3:.0f}k {unit}s/s{_share(mfu, speed)}", refresh=False
                )
            bar.update(run.step - bar.n)

        yield show


def _going_on(run: Run, steps: int) -> str:
    return f"going on from step {run.step} of {steps}"


def _print_row(run: Run, steps: int, mfu: float | None, stream: TextIO, unit: str, *, going_on: bool = False) -> None:
    if going_on:
        print(_going_on(run, steps), file=stream, flush=True)
        return
    if not run.history or run.history[-1]["step"] != run.step:
        return
    row = run.history[-1]
    left = (steps - run.step) * row["bases"] / run.step / row["bases_per_second"]
    print(
        f"step {run.step}/{steps}  train {row['train_bits_per_base']:.4f}  "
        f"validation {row['validation_bits_per_base']:.4f} bits/{unit}  "
        f"{row['bases_per_second']:,.0f} {unit}s/s{_share(mfu, row['bases_per_second'])}  ETA {left:.0f} s",
        file=stream,
        flush=True,
    )


def _share(mfu: float | None, speed: float) -> str:
    return "" if mfu is None else f"  MFU {mfu * speed:.1%}"


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
def repeatable(wanted: bool) -> Iterator[None]:
    """Have torch refuse what can't be repeated exactly, where that is asked for."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA first multiplies
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def explained(config: TrainingConfig) -> Iterator[None]:
    """Turn lack of memory, and a compiler that is missing, into an :class:`InputError` that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
            raise InputError(_memory_advice(config)) from None
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"training: compile = True, but torch can't compile here ({reason}); install a C++ compiler, "
                "or set compile to false"
            ) from None
        raise


def _memory_advice(config: TrainingConfig) -> str:
    found = (
        f"training: out of memory with batch {config.batch} in {config.accumulate} piece(s) of window {config.window}"
    )
    if config.accumulate < config.batch:
        return (
            f"{found}; set accumulate to {2 * config.accumulate} (the same steps, and the same checkpoint goes on), "
            f"or batch to {max(1, config.batch // 2)}"
        )
    return f"{found}; shorten window, or train a smaller model"
