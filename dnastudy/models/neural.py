"""What the neural models share: ids and targets, scoring of any length, the steps of generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.models.base import CausalModel
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, PAD, SEP, as_codes, single_base_ids

VOCABULARY = FIRST_BASE + 4
IGNORED = -100  # the target that no loss counts: padding, and bases that aren't A C G T
# What may come next: a base or the end of the gene. No other special symbol is ever predicted.
POSSIBLE = (SEP, FIRST_BASE, FIRST_BASE + 1, FIRST_BASE + 2, FIRST_BASE + 3)

_BATCH_POSITIONS = 32_768  # positions scored at once: a few hundred MB of activations
_CHUNK = 1024  # positions after which a recurrent model's state is carried on


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for; without one, CUDA where there is a GPU, else the CPU.

    Raises
    ------
    InputError
        When the device isn't one that torch knows, or CUDA is asked for on a machine without it.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError):
        raise InputError(f"device {device!r}: unknown; expected cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {str(device)!r}: no CUDA GPU on this machine; use cpu, or leave it out")
    return device


class NeuralModel(CausalModel, nn.Module):
    """A causal network over the nine single-base ids; the recurrent and Transformer models derive from it.

    A subclass has ``kind``, ``config`` and ``context`` (the most positions it sees at once, None when it
    carries a state), and three methods: ``forward(ids, state)``, ``prime(ids)`` and ``advance(ids,
    state)``.
    """

    context: int | None = None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def size(self) -> int:
        """How many numbers are learnt."""
        return sum(weights.numel() for weights in self.parameters() if weights.requires_grad)

    def base_log_likelihoods(self, sequences: Sequence[str | np.ndarray]) -> list[np.ndarray]:
        """Log-probability of each base given all before it (given as far back as the context reaches).

        Parameters
        ----------
        sequences
            Strings or uint8 base codes.

        Returns
        -------
        One float32 array for each sequence, [bases], in nats; NaN where the base isn't A C G T.
        """
        return score(self, sequences, include_end=False)

    def log_likelihood(self, sequences: Sequence[str | np.ndarray], *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], in nats.

        Each base's probability is renormalised over A C G T; with ``include_end`` over those and the end
        symbol, whose own term is then added. The first base is given the start symbol; one that isn't A C G
        T is unknown to the model and is not scored.
        """
        scored = score(self, sequences, include_end=include_end)
        return np.array([np.nansum(values, dtype=np.float64) for values in scored], dtype=np.float64)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """No dropout, no gradients, and full fp32 in cuDNN's recurrent kernels, which else round to TF32."""
        training = self.training
        self.eval()
        try:
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                yield
        finally:
            self.train(training)

    def begin(self, rows: int, prompt: np.ndarray) -> tuple[Tensor, object]:
        """Logits [rows, 4] of the base that follows start symbol and prompt (base codes), and the state."""
        ids = np.concatenate([[CLS], single_base_ids(prompt)]).astype(np.int64)
        logits, state = self.prime(torch.from_numpy(ids).to(self.device).expand(rows, -1))
        return logits[:, FIRST_BASE:].float(), state

    def follow(self, bases: Tensor, state: object) -> tuple[Tensor, object]:
        """Logits [rows, 4] of the base after ``bases`` (codes 0-3, [rows]), and the new state."""
        logits, state = self.advance(bases + FIRST_BASE, state)
        return logits[:, FIRST_BASE:].float(), state


class Head(nn.Linear):
    """From hidden states to logits over the vocabulary, minus infinity for symbols that never come next."""

    def __init__(self, width: int):
        super().__init__(width, VOCABULARY)
        impossible = torch.full((VOCABULARY,), -torch.inf)
        impossible[list(POSSIBLE)] = 0.0
        self.register_buffer("impossible", impossible, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.weight, self.bias + self.impossible)


def inputs_and_targets(codes: np.ndarray, *, end: bool) -> tuple[np.ndarray, np.ndarray]:
    """Input ids and target ids (int64, both [n], or [n + 1] with the end symbol) of one stretch of bases.

    Inputs are the start symbol and every base but the last (all of them before an end symbol); a base that
    isn't A C G T is UNK as an input and ``IGNORED`` as a target.
    """
    ids = single_base_ids(codes).astype(np.int64)
    inputs = np.concatenate([[CLS], ids])
    targets = np.concatenate([np.where(codes < 4, ids, IGNORED), [SEP]])
    return (inputs, targets) if end else (inputs[:-1], targets[:-1])


def score(model: NeuralModel, sequences: Sequence[str | np.ndarray], *, include_end: bool) -> list[np.ndarray]:
    """Log-probability of every base, in nats; the last value is the end symbol's with ``include_end``.

    A recurrent model carries its state through a sequence of any length. A Transformer sees windows that
    begin every half context, and scores the new half of each. Computed in fp32 whatever the training
    precision.

    Returns
    -------
    One float32 array for each sequence: [bases], or [bases + 1]; NaN where the base isn't A C G T.
    """
    codes = [as_codes(sequence) for sequence in sequences]
    scored = [np.full(len(one) + include_end, np.nan, dtype=np.float32) for one in codes]
    pieces = [
        (number, start, stop, new)
        for number, values in enumerate(scored)
        for start, stop, new in _pieces(len(values), model.context)
    ]
    pieces.sort(key=lambda piece: piece[1] - piece[2])
    allowed = torch.tensor(POSSIBLE if include_end else POSSIBLE[1:], device=model.device)
    with model.evaluating():
        at = 0
        while at < len(pieces):
            longest = min(pieces[at][2] - pieces[at][1], model.context or _CHUNK)
            batch = pieces[at : at + max(1, _BATCH_POSITIONS // longest)]
            at += len(batch)
            rows = []
            for number, start, stop, _ in batch:
                inside = codes[number][start:stop]
                rows.append(inputs_and_targets(inside, end=stop > len(codes[number])))
            for (number, start, stop, new), values in zip(batch, _score_rows(model, rows, allowed), strict=True):
                scored[number][new:stop] = values[new - start :]
    return scored


def _pieces(length: int, context: int | None) -> Iterator[tuple[int, int, int]]:
    """Cut ``length`` targets into windows: first target seen, end, and first target that is new."""
    if length == 0:
        return
    if context is None or length <= context:
        yield 0, length, 0
        return
    yield 0, context, 0
    for new in range(context, length, context // 2):
        stop = min(new + context // 2, length)
        yield stop - context, stop, new


def _score_rows(model: NeuralModel, rows: list[tuple[np.ndarray, np.ndarray]], allowed: Tensor) -> list[np.ndarray]:
    """Score rows sorted by falling length side by side; rows that have ended leave the batch."""
    lengths = np.array([len(inputs) for inputs, _ in rows])
    values = [np.empty(length, dtype=np.float32) for length in lengths]
    step = model.context or _CHUNK
    state = None
    for start in range(0, lengths[0], step):
        active = int((lengths > start).sum())
        width = int(min(lengths[0] - start, step))
        inputs = np.full((active, width), PAD, dtype=np.int64)
        targets = np.full((active, width), IGNORED, dtype=np.int64)
        for row in range(active):
            piece = slice(start, start + width)
            count = len(rows[row][0][piece])
            inputs[row, :count], targets[row, :count] = rows[row][0][piece], rows[row][1][piece]
        if state is not None:
            state = state[:, :, :active]
        logits, state = model(torch.from_numpy(inputs).to(model.device), state)
        wanted = torch.from_numpy(targets).to(model.device)
        found = logits.gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
        found = found - logits[..., allowed].logsumexp(-1)
        found = found.masked_fill(wanted == IGNORED, torch.nan).cpu().numpy()
        for row in range(active):
            place = values[row][start : start + width]
            place[:] = found[row, : len(place)]
    return values
