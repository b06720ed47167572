"""What a training run says of itself, how it heeds Ctrl-C, and how it explains what the machine refuses."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import torch

from dnastudy.files import InputError
from dnastudy.models.checkpoint import Run
from dnastudy.models.neural import NeuralModel
from dnastudy.models.parallel import processes
from dnastudy.models.settings import TrainingConfig

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
