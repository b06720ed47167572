"""Keep what a piece of a long run has found, so that the same call made again goes on instead of starting over."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd

from dnastudy.files import InputError, atomic_path, read_json, write_json
from dnastudy.models.neural import pick_device

_given: list = []  # the work of this process, and what all tasks share


def begin(folder: Path, identity: dict) -> None:
    """Make room for a piece: what an unfinished one of other settings, data or code has left can't be gone on from."""
    path = folder / "begun.json"
    if not path.exists() or read_json(path) != identity:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(path, identity)


def keep(folder: Path, identity: dict, facts: dict, **tables: pd.DataFrame) -> None:
    """Write what was found; its identity comes last, so that half of it is never taken for the whole."""
    (folder / "outcome.json").unlink(missing_ok=True)
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.parquet") as partial:
            table.to_parquet(partial)
    write_json(folder / "outcome.json", {"identity": identity, "facts": facts})


def finished(folder: Path, identity: dict, tables: Sequence[str]) -> tuple | None:
    """The facts and the tables that an earlier call kept of the very same, if it did."""
    try:
        found = read_json(folder / "outcome.json")
    except InputError:
        return None
    if found.get("identity") != identity:
        return None
    return found["facts"], *(pd.read_parquet(folder / f"{name}.parquet") for name in tables)


def side_by_side(
    work: Callable, tasks: Sequence[tuple], given: tuple = (), *, device: str | None = None, what: str = "work"
) -> Iterator:
    """Call ``work(task, *given)`` for each task and yield what it returns, whichever is done first.

    On a CPU as many at a time as torch has threads here, each with one, so that the outcome doesn't depend on how many
    there are.
    """
    import torch

    on_gpu = pick_device(device).type == "cuda"
    threads = torch.get_num_threads()
    workers = 1 if on_gpu else min(len(tasks), threads)
    if workers > 1:
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, spawned, initializer=_take, initargs=(work, given)) as pool:
            try:
                for done in as_completed([pool.submit(_do, task) for task in tasks]):
                    yield done.result()
            except BrokenProcessPool:
                raise InputError(
                    f"a process that {what} was killed, most likely for want of memory; give fewer than {workers} "
                    "threads (OMP_NUM_THREADS), or a smaller model"
                ) from None
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return
    torch.set_num_threads(threads if on_gpu else 1)
    try:
        for task in tasks:
            yield work(task, *given)
    finally:
        torch.set_num_threads(threads)


def _take(work: Callable, given: tuple) -> None:
    """Begin a process."""
    import torch

    torch.set_num_threads(1)
    _given[:] = work, given


def _do(task: tuple):
    work, given = _given
    return work(task, *given)
