"""A classifier of the next k bases on a pre-trained model of tokens: fine-tune it, predict with it, count its cost."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.models.batches import GeneBatches
from dnastudy.models.classify import new_head
from dnastudy.models.neural import NeuralModel, keep_freed_memory, pick_device
from dnastudy.models.pooled import padded, rows
from dnastudy.models.settings import TrainingConfig, checked, learning_rate
from dnastudy.models.training import parameter_groups, use_bf16

_ROWS_A_RUN = 10  # rows of the history


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
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        vars(self).update(checked("fine-tuning", vars(self), defaults, may_be_zero=("seed",)))
        if self.warmup > 1:
            raise InputError(f"fine-tuning: warmup = {self.warmup}; expected a share of the steps, such as 0.3")
        self.in_steps(1)  # refuses what no training takes

    def in_steps(self, steps: int) -> TrainingConfig:
        """The settings that decide the learning rate of each of so many steps."""
        how = {"learning_rate": self.learning_rate, "final": 0.0, "precision": self.precision}
        return TrainingConfig(steps=steps, warmup=round(self.warmup * steps), **how)


class Predictions(NamedTuple):
    """Whether the likeliest k-mer is the true one (bool [n]), and bits of the true one (float32 [n])."""

    right: np.ndarray
    bits: np.ndarray


class KmerClassifier(nn.Module):
    """A copy of a model without its head, and for each k a linear layer that tells the next k bases from its state.

    A causal model's state after the last token is taken, a BERT's at CLS, as in GROVER (Sanabria et al. 2024).
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
        self.heads = new_head(trunk, sum(4**k for k in self.sizes))
        if shares is not None:
            self.heads.bias.data.copy_(torch.from_numpy(np.log(np.concatenate([shares[k] for k in self.sizes]))))
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
    classifier: KmerClassifier, tokens: Sequence[np.ndarray], labels: dict[int, np.ndarray], *, batch: int = 256
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
