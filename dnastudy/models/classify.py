"""A classifier of the next k bases on a pre-trained model of tokens: fine-tune it, predict with it, count its cost."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError, write_json
from dnastudy.genes.codes import coded
from dnastudy.models.base import check_value
from dnastudy.models.batches import GeneBatches
from dnastudy.models.neural import (
    IGNORED,
    VOCABULARY,
    Linear,
    NeuralModel,
    keep_freed_memory,
    pick_device,
    positions_at_once,
)
from dnastudy.models.parallel import rank
from dnastudy.models.settings import TrainingConfig, learning_rate
from dnastudy.models.training import flops_per_position, parameter_groups, train, use_bf16
from dnastudy.tokens.ids import CLS, PAD, SEP
from dnastudy.tokens.tokenizer import single_base

if TYPE_CHECKING:
    from dnastudy.models.ngram import NgramModel


_ROWS_A_RUN = 10  # rows of the history
BINS = 8  # parts of a sequence that an n-gram model's likelihood is averaged over


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
        self.heads = Linear(trunk.config["width"], sum(4**k for k in self.sizes))
        nn.init.normal_(self.heads.weight, std=0.02)
        nn.init.zeros_(self.heads.bias)
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


def rows(trunk: NeuralModel, tokens: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a model is given of each example: CLS, its tokens (int [n]) and, in a BERT, SEP."""
    before, after = [CLS], [] if trunk.causal else [SEP]
    found = [np.concatenate([before, one, after]).astype(np.int64) for one in tokens]
    longest = max(map(len, found), default=0)
    if trunk.context is not None and longest > trunk.context:
        raise InputError(f"an example of {longest} positions; the model's context is {trunk.context}: shorten it")
    return found


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
    """Operations to fine-tune on one example of so many tokens.

    Six for each weight that a position multiplies, those of the heads once, and attention's (see
    :func:`dnastudy.models.training.flops_per_position`).
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
        self.head = Linear(trunk.config["width"], classes)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
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
        strands = [codes]
        if config.reverse_complement:
            strands.append([codes.reverse_complement(one) for one in codes])
        self._strands = [piece_ids(trunk, strand) for strand in strands]
        self._labels, self._seed = np.asarray(labels, dtype=np.int64), config.seed
        # By bases and not by tokens: a batch by tokens would hold what is alike, and so of one class.
        self._batches = GeneBatches(np.array([len(one) for one in codes]), config.batch)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])
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
        epoch, number = divmod(step, self.epoch_steps)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._batches.shuffled([self._seed, epoch])
        chosen = self._epoch[1][number]
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
        rows = [{name.replace("base", source.unit): value for name, value in row.items()} for row in history]
        write_json(Path(out) / "history.json", rows)
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
        strands = codes, [codes.reverse_complement(one) for one in codes]
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


def embed(
    model: NeuralModel | NgramModel,
    codes: Sequence[np.ndarray],
    *,
    reverse_complement: bool = False,
    layer: int | None = None,
    precision: str = "fp32",
) -> np.ndarray:
    """A vector for each sequence by a model that stays as it is.

    That is the mean of the model's states over the sequence's tokens, without CLS and SEP; one longer than the context
    is read in the pieces of :func:`piece_ids`. An n-gram model has no states. Its vector is the mean log-likelihood
    (nats a base) in each of 8 equal parts of the sequence, read forwards and then read on the opposite strand; where a
    part has no known base it is that of a base drawn at random, -log 4.
    """
    if reverse_complement:
        strands = codes, [codes.reverse_complement(one) for one in codes]
        how = {"layer": layer, "precision": precision}
        return np.mean([embed(model, strand, **how) for strand in strands], axis=0)
    if layer is not None and (model.kind != "bert" or not 0 <= layer <= model.config["layers"]):
        raise InputError(f"layer {layer} of a {model.kind} model; expected 0 to the number of layers, of a bert alone")
    if model.kind == "ngram":
        return _likelihood_bins(model, codes)
    pieces = piece_ids(model, codes)
    number_of = np.repeat(np.arange(len(codes)), [len(one) for one in pieces])
    sums = np.zeros((len(codes), model.config["width"]), dtype=np.float32)
    counts = np.zeros((len(codes), 1), dtype=np.float32)
    bf16 = use_bf16(precision, model.device)
    with model.evaluating(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        for chosen, ids in batches(model, [piece for one in pieces for piece in one]):
            states = model.hidden(ids) if layer is None else model.states(ids)[layer]
            for total, part in zip((sums, counts), summed_states(states, ids), strict=True):
                np.add.at(total, number_of[chosen], part.cpu().numpy())
    return sums / counts


def piece_ids(model: NeuralModel, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a model is given of each sequence: CLS, its tokens and, in a BERT, SEP; int64 [pieces, positions] each.

    A sequence that has more tokens than the model's context takes beside these is read in pieces, as few as fit and of
    equal length: where some are a token shorter, PAD stands at their end. Each piece has its own CLS and SEP, and the
    model knows nothing of the others.
    """
    room = _room(model)
    return [
        padded(rows(model, np.array_split(one, -(-len(one) // (room or len(one)))))).numpy()
        for one in _tokens(model, codes)
    ]


def count_in_pieces(model: NeuralModel, codes: Sequence[np.ndarray]) -> dict[str, int | None]:
    """How many sequences :func:`piece_ids` gives in pieces, for the record."""
    lengths = np.array([len(one) for one in _tokens(model, codes)], dtype=np.int64)
    seen = _room(model)
    in_pieces = 0 if seen is None else int((lengths > seen).sum())
    return {"in_pieces": in_pieces, "longest": int(lengths.max(initial=0)), "seen": seen}


def batches(model: NeuralModel, rows: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Rows of like length together, as many as are best computed at once: their numbers, and ids on the device."""
    lengths = np.array([len(one) for one in rows])
    waiting = np.argsort(-lengths, kind="stable")
    while len(waiting):
        chosen, waiting = np.split(waiting, [max(1, positions_at_once(model) // lengths[waiting[0]])])
        yield chosen, padded([rows[number] for number in chosen]).to(model.device)


def padded(arrays: Sequence[np.ndarray]) -> Tensor:
    """Arrays of ids (int64, each of as many axes) one below the other, int64 [arrays, ...], padded with PAD."""
    found = np.full((len(arrays), *np.max([one.shape for one in arrays], axis=0)), PAD, dtype=np.int64)
    for row, one in zip(found, arrays, strict=True):
        row[tuple(map(slice, one.shape))] = one
    return torch.from_numpy(found)


def summed_states(states: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over the tokens of each row, float32 [rows, width], and how many these are, int64 [rows, 1].

    They are all positions but CLS, SEP and PAD.
    """
    token = ((ids != CLS) & (ids != SEP) & (ids != PAD))[..., None]
    return (states.float() * token).sum(1), token.sum(1)


def _tokens(model: NeuralModel, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Token ids of each sequence, by the model's own tokenizer."""
    if model.causal and model.config["vocabulary"] != VOCABULARY:
        raise InputError(
            f"a {model.kind} model of {model.config['vocabulary']} tokens can't be given DNA, since its folder doesn't "
            "hold its tokenizer; expected one of single bases, or a bert"
        )
    tokenizer = single_base() if model.causal else model.tokenizer
    return [tokenizer.encode(one) for one in _not_empty(codes)]


def _not_empty(codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    codes = coded(codes)
    if empty := [number for number, one in enumerate(codes) if not len(one)]:
        raise InputError(f"sequence {empty[0] + 1} of {len(codes):,} has no base; expected one or more: leave it out")
    return codes


def _room(model: NeuralModel) -> int | None:
    """How many tokens the context takes beside CLS and, in a BERT, SEP."""
    return model.context and model.context - (1 if model.causal else 2)


def _likelihood_bins(model: NgramModel, codes: Sequence[np.ndarray]) -> np.ndarray:
    """Mean log-likelihood in each part of each sequence, of both strands; float32 [n, 2 x BINS]."""
    codes = _not_empty(codes)
    found = np.full((len(codes), 2, BINS), -np.log(4), dtype=np.float32)
    for strand, read in enumerate([codes, [codes.reverse_complement(one) for one in codes]]):
        for number, nats in enumerate(model.base_log_likelihoods(read)):
            nats = nats[::-1] if strand else nats
            part = np.arange(len(nats)) * BINS // len(nats)
            known = ~np.isnan(nats)
            scored = np.bincount(part[known], minlength=BINS)
            sums = np.bincount(part[known], weights=nats[known], minlength=BINS)
            found[number, strand, scored > 0] = sums[scored > 0] / scored[scored > 0]
    return found.reshape(len(codes), 2 * BINS)
