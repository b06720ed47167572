"""Heads on a pre-trained model, and its fine-tuning: a classifier of the next k bases, and one of whole sequences."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError, write_json
from dnastudy.models.base import check_value
from dnastudy.models.batches import GeneBatches
from dnastudy.models.checkpoint import in_units
from dnastudy.models.neural import IGNORED, Linear, NeuralModel, keep_freed_memory, pick_device
from dnastudy.models.parallel import rank
from dnastudy.models.pooled import embed, opposite, padded, piece_ids, rows, summed_states
from dnastudy.models.settings import TrainingConfig, learning_rate
from dnastudy.models.training import parameter_groups, train, use_bf16
from dnastudy.tokens.ids import PAD

_ROWS_A_RUN = 10  # rows of the history


def _head(trunk: NeuralModel, outputs: int) -> Linear:
    """A linear layer on a model's states, to be learnt anew."""
    head = Linear(trunk.config["width"], outputs)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


@dataclass(frozen=True)
class FineTuning:
    """How a classifier is fine-tuned."""

    epochs: int = 1
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.3
    head_rate: float = 10.0
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            least = int(field.name in ("epochs", "batch"))
            value = check_value(f"fine-tuning: {field.name}", getattr(self, field.name), field.default, least=least)
            object.__setattr__(self, field.name, value)  # frozen
        if self.warmup > 1:
            raise InputError(f"fine-tuning: warmup = {self.warmup}; expected a share of the steps, such as 0.3")
        self.in_steps(1)  # refuses what no training takes

    def in_steps(self, steps: int) -> TrainingConfig:
        """The settings that decide the learning rate of each of so many steps."""
        return TrainingConfig(
            steps=steps,
            warmup=round(self.warmup * steps),
            learning_rate=self.learning_rate,
            final=0.0,
            precision=self.precision,
        )


class Predictions(NamedTuple):
    """Whether the likeliest k-mer is the true one (bool [n]), and bits of the true one (float32 [n])."""

    right: np.ndarray
    bits: np.ndarray


class KmerClassifier(nn.Module):
    """A copy of a model without its head, and for each k a linear layer that tells the next k bases from its state.

    A causal model's state after the last token is taken, and that of a BERT at CLS, as in GROVER (Sanabria et al.
    2024).
    """

    def __init__(
        self,
        trunk: NeuralModel,
        sizes: Sequence[int],
        *,
        dropout: float = 0.0,
        shares: dict[int, np.ndarray] | None = None,
    ):
        super().__init__()
        self.trunk = copy.deepcopy(trunk)
        self.sizes = tuple(sizes)
        self.dropout = nn.Dropout(dropout)
        self.heads = _head(trunk, sum(4**k for k in self.sizes))
        if shares is not None:
            logarithms = np.log(np.concatenate([shares[k] for k in self.sizes]))
            self.heads.bias.data.copy_(torch.from_numpy(logarithms))
        self.to(trunk.device)

    def forward(self, ids: Tensor, last: Tensor) -> dict[int, Tensor]:
        """Logits, float32 [rows, 4^k] for each k."""
        hidden = self.trunk.hidden(ids)
        state = hidden[torch.arange(len(ids), device=ids.device), last] if self.trunk.causal else hidden[:, 0]
        # Logarithms of small shares, of which bf16 keeps two digits.
        with torch.autocast(ids.device.type, enabled=False):
            logits = self.heads(self.dropout(state.float()))
        return dict(zip(self.sizes, logits.split([4**k for k in self.sizes], dim=-1), strict=True))


def fine_tune_kmers(
    classifier: KmerClassifier,
    tokens: Sequence[np.ndarray],
    labels: dict[int, np.ndarray],
    settings: FineTuning | None = None,
    *,
    device: str | torch.device | None = None,
    progress: TextIO | None = None,
) -> list[dict]:
    """Fine-tune a classifier in place, for all k at once: the sum of their cross-entropies is what is lowered."""
    settings = settings or FineTuning()
    device = pick_device(device)
    examples = _Examples(classifier, tokens, labels)
    batches = GeneBatches(examples.lengths, settings.batch)
    steps = settings.epochs * len(batches)
    config = settings.in_steps(steps)
    keep_freed_memory()
    classifier.to(device).train()
    weights = [one for one in classifier.parameters() if one.requires_grad]
    heads = classifier.heads.weight
    groups = parameter_groups(weights, settings.weight_decay, lambda one: settings.head_rate if one is heads else 1.0)
    optimizer = torch.optim.AdamW(groups, fused=device.type == "cuda")
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(settings.precision, device))
    history = _KmerHistory(classifier.sizes, steps, progress)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        for step in range(steps):
            chosen = batches.at(step, settings.seed)
            rate = learning_rate(step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["times"]
            ids, last, wanted = examples.batch(chosen, device)
            with autocast:
                logits = classifier(ids, last)
            nats = _nats(logits, wanted).sum(1)
            (nats.sum() / settings.batch).backward()  # a batch that is smaller weighs less
            norm = torch.nn.utils.clip_grad_norm_(weights, settings.clip or math.inf)
            if not math.isfinite(norm):
                raise InputError(
                    f"fine-tuning, step {step + 1}: loss {nats.sum().item() / len(chosen):.4g}, gradient norm "
                    f"{norm.item():.4g} at learning rate {rate:.3g}; lower learning_rate or raise warmup"
                )
            optimizer.step()
            optimizer.zero_grad()
            history.count(step, len(chosen), nats.detach(), rate)
    classifier.eval()
    return history.rows


class _KmerHistory:
    """The rows that :func:`fine_tune_kmers` returns, each the mean over the steps since the one before."""

    def __init__(self, sizes: Sequence[int], steps: int, progress: TextIO | None):
        self.rows: list[dict] = []
        self._sizes, self._steps, self._progress = sizes, steps, progress
        self._seen, self._seen_before, self._bits = 0, 0, 0.0
        self._started = time.perf_counter()

    def count(self, step: int, examples: int, nats: Tensor, rate: float) -> None:
        """Book one step: its examples, and their cost in nats of each k."""
        self._seen += examples
        self._bits = self._bits + nats / math.log(2)
        if (step + 1) * _ROWS_A_RUN // self._steps == step * _ROWS_A_RUN // self._steps:
            return
        means = (self._bits / (self._seen - self._seen_before)).tolist()
        row = {"step": step + 1, "examples": self._seen, "learning_rate": rate}
        self.rows.append(row | {f"train_bits_{k}": mean for k, mean in zip(self._sizes, means, strict=True)})
        self._bits, self._seen_before = 0.0, self._seen
        if self._progress:
            bits = ", ".join(f"{mean:.3f} (k = {k})" for k, mean in zip(self._sizes, means, strict=True))
            speed = self._seen / (time.perf_counter() - self._started)
            line = f"step {step + 1}/{self._steps}  bits {bits}  {speed:,.0f} examples/s"
            print(line, file=self._progress, flush=True)


def predict_kmers(
    classifier: KmerClassifier,
    tokens: Sequence[np.ndarray],
    labels: dict[int, np.ndarray],
    *,
    batch: int = 256,
) -> dict[int, Predictions]:
    """Predict the k-mers of examples, in fp32 whatever the training precision."""
    examples = _Examples(classifier, tokens, labels)
    right = np.zeros(examples.labels.shape, dtype=bool)
    bits = np.zeros(examples.labels.shape, dtype=np.float32)
    training = classifier.training
    classifier.eval()
    with classifier.trunk.evaluating():
        for chosen in np.array_split(np.argsort(examples.lengths, kind="stable"), -(-len(tokens) // batch)):
            ids, last, wanted = examples.batch(chosen, classifier.trunk.device)
            logits = classifier(ids, last)
            bits[:, chosen] = _nats(logits, wanted).cpu().numpy() / math.log(2)
            likeliest = torch.stack([one.argmax(-1) for one in logits.values()])
            right[:, chosen] = (likeliest == wanted).cpu().numpy()
    classifier.train(training)
    return {k: Predictions(*found) for k, *found in zip(classifier.sizes, right, bits, strict=True)}


def operations(trunk: NeuralModel, sizes: Sequence[int], tokens_per_row: float) -> float:
    """Operations to fine-tune on one example of so many tokens, forward and backward.

    Six for each weight that a position multiplies, those of the heads once, and in a Transformer
    12 x layers x width x positions for attention (Chowdhery et al. 2022, appendix B).
    """
    positions = tokens_per_row + (1 if trunk.causal else 2)
    width = trunk.config["width"]
    attention = 12 * trunk.config["layers"] * width * positions if trunk.kind in ("gpt", "bert") else 0
    matrices = (one for name, one in trunk.named_parameters() if name.startswith(("layers.", "blocks.")))
    others = trunk.size - sum(one.numel() for one in matrices if one.ndim > 1)
    return positions * (6 * trunk.size + attention - 6 * others) + 6 * width * sum(4**k for k in sizes)


class _Examples:
    """Rows of ids (see :func:`rows`) with their lengths, and labels (int64 [sizes, n])."""

    def __init__(self, classifier: KmerClassifier, tokens: Sequence[np.ndarray], labels: dict[int, np.ndarray]):
        if labels.keys() != set(classifier.sizes):
            given, expected = (", ".join(map(str, sizes)) for sizes in (labels, classifier.sizes))
            raise InputError(f"labels of k = {given}; the classifier's are k = {expected}: give those")
        for k, numbers in labels.items():
            if len(numbers) != len(tokens) or not len(tokens):
                raise InputError(f"{len(numbers):,} labels of k = {k} for {len(tokens):,} examples; expected one each")
            if np.min(numbers) < 0 or np.max(numbers) >= 4**k:
                raise InputError(
                    f"labels of k = {k} from {np.min(numbers)} to {np.max(numbers)}; expected 0 to {4**k - 1}: "
                    "k-mers with an unknown base have no number, leave them out"
                )
        self.rows = rows(classifier.trunk, tokens)
        self.lengths = np.array([len(one) for one in self.rows])
        self.labels = np.stack([labels[k] for k in classifier.sizes]).astype(np.int64)

    def batch(self, chosen: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Ids [rows, positions], each row's last position, and labels [sizes, rows], all int64."""
        last, labels = (torch.from_numpy(one).to(device) for one in (self.lengths[chosen] - 1, self.labels[:, chosen]))
        return padded([self.rows[number] for number in chosen]).to(device), last, labels


def _nats(logits: dict[int, Tensor], wanted: Tensor) -> Tensor:
    """Negative log-probability of each example's k-mers, [sizes, rows]."""
    costs = (functional.cross_entropy(*pair, reduction="none") for pair in zip(logits.values(), wanted, strict=True))
    return torch.stack(list(costs))


class SequenceClassifier(NeuralModel):
    """A copy of a model without its head, and a linear layer on the mean of its states over a sequence's tokens.

    `dnastudy.models.training.train` takes it for a model that fills in one symbol, the class, at the first position.
    """

    kind = "classifier"
    causal = False

    def __init__(self, trunk: NeuralModel, classes: int, *, dropout: float = 0.0, head_rate: float = 10.0):
        super().__init__()
        if not isinstance(trunk, NeuralModel):
            raise InputError(f"a {trunk.kind} model has no weights to fine-tune; expected an lstm, gru, gpt or bert")
        if classes < 2:
            raise InputError(f"{classes} classes of sequences; expected two or more to tell apart")
        self.trunk = copy.deepcopy(trunk)
        for part in ("head",) if trunk.causal else ("transform", "bias"):
            delattr(self.trunk, part)
        self.classes, self.head_rate = classes, head_rate
        self.config = {
            "kind": self.kind,
            "trunk": trunk.config,
            "classes": classes,
            "dropout": dropout,
            "head_rate": head_rate,
        }
        self.context = trunk.context
        self.dropout = nn.Dropout(dropout)
        self.head = _head(trunk, classes)
        self.to(trunk.device)

    @property
    def scored(self) -> tuple[int, ...]:
        """The classes."""
        return tuple(range(self.classes))

    def times(self, parameter: nn.Parameter) -> float:
        """How many times faster than the rest a weight is to learn."""
        return self.head_rate if parameter is self.head.weight else 1.0

    def forward(self, ids: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, None]:
        """Logits of the classes, float32 [rows, pieces, positions, classes], the same at all positions; and no state.

        ``ids`` is int64 [rows, pieces, positions], as `piece_ids` makes them, padded with
        PAD. With ``wanted`` (bool, of the same shape) logits [n, classes] of those n positions alone.
        """
        there = ids[..., 0] != PAD  # every piece begins with CLS, but those that pad a row
        pieces = ids[there]
        total, tokens = (
            part.new_zeros(*there.shape, part.shape[1]).masked_scatter(there[..., None], part).sum(1)
            for part in summed_states(self.trunk.hidden(pieces), pieces)
        )
        with torch.autocast(ids.device.type, enabled=False):
            logits = self.head(self.dropout(total / tokens))
        logits = logits[:, None, None].expand(-1, *ids.shape[1:], -1)
        return (logits if wanted is None else logits[wanted]), None


class LabelSource:
    """Labelled sequences in batches, each a function of the settings and the step alone.

    The label is the target at the first CLS, and the only one. Sequences of like length in bases share a batch.
    Those to validate on are padded to the one of most pieces: one that is many times longer than others costs memory.
    """

    unit = "sequence"

    def __init__(
        self,
        trunk: NeuralModel,
        codes: Sequence[np.ndarray],
        labels: np.ndarray,
        config: TrainingConfig,
        *,
        validation: tuple[Sequence[np.ndarray], np.ndarray],
    ):
        strands = [codes, opposite(codes)] if config.reverse_complement else [codes]
        self._strands = [piece_ids(trunk, strand) for strand in strands]
        self._labels, self._seed = np.asarray(labels, dtype=np.int64), config.seed
        # By bases and not by tokens: a batch by tokens would hold what is alike, and so of one class.
        self._batches = GeneBatches(np.array([len(one) for one in codes]), config.batch)
        self.epoch_steps = len(self._batches)
        held_out, wanted = piece_ids(trunk, validation[0]), np.asarray(validation[1], dtype=np.int64)
        longest_first = np.argsort([-one.size for one in held_out], kind="stable")
        self._validation = _labelled([held_out[number] for number in longest_first], wanted[longest_first])
        self.longest = max(one.shape[1] for rows in (*self._strands, held_out) for one in rows)
        self._identity = {
            "start": _digest(one.detach().cpu().contiguous().numpy() for one in trunk.state_dict().values()),
            "train": _digest([*(one for rows in self._strands for one in rows), self._labels]),
            "validation": _digest([*held_out, wanted]),
        }

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Input ids and targets of a step, int64 [rows, pieces, positions]."""
        chosen = self._batches.at(step, self._seed)
        strands = np.random.default_rng([self._seed, step]).integers(len(self._strands), size=len(chosen))
        rows = [self._strands[strand][number] for strand, number in zip(strands, chosen, strict=True)]
        return _labelled(rows, self._labels[chosen])

    def validation(self) -> tuple[Tensor, Tensor]:
        """All sequences to validate on, the longest first."""
        return self._validation

    def identity(self) -> dict[str, str]:
        """SHA-256 of the ids with the labels, and of the weights that fine-tuning starts from."""
        return self._identity

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many sequences are read."""
        return len(inputs)


def fine_tune(
    trunk: NeuralModel,
    codes: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: int,
    out: str | Path,
    settings: TrainingConfig | None = None,
    *,
    validation: tuple[Sequence[np.ndarray], np.ndarray],
    dropout: float = 0.0,
    head_rate: float = 10.0,
    device: str | torch.device | None = None,
    progress: bool | TextIO = False,
) -> SequenceClassifier:
    """Fine-tune a model end to end, to tell the classes of sequences apart.

    ``out`` then holds ``history.json``: the rows of `dnastudy.models.training.train`, of sequences instead of bases.
    An interrupted call goes on from its last checkpoint, kept in ``out/checkpoint``, when it is made again; the
    checkpoint is removed in the end. Sequences longer than the context are read in pieces (see
    `piece_ids`); a batch of them takes more memory, which ``accumulate`` mends.
    """
    settings = settings or TrainingConfig()
    labels, held_out = (
        _checked(*given, classes, what)
        for given, what in (((codes, labels), "to learn from"), (validation, "to validate on"))
    )
    if absent := set(range(classes)) - set(labels.tolist()):
        raise InputError(f"no sequence of class {min(absent)} to learn from; give some, or leave the class out")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        classifier = SequenceClassifier(trunk, classes, dropout=dropout, head_rate=head_rate)
    source = LabelSource(trunk, codes, labels, settings, validation=(validation[0], held_out))
    settings = dataclasses.replace(settings, sampling="genes", window=source.longest)
    history = train(classifier, source, out, settings, device=device, progress=progress)
    if rank() == 0:
        write_json(Path(out) / "history.json", in_units(history, source.unit))
        shutil.rmtree(Path(out) / "checkpoint", ignore_errors=True)
    return classifier


def predict(
    classifier: SequenceClassifier,
    codes: Sequence[np.ndarray],
    *,
    reverse_complement: bool = False,
    precision: str = "fp32",
) -> np.ndarray:
    """Probability of each class, float32 [n, classes]."""
    if reverse_complement:
        strands = codes, opposite(codes)
        return np.mean([predict(classifier, strand, precision=precision) for strand in strands], axis=0)
    states = torch.from_numpy(embed(classifier.trunk, codes, precision=precision)).to(classifier.device)
    with classifier.evaluating():
        return classifier.head(states).softmax(-1).cpu().numpy()


def _labelled(rows: list[np.ndarray], labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows as inputs, and targets that hold the labels at the first position of the first piece."""
    inputs = padded(rows)
    targets = torch.full_like(inputs, IGNORED)
    targets[:, 0, 0] = torch.from_numpy(labels)
    return inputs, targets


def _checked(codes: Sequence[np.ndarray], labels: np.ndarray, classes: int, what: str) -> np.ndarray:
    """Labels as int64 [n], each of a class."""
    labels = np.asarray(labels, dtype=np.int64)
    if len(labels) != len(codes) or not len(labels):
        raise InputError(f"{len(labels):,} labels of {len(codes):,} sequences {what}; expected one each, and some")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels {what} from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
    return labels


def _digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of arrays one after the other, with their shapes."""
    digest = hashlib.sha256()
    for one in arrays:
        digest.update(repr(one.shape).encode() + np.ascontiguousarray(one).tobytes())
    return digest.hexdigest()
