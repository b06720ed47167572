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
from dnastudy.models.memory import keep_freed_memory
from dnastudy.models.neural import Linear, NeuralModel, pick_device
from dnastudy.models.progress import flops_per_position
from dnastudy.models.settings import TrainingConfig, learning_rate
from dnastudy.models.store import check_value
from dnastudy.models.training import parameter_groups, use_bf16
from dnastudy.models.windows import GeneBatches
from dnastudy.tokens.tokenizer import CLS, PAD, SEP

_ROWS_A_RUN = 10  # rows of the history


@dataclass(frozen=True)
class FineTuning:
    """How a classifier is fine-tuned.

    Attributes
    ----------
    epochs, batch
        How often each example is seen; examples in a step.
    learning_rate, warmup
        Peak rate; share of the steps in which it rises to it. Then half a cosine falls to zero.
    head_rate
        How many times faster the weights of the heads learn, which begin with nothing, than all else, which is to
        keep what it has.
    weight_decay, clip
        AdamW's decay of weight matrices; greatest norm of the gradient (0: any).
    precision
        ``fp32``, ``bf16``, or ``auto``: bf16 where the machine computes it faster.
    seed
        Of the order of the examples and of the dropout.
    """

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

    Parameters
    ----------
    trunk
        The model, pre-trained or not; it isn't changed itself.
    sizes
        The values of k.
    dropout
        Share of the state's values dropped while fine-tuning.
    shares
        For each k how common each k-mer is (float [4^k], each above zero), where the logits start; None: all alike.
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
        self.heads = Linear(trunk.config["width"], sum(4**k for k in self.sizes))
        nn.init.normal_(self.heads.weight, std=0.02)
        nn.init.zeros_(self.heads.bias)
        if shares is not None:
            logarithms = np.log(np.concatenate([shares[k] for k in self.sizes]))
            self.heads.bias.data.copy_(torch.from_numpy(logarithms))
        self.to(trunk.device)

    def forward(self, ids: Tensor, last: Tensor) -> dict[int, Tensor]:
        """Logits, float32 [rows, 4^k] for each k.

        Parameters
        ----------
        ids
            int64 [rows, positions], see :func:`rows`, padded on the right with PAD.
        last
            Position of each row's last token, int64 [rows].
        """
        hidden = self.trunk.hidden(ids)
        state = hidden[torch.arange(len(ids), device=ids.device), last] if self.trunk.causal else hidden[:, 0]
        # Logarithms of small shares, of which bf16 keeps two digits.
        with torch.autocast(ids.device.type, enabled=False):
            logits = self.heads(self.dropout(state.float()))
        return dict(zip(self.sizes, logits.split([4**k for k in self.sizes], dim=-1), strict=True))


def rows(trunk: NeuralModel, tokens: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a model is given of each example: CLS, its tokens (int [n]) and, in a BERT, SEP.

    Raises
    ------
    InputError
        When one is longer than the model's context.
    """
    before, after = [CLS], [] if trunk.causal else [SEP]
    found = [np.concatenate([before, one, after]).astype(np.int64) for one in tokens]
    longest = max(map(len, found), default=0)
    if trunk.context is not None and longest > trunk.context:
        raise InputError(f"an example of {longest} positions; the model's context is {trunk.context}: shorten it")
    return found


def fine_tune(
    classifier: KmerClassifier,
    tokens: Sequence[np.ndarray],
    labels: dict[int, np.ndarray],
    settings: FineTuning | None = None,
    *,
    device: str | torch.device | None = None,
    progress: TextIO | None = None,
) -> list[dict]:
    """Fine-tune a classifier in place, for all k at once: the sum of their cross-entropies is what is lowered.

    Parameters
    ----------
    tokens
        Of each example, int [n], as the model's tokenizer makes them.
    labels
        For each k the number of the true k-mer of each example, int [examples] (A C G T = 0-3, the first base counts
        most).
    progress
        A stream that is told, ten times in all, how it goes.

    Returns
    -------
    Ten rows, or one for each step if there are fewer: step, examples (seen so far), learning_rate, and
    ``train_bits_2`` for k = 2 and so on: mean bits of the true k-mer since the row before.

    Raises
    ------
    InputError
        When labels don't fit the examples or the classifier, or the loss is no longer a number.
    """
    settings = settings or FineTuning()
    device = pick_device(device)
    examples = _Examples(classifier, tokens, labels)
    batches = GeneBatches(examples.lengths, settings.batch)
    steps = settings.epochs * len(batches)
    config = settings.in_steps(steps)
    keep_freed_memory()
    classifier.to(device).train()
    learnt = [one for one in classifier.parameters() if one.requires_grad]
    heads = classifier.heads.weight
    groups = parameter_groups(learnt, settings.weight_decay, lambda one: settings.head_rate if one is heads else 1.0)
    optimizer = torch.optim.AdamW(groups, fused=device.type == "cuda")
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(settings.precision, device))
    history, seen, seen_before, bits = [], 0, 0, 0.0
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        for step in range(steps):
            epoch, number = divmod(step, len(batches))
            if number == 0:
                order = batches.shuffled([settings.seed, epoch])
            chosen = order[number]
            rate = learning_rate(step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["times"]
            ids, last, wanted = examples.batch(chosen, device)
            with autocast:
                logits = classifier(ids, last)
            nats = _nats(logits, wanted).sum(1)
            (nats.sum() / settings.batch).backward()  # a batch that is smaller weighs less
            norm = torch.nn.utils.clip_grad_norm_(learnt, settings.clip or math.inf)
            if not math.isfinite(norm):
                raise InputError(
                    f"fine-tuning, step {step + 1}: loss {nats.sum().item() / len(chosen):.4g}, gradient norm "
                    f"{norm.item():.4g} at learning rate {rate:.3g}; lower learning_rate or raise warmup"
                )
            optimizer.step()
            optimizer.zero_grad()
            seen += len(chosen)
            bits = bits + nats.detach() / math.log(2)
            if (step + 1) * _ROWS_A_RUN // steps > step * _ROWS_A_RUN // steps:
                means = dict(zip(classifier.sizes, (bits / (seen - seen_before)).tolist(), strict=True))
                row = {"step": step + 1, "examples": seen, "learning_rate": rate}
                history.append(row | {f"train_bits_{k}": value for k, value in means.items()})
                bits, seen_before = 0.0, seen
                if progress:
                    told = ", ".join(f"{value:.3f} (k = {k})" for k, value in means.items())
                    speed = seen / (time.perf_counter() - started)
                    print(f"step {step + 1}/{steps}  bits {told}  {speed:,.0f} examples/s", file=progress, flush=True)
    classifier.eval()
    return history


def predict(
    classifier: KmerClassifier,
    tokens: Sequence[np.ndarray],
    labels: dict[int, np.ndarray],
    *,
    batch: int = 256,
) -> dict[int, Predictions]:
    """Predict the k-mers of examples, in fp32 whatever the training precision.

    Parameters
    ----------
    tokens, labels
        As :func:`fine_tune` takes them.
    batch
        Examples computed side by side.

    Raises
    ------
    InputError
        When labels don't fit the examples or the classifier.
    """
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
    """Operations to fine-tune on one example of so many tokens.

    Six for each weight that a position multiplies, those of the heads once, and attention's (see
    :func:`dnastudy.models.progress.flops_per_position`).
    """
    positions = tokens_per_row + (1 if trunk.causal else 2)
    matrices = (one for name, one in trunk.named_parameters() if name.startswith(("layers.", "blocks.")))
    others = trunk.size - sum(one.numel() for one in matrices if one.ndim > 1)
    heads = trunk.config["width"] * sum(4**k for k in sizes)
    return positions * (flops_per_position(trunk, positions) - 6 * others) + 6 * heads


class _Examples:
    """Examples as a table of ids (int32 [n, longest]) with their lengths, and labels (int64 [sizes, n])."""

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
        found = rows(classifier.trunk, tokens)
        self.lengths = np.array([len(one) for one in found])
        self.ids = np.full((len(found), self.lengths.max()), PAD, dtype=np.int32)
        self.ids[np.arange(self.ids.shape[1]) < self.lengths[:, None]] = np.concatenate(found)
        self.labels = np.stack([labels[k] for k in classifier.sizes]).astype(np.int64)

    def batch(self, chosen: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Ids [rows, positions], each row's last position, and labels [sizes, rows], all int64."""
        lengths = self.lengths[chosen]
        arrays = self.ids[chosen, : lengths.max()].astype(np.int64), lengths - 1, self.labels[:, chosen]
        ids, last, labels = (torch.from_numpy(one).to(device) for one in arrays)
        return ids, last, labels


def _nats(logits: dict[int, Tensor], wanted: Tensor) -> Tensor:
    """Negative log-probability of each example's k-mers, [sizes, rows]."""
    costs = (functional.cross_entropy(*pair, reduction="none") for pair in zip(logits.values(), wanted, strict=True))
    return torch.stack(list(costs))
