"""What the benchmarks share: time, peak memory, the machine's name, and a table."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def timed(call: Callable[[], object], repeat: int = 3) -> float:
    """Median seconds of ``repeat`` calls, after one that isn't counted (compilation, caches, page faults)."""
    call()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def in_fresh_process(target: Callable, *arguments: object) -> tuple[object, float, float]:
    """Run a module's function once in a process of its own: its result, its seconds, and the peak memory in MB.

    Nothing that an earlier call set or left in memory is there. The peak counts everything that the process
    holds, imports too. ``target``, its arguments and its result are pickled on the way. Linux alone tells the
    peak of a process apart from that of the one that started it.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, target, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError("a measured process ended without a result; see above") from None
    finally:
        process.join()


def _measure(sender, target: Callable, arguments: tuple) -> None:
    start = time.perf_counter()
    result = target(*arguments)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    sender.send((result, seconds, kilobytes / 1024))


def machine() -> str:
    """Processor, cores that this process may use, memory, and a GPU if torch sees one."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    parts = [(names or [platform.machine()])[0], f"{len(os.sched_getaffinity(0))} cores", f"{memory:.0f} GB"]
    import torch

    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"Python {platform.python_version()}", f"torch {torch.__version__}"])


def print_table(rows: list[dict]) -> None:
    """Print rows with the same keys under one heading, numbers to four figures and to the right."""
    cells = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        texts = (
            text.rjust(width) if isinstance(value, int | float) else text.ljust(width)
            for text, width, value in zip(line, widths, rows[0].values(), strict=True)
        )
        print("  ".join(texts).rstrip())


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
