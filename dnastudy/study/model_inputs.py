"""Load the models that a run names in its parameters, or small ones of the embedded sample where it names none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from dnastudy.files import InputError
from dnastudy.models import load, train_from_config
from dnastudy.models.base import KINDS
from dnastudy.models.store import digest_of
from dnastudy.study.inputs import one_at_a_time, smoke_corpus, smoke_folder
from dnastudy.study.parameters import FLOOR_NAMES, language_model, load_profile

CAUSAL = tuple(kind for kind in KINDS if kind != "bert")
OWN = ("fasta", "train_labels", "pairs")  # parameters that name input of the user's own


def causal_models(run, corpus) -> dict:
    """The causal models in ``models``, by name; a note where one was trained on another corpus than the run's."""
    loaded = load_models(run, model_folders(run, CAUSAL))
    digests = corpus.info["files"]
    for name, model in loaded.items():
        if any(digests.get(file) != digest for file, digest in model.trained_on.items()):
            run.note(f"{name} was trained on another corpus: genes of this test split may be among those it has seen")
    return loaded


def model_folders(run, kinds: Sequence[str] = KINDS) -> dict[str, Path]:
    """Folders, or ``hf:`` names, of the models in ``models``, by name; where it is empty those of small ones.

    With ``"none"`` there are none: the floors are looked at alone.
    """
    if run.parameters["models"] == "none":
        return {}
    if not run.parameters["models"]:
        if run.parameters.get("corpus"):
            raise InputError(
                "models is empty: name the model folders that 04 made of your corpus, between commas, or none for the "
                "floors alone"
            )
        if any(run.parameters.get(name) for name in OWN):
            run.note("models is empty: small ones that learnt from the embedded sample are judged on your own input")
    folders = run.folders("models") or {folder.name: folder for folder in smoke_models(kinds)}
    _identify(run, folders)
    return folders


def load_models(run, folders: Mapping[str, Path], *, causal: bool = True) -> dict:
    """Models of some folders, by name, on the run's device; a masked one is refused where ``causal`` ones are asked."""
    _identify(run, folders)
    loaded = {name: load(folder, device=run.device) for name, folder in folders.items()}
    if causal and (others := [name for name, model in loaded.items() if model.kind not in CAUSAL]):
        raise InputError(
            f"{folders[others[0]]}: a {loaded[others[0]].kind}, which fills in masked tokens; {run.notebook} asks "
            f"for the likelihood of whole sequences, expected {', '.join(CAUSAL)}: take it out"
        )
    return loaded


def smoke_models(kinds: Sequence[str]) -> list[Path]:
    """Folders of the smoke profile's models of some kinds, trained on the sample if they aren't there (ten seconds)."""
    folders = []
    for job, parameters in load_profile("smoke").items():
        notebook, _, name = job.partition("/")
        if notebook != "04_train_language_model" or parameters["model"] not in kinds:
            continue
        code = ("files.py", "genes", "tokens", "models", "study/inputs.py", "study/parameters.py")
        folder = smoke_folder(parameters | {"torch": torch.__version__, "on": "cpu"}, *code) / name
        with one_at_a_time(folder):
            if not (folder / "config.json").is_file():
                train_from_config(language_model(parameters), smoke_corpus(), folder, device="cpu", progress=False)
        folders.append(folder)
    return folders


def _identify(run, folders: Mapping[str, Path]) -> None:
    """Put into the record which models these are; none may have the name of a floor."""
    if taken := [name for name in folders if FLOOR_NAMES.fullmatch(name)]:
        raise InputError(f"{folders[taken[0]]}: {taken[0]!r} is the name of a floor; rename the model's folder")
    run.data["models"] = run.data.get("models", {}) | {name: digest_of(its) for name, its in folders.items()}
