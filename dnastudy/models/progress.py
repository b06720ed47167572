"""What a training run says as it goes: a bar, or a line at each validation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from dnastudy.models.checkpoint import Run
from dnastudy.models.settings import TrainingConfig


@contextmanager
def progress_line(config: TrainingConfig, wanted: bool | TextIO, unit: str = "base") -> Iterator[Callable[..., None]]:
    """Yield what shows the run after each step, and ``going_on=True`` before the first one after an interruption.

    It is a bar on a terminal, a line at each validation in a log file or the stream given, nothing in a notebook.
    """
    stream = sys.stderr if isinstance(wanted, bool) else wanted
    if wanted is False or (wanted is True and "ipykernel" in sys.modules):
        yield lambda run, **how: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None  # a bare GPU node has no more than torch
    if wanted is not True or tqdm is None or not sys.stderr.isatty():
        yield lambda run, **how: _print_row(run, config.steps, stream, unit, **how)
        return
    with tqdm(total=config.steps, unit="step", file=stream, dynamic_ncols=True) as bar:

        def show(run: Run, *, going_on: bool = False) -> None:
            if going_on:
                bar.write(_going_on(run, config.steps), file=stream)
            if run.history:
                last = run.history[-1]
                bits, speed = last["validation_bits_per_base"], last["bases_per_second"]
                bar.set_postfix_str(f"{bits:.3f} bits/{unit}, {speed / 1e3:.0f}k {unit}s/s", refresh=False)
            bar.update(run.step - bar.n)

        yield show


def _going_on(run: Run, steps: int) -> str:
    return f"going on from step {run.step} of {steps}"


def _print_row(run: Run, steps: int, stream: TextIO, unit: str, *, going_on: bool = False) -> None:
    if going_on:
        print(_going_on(run, steps), file=stream, flush=True)
        return
    if not run.history or run.history[-1]["step"] != run.step:
        return
    row = run.history[-1]
    speed = row["bases_per_second"]
    left = (steps - run.step) * row["bases"] / run.step / speed
    print(
        f"step {run.step}/{steps}  train {row['train_bits_per_base']:.4f}  "
        f"validation {row['validation_bits_per_base']:.4f} bits/{unit}  {speed:,.0f} {unit}s/s  ETA {left:.0f} s",
        file=stream,
        flush=True,
    )
