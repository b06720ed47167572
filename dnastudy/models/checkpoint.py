"""The state of a training run: kept in one file, written atomically, gone on from bit for bit."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dnastudy.files import InputError, atomic_folder, atomic_path, read_json
from dnastudy.models.base import KINDS
from dnastudy.models.neural import NeuralModel
from dnastudy.models.parallel import rank

FILE = "state.safetensors"
_PROGRESS = ("step", "bases", "history", "nats", "steps")


class Run:
    """A model in training: its optimiser, where it stands, its history, and its best weights so far."""

    # What a step sees and draws is a function of seed and step: ``step`` is the state of data and generators too.

    def __init__(self, model: NeuralModel, optimizer: torch.optim.Optimizer, *, keep: str = "best"):
        self.model, self.optimizer, self._keep = model, optimizer, keep
        self.step, self.bases = 0, 0
        self.history: list[dict] = []
        self.best: dict[str, Tensor] = {}
        self.nats, self.steps = 0.0, 0  # summed loss, and steps, since the last row

    def count(self, loss: float, bases: int) -> None:
        """Book one step: its mean loss in nats, and the bases it saw."""
        self.step += 1
        self.bases += bases
        self.nats += loss
        self.steps += 1

    def note(self, validation: float, learning_rate: float, speed: float) -> None:
        """Add a row to the history, and keep the weights if none were better."""
        if self._keep == "best" and all(validation < row["validation_bits_per_base"] for row in self.history):
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        row = {"step": self.step, "bases": self.bases, "train_bits_per_base": self.nats / self.steps / math.log(2)}
        row |= {"validation_bits_per_base": validation, "learning_rate": learning_rate, "bases_per_second": speed}
        self.history.append(row)
        self.nats, self.steps = 0.0, 0

    @property
    def stale(self) -> int:
        """How many looks at the validation genes came after the best one."""
        costs = [row["validation_bits_per_base"] for row in self.history]
        return len(costs) - 1 - costs.index(min(costs)) if costs else 0

    def save(self, folder: Path, identity: dict) -> None:
        """Write everything that the next step depends on, and ``identity``, into ``folder``."""
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": value for name, value in values.items()}
        progress = {name: getattr(self, name) for name in _PROGRESS}
        with atomic_path(folder / FILE) as partial:
            write_tensors(partial, tensors, {"identity": json.dumps(identity), "progress": json.dumps(progress)})

    def resume(self, folder: Path, identity: dict) -> None:
        """Take up the checkpoint in ``folder``, if there is one."""
        path = folder / FILE
        if not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise InputError(f"{path}: not readable ({error}); remove {folder} to train from the start") from None
        if differing := differences(json.loads(metadata["identity"]), identity):
            raise InputError(
                f"{path}: a checkpoint of another configuration ({'; '.join(differing)}); "
                f"train as before, choose another folder, or remove {folder} to train from the start"
            )
        vars(self).update(json.loads(metadata["progress"]))
        model: dict[str, Tensor] = {}
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            if part == "optimizer":
                number, _, rest = rest.partition("/")
                state.setdefault(int(number), {})[rest] = value
            elif part == "best":
                self.best[rest] = value.to(self.model.device)
            else:
                model[rest] = value
        self.model.load_state_dict(model)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


@contextmanager
def into(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success its files go to ``folder``, where other files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder / ".saving") as staging:
        yield staging
        for path in sorted(staging.iterdir()):
            os.replace(path, folder / path.name)
    (folder / ".saving").rmdir()


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file; not by ``save_file``, whose error on a full disk isn't an OSError."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path.write_bytes(safetensors.torch.save(tensors, metadata))


def in_units(history: list[dict], unit: str) -> list[dict]:
    """Rows of a history, which call whatever is counted bases, by the names of another unit."""
    return [{name.replace("base", unit): value for name, value in row.items()} for row in history]


def differences(old: dict, new: dict, within: str = "") -> list[str]:
    """Where two nested mappings differ: ``key: old value there, new value here``."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now, f"{within}{key}.")
        elif before != now:
            found.append(f"{within}{key}: {before!r} there, {now!r} here")
    return found


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds a corpus, another configuration, or a finished model not to be overwritten."""
    if (out / "corpus.json").exists():
        raise InputError(f"{out}: a corpus stands there; give another folder for the model")
    if not (out / "config.json").exists():
        return
    config, checkpoint = read_json(out / "config.json"), out / "checkpoint"
    if not isinstance(config, dict) or (kind := config.get("kind")) not in KINDS:
        raise InputError(f"{out}: config.json there is of no model of this package; give another folder for the model")
    if overwrite:
        return
    with locked(checkpoint) if rank() == 0 and checkpoint.exists() else nullcontext():
        raise InputError(
            f"{out}: a finished {kind} model stands there; give another folder, or overwrite it "
            "(--overwrite, in Python overwrite=True)"
        )


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Make ``folder`` and hold it for this process alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another run is training there; wait for it, or take another folder") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                raise  # some network disks know no locks: go on without
        yield folder
