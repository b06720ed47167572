"""Take out of an executed notebook what differs between two equal runs: times, papermill's notes, cells' ids."""

from __future__ import annotations

from pathlib import Path

import nbformat

VOLATILE_CELL = ("papermill", "execution", "collapsed", "scrolled")
VOLATILE_NOTEBOOK = ("papermill", "widgets")


def clean(path: Path) -> nbformat.NotebookNode:
    """Read a notebook and drop its volatile metadata; outputs and execution counts stay."""
    notebook = nbformat.read(path, as_version=4)
    for name in VOLATILE_NOTEBOOK:
        notebook.metadata.pop(name, None)
    notebook.metadata.pop("language_info", None)
    for number, cell in enumerate(notebook.cells):
        for name in VOLATILE_CELL:
            cell.metadata.pop(name, None)
        cell["id"] = f"cell-{number:02d}"
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook, atomically."""
    from dnastudy.files import atomic_path

    with atomic_path(path) as partial:
        nbformat.write(notebook, partial)
