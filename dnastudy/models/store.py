"""Build a model from its configuration; save and load model folders, every file checked by its SHA-256."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from dnastudy import models
from dnastudy.files import InputError, nearest, read_json, sha256, write_json
from dnastudy.models.base import KINDS
from dnastudy.models.checkpoint import into, write_tensors
from dnastudy.models.hub import check_transformers, import_from_transformers
from dnastudy.models.neural import pick_device
from dnastudy.models.settings import checked
from dnastudy.tokens.tokenizer import single_base

_CLASSES = {
    "ngram": "NgramModel",
    "lstm": "RecurrentModel",
    "gru": "RecurrentModel",
    "gpt": "Transformer",
    "bert": "Bert",
}
_NO_MODEL = "no config.json there; expected a model folder as chapter 04 writes it, or hf:NAME for one of transformers"
_COPY = "copy the whole folder again, or train again"


def build(config: dict, *, device: str | None = None):
    """Make an untrained model from ``{"kind": ..., hyper-parameters}``; whatever is left out has its default."""
    settings = dict(config)
    kind = settings.pop("kind", None)
    if kind not in KINDS:
        raise InputError(f"model kind {kind!r}: {nearest(kind, KINDS)}")
    model = getattr(models, _CLASSES[kind])  # imported now: n-grams need numba, which a machine to train on may lack
    defaults = {one.name: one.default for one in inspect.signature(model).parameters.values() if one.name != "kind"}
    settings = checked(f"{kind} model", settings, defaults)
    if settings.get("dropout", 0) >= 1:
        raise InputError(f"{kind} model: dropout = {settings['dropout']}; expected less than 1")
    if kind == "ngram":
        return model(**settings)
    return (model(kind, **settings) if kind in ("lstm", "gru") else model(**settings)).to(pick_device(device))


def untrained(model, seed: int = 0):
    """A neural model of the same build and tokens, where the other is, with weights as drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        other = build(model.config, device="cpu").to(model.device)
    if not model.causal:
        other.tokenizer = model.tokenizer
    return other.eval()


def save(model, folder: str | Path) -> None:
    """Write ``config.json``, the weights or counts, and ``tokenizer.json``; other files there are left alone."""
    folder = Path(folder)
    with into(folder) as staging:
        if model.kind == "ngram":
            model.write_counts(staging / "counts.npz")
        else:
            write_tensors(staging / "model.safetensors", model.state_dict())
        getattr(model, "tokenizer", single_base()).save(staging / "tokenizer.json")
        digests = {path.name: sha256(path) for path in sorted(staging.iterdir())}
    for stale in {"counts.npz", "model.safetensors"} - digests.keys():  # of a model of another kind
        (folder / stale).unlink(missing_ok=True)
    provenance = {"trained_on": dict(model.trained_on), "precision": model.precision}
    config = model.config | {name: value for name, value in provenance.items() if value} | {"files": digests}
    # It comes last, so that an interrupted save is noticed on loading.
    write_json(folder / "config.json", config | {"sha256": _digest(config)})


def load(folder: str | Path, *, device: str | None = None):
    """Load the model that `save` wrote, or as ``hf:NAME`` or ``hf:FOLDER`` a BERT of ``transformers``.

    Every file of a folder is compared with its SHA-256. ``device``: ``cpu``, ``cuda`` or ``cuda:N``; without one CUDA
    where there is a GPU, else the CPU.
    """
    if str(folder).startswith("hf:"):
        return import_from_transformers(str(folder).removeprefix("hf:"), device=device)
    folder = Path(folder)
    config = _read_config(folder)
    trained_on, precision = config.pop("trained_on", {}), config.pop("precision", None)
    if config.get("kind") == "bert":
        config["tokenizer"] = str(folder / "tokenizer.json")
    try:
        model = build(config, device=device)
    except InputError as error:
        raise InputError(f"{folder}/config.json: {error}") from None
    model.trained_on, model.precision = trained_on, precision
    if model.kind == "ngram":
        model.read_counts(folder / "counts.npz")
        return model
    try:
        model.load_state_dict(load_file(folder / "model.safetensors", device=str(model.device)))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{folder}: config.json and model.safetensors disagree ({reason}); {_COPY}") from None
    return model.eval()


def check(source: str | Path) -> None:
    """Refuse, before its weights are loaded, what `load` can't: a model that isn't there, or of no known build."""
    if str(source).startswith("hf:"):
        check_transformers(str(source).removeprefix("hf:"))
    else:
        _read_config(Path(source))


def _read_config(folder: Path) -> dict:
    """What ``config.json`` holds beside SHA-256s, which are compared: its own and those of all other files."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: {_NO_MODEL}")
    config = read_json(folder / "config.json")
    if isinstance(config, dict) and "model_type" in config and "kind" not in config:
        kind = config["model_type"]
        raise InputError(f"{folder}: a model of transformers ({kind!r}), not of this package; give it as hf:{folder}")
    if not isinstance(config, dict) or not isinstance(config.get("files"), dict) or "sha256" not in config:
        raise InputError(f"{folder}/config.json: expected 'files' and 'sha256' in it; {_COPY}")
    if config.pop("sha256") != _digest(config):
        raise InputError(f"{folder}/config.json: changed since it was saved (its SHA-256 isn't 'sha256'); {_COPY}")
    for name, expected in config.pop("files").items():
        path = folder / Path(name).name
        if not path.is_file():
            raise InputError(f"{path}: missing; config.json lists it: {_COPY}")
        if (found := sha256(path)) != expected:
            raise InputError(
                f"{path}: not the file saved (SHA-256 expected {expected[:8]}, found {found[:8]}); {_COPY}"
            )
    if (kind := config.get("kind")) not in KINDS:
        raise InputError(f"{folder}/config.json: model kind {kind!r}: {nearest(kind, KINDS)}")
    return config


def digest_of(source: str | Path) -> str:
    """The SHA-256 that tells a model from another; of a name on the hub ``hf:NAME@COMMIT``, if known."""
    theirs = str(source).startswith("hf:")
    folder = Path(str(source).removeprefix("hf:"))
    if theirs and not folder.is_dir():
        return f"hf:{folder}" + _commit(str(folder))
    if (folder / "config.json").is_file():
        if not theirs:
            return sha256(folder / "config.json")
        # Theirs, unlike ours, doesn't hold the digests of the other files.
        files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".txt"))
        return _digest({path.name: sha256(path) for path in files})
    raise InputError(f"{source}: {_NO_MODEL}")


def _commit(name: str) -> str:
    """``@`` and the commit of a model on the hub, or nothing."""
    try:
        from transformers.utils.hub import cached_file, extract_commit_hash

        commit = extract_commit_hash(cached_file(name, "config.json"), None)
    except (ImportError, OSError, ValueError):  # what is wrong is said on loading
        return ""
    return f"@{commit}" if commit else ""


def _digest(config: dict) -> str:
    """SHA-256 of a configuration, however it is laid out in its file."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
