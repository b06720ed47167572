"""Keep what a piece of a long run has found, so that the same call made again goes on instead of starting over."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnastudy.files import InputError, atomic_path, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd


def begin(folder: Path, identity: dict) -> None:
    """Make room for a piece: what an unfinished one of other settings, data or code has left can't be gone on from.

    Parameters
    ----------
    identity
        What the outcome depends on, JSON-able.
    """
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
    import pandas as pd

    try:
        found = read_json(folder / "outcome.json")
    except InputError:
        return None
    if found.get("identity") != identity:
        return None
    return found["facts"], *(pd.read_parquet(folder / f"{name}.parquet") for name in tables)
