"""Tell whether models have learnt from what a run holds out (contamination), by the contigs of their corpora."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from dnastudy.files import InputError, read_json
from dnastudy.models.base import LEARNT_FROM

LEARNT, SAME_NAME, UNKNOWN = "yes", "a sequence of this name", "unknown"
NOT_LEARNT, NOT_BY_NAME = "no, by M5 and name", "no, by name alone"


def learnt_from(model: str | Path, contigs: Mapping[str, str | None]) -> dict[str, str]:
    """Tell of contigs whether a model has learnt from them.

    It has, where its corpus had the very sequence (by M5) and didn't hold it out whole, for test or validation.
    """
    info, why = _corpus_of(model)
    if info is None:
        return dict.fromkeys(contigs, f"{UNKNOWN}: {why}")
    known = _training_contigs(info)
    names = {_chromosome(name) for name in known}
    found = {}
    for name, m5 in contigs.items():
        if m5 in known.values():
            found[name] = LEARNT
        else:
            found[name] = SAME_NAME if _chromosome(name) in names else NOT_LEARNT if m5 else NOT_BY_NAME
    return found


def note_learnt(run, models: Mapping[str, str | Path], held_out: Mapping[str, str | None]) -> pd.DataFrame:
    """Book and note whether a run's models have learnt from what it holds out, under ``learnt_from`` in the record."""
    found = {name: learnt_from(model, held_out) for name, model in models.items()}
    run.data["learnt_from"] = found
    for name, states in found.items():
        for line in warnings(name, states):
            run.note(line)
    if models and not held_out:
        run.note("sequences of your own have no place: whether a model has learnt from those held out isn't known")
    rows = [(name, contig, state) for name, states in found.items() for contig, state in states.items()]
    return pd.DataFrame(rows, columns=["model", "contig", "learnt_from"])


def warnings(model: str, states: Mapping[str, str]) -> dict[str, list[str]]:
    """What is to be said of a model that has learnt from contigs (see `learnt_from`), or may have."""
    lines = {}
    for state in dict.fromkeys(states.values()):
        contigs = [name for name, its in states.items() if its == state]
        named = ", ".join(contigs)
        mend = "so that it may know it by heart: take a model whose corpus (chapter 01) holds it out, or other contigs"
        if state == LEARNT:
            lines[f"{model} has learnt from {named}, {mend}"] = contigs
        elif state == SAME_NAME:
            what = "it, a part of it, what it is a part of, or another assembly"
            lines[f"{model} has learnt from a sequence by the name of {named} ({what}), {mend}"] = contigs
        elif state not in (NOT_LEARNT, NOT_BY_NAME):
            why = state.removeprefix(f"{UNKNOWN}: ")
            lines[f"{model}: whether it has learnt from {named} isn't known, since {why}"] = contigs
    return lines


def _corpus_of(model: str | Path) -> tuple[dict | None, str]:
    """What is known of the corpus that a model was trained on; or None, and why there is nothing."""
    if str(model).startswith("hf:"):
        return None, "a model of transformers doesn't say"
    folder = Path(model)
    trained_on = read_json(folder / "config.json").get("trained_on", {})
    for file in (LEARNT_FROM, "record.json"):  # the second of models that are older than the first
        try:
            info = read_json(folder / file)
        except InputError:
            continue
        info = info if file == LEARNT_FROM else info.get("data", {}).get("corpus", {})
        files = info.get("files", {})
        if trained_on and all(files.get(name) == digest for name, digest in trained_on.items()):
            return (info, "") if "contigs" in info else (None, "it was trained on ready sequences, which have no place")
    return None, f"its folder has no {LEARNT_FROM} that goes with it"


def _training_contigs(info: Mapping) -> dict[str, str]:
    """M5 of the contigs with annotated genes that a corpus doesn't hold out whole, by name."""
    # Corpora of 0.1.0 name no rule: there was one.
    rule = info["held_out"] if info["parameters"].get("split", "chromosome") == "chromosome" else {}
    whole = {words for held_out in rule.values() for words in held_out.split(", ")}  # "chr19 from base ..." is a part
    return {name: its["m5"] for name, its in info["contigs"].items() if name not in whole and its["name_in_annotation"]}


def _chromosome(contig: str) -> str:
    """The name without the stretch, where it is one: chr19 of chr19:10000001-12000000."""
    return contig.partition(":")[0]
