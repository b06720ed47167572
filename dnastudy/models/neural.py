"""What the neural models share: ids and targets, scoring of any length, the steps of generation."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import Sequences, coded
from dnastudy.models.base import CausalModel
from dnastudy.tokens.tokenizer import BASE_TO_ID, CLS, FIRST_BASE, MASK, PAD, SEP, single_base_ids

VOCABULARY = FIRST_BASE + 4
IGNORED = -100  # the target that no loss counts: padding, and bases that aren't A C G T
BASE_IDS = tuple(range(FIRST_BASE, VOCABULARY))
# What may come next: a base or the end of the gene. No other special symbol is ever predicted.
POSSIBLE = (SEP, *BASE_IDS)
# As published (Ihtiyar & Ozgur 2024): eight symbols, our ids without MASK, any of which may come next.
PUBLISHED = tuple(number for number in range(VOCABULARY) if number != MASK)
PUBLISHED_CONTEXT = 1023
_CHUNK = 256  # positions after which a recurrent model's state is carried on
# Positions scored side by side on a CPU, whose caches hold no more, and how many times as many on a GPU.
_POSITIONS, _RECURRENT_POSITIONS, _ON_GPU = 2048, 16_384, 32
# MKL multiplies fp32 matrices with AVX-512 on Intel's CPUs alone, oneDNN on any (AMD EPYC: 2.2 times the rate).
_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
_ONEDNN_ROWS = 128  # with fewer it gains nothing
_IMAGES = 16  # with fewer at once torch doesn't take it for so narrow a convolution on one thread
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
_NEVER = 2**31 - 1
_LARGEST = 2**30, 2**25  # bytes; older glibc takes no more than the second


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for; without one, CUDA where there is a GPU, else the CPU."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError):
        raise InputError(f"device {device!r}: unknown; expected cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {str(device)!r}: no CUDA GPU on this machine; use cpu, or leave it out")
    return device


def check_form(kind: str, form: str, vocabulary: int) -> None:
    """Refuse a form that ``kind`` doesn't come in, and a vocabulary that the form doesn't have."""
    if form not in (forms := ("tuned", "as_published")):
        raise InputError(f"{kind} model: form {form!r}; {nearest(form, forms)}")
    if form == "as_published" and kind == "gru":
        raise InputError("gru model: form 'as_published'; only lstm and gpt were published, choose form 'tuned'")
    if form == "as_published" and vocabulary != VOCABULARY:
        raise InputError(f"{kind} model: form {form!r} with vocabulary {vocabulary}; it reads DNA, leave it out")


class NeuralModel(CausalModel, nn.Module):
    """A network over the nine single-base ids or, with another ``vocabulary`` or not ``causal``, over other symbols."""

    causal = True
    context: int | None = None  # the most positions that it sees at once; None: it carries a state over any number

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def size(self) -> int:
        """How many numbers are learnt."""
        return sum(weights.numel() for weights in self.parameters() if weights.requires_grad)

    @property
    def published(self) -> bool:
        return self.config.get("form") == "as_published"

    @property
    def limit(self) -> int | None:
        """How many bases of a sequence can be scored or generated: as published, its learned positions."""
        return self.context if self.published else None

    @property
    def scored(self) -> tuple[int, ...]:
        """Ids over which the probability of a scored symbol is normalised: the bases; all symbols, as published."""
        if not self.causal or self.config["vocabulary"] != VOCABULARY:
            return tuple(range(self.config["vocabulary"]))
        return PUBLISHED if self.published else BASE_IDS

    def times(self, parameter: nn.Parameter) -> float:
        """How many times faster than the rest a weight is to learn."""
        return 1.0

    def embed(self, ids: Tensor, start: int) -> Tensor:
        """Vectors [rows, positions, embedding] of ``ids``, the first of which stands at position ``start``."""
        if not self.published:
            return self.embedding(ids)
        return self.embedding(ids - (ids > MASK).long()) + self.positions.weight[start : start + ids.shape[1]]

    def base_log_likelihoods(self, sequences: Sequences) -> list[np.ndarray]:
        """Log-probability of each base given all before it: float32 [bases] each, nats; NaN if unknown, or unseen."""
        codes = coded(sequences)
        scored = [np.full(len(one), np.nan, dtype=np.float32) for one in codes]
        with self.evaluating():
            for number, first, values in _scored_stretches(self, codes, include_end=False):
                scored[number][first : first + len(values)] = values
        return scored

    def log_likelihood(self, sequences: Sequences, *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], in nats; of an empty sequence 0.

        Each base's probability is renormalised over A C G T; with ``include_end`` over those and the end
        symbol, whose own term is then added. As published, it is normalised over all eight symbols.
        """
        codes = coded(sequences)
        totals = np.zeros(len(codes))
        with self.evaluating():
            for number, _, values in _scored_stretches(self, codes, include_end=include_end):
                totals[number] += np.nansum(values, dtype=np.float64)
        return totals

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """No dropout, no gradients, and full fp32 in cuDNN's recurrent kernels, which else round to TF32."""
        keep_freed_memory()
        training = self.training
        self.eval()
        try:
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                yield
        finally:
            self.train(training)

    def begin(self, rows: int, prompt: np.ndarray) -> tuple[Tensor, object]:
        """Logits [rows, 4] of the base that follows start symbol and prompt (base codes), and the state."""
        _refuse_other_text(self, "generate")
        ids = np.concatenate([[CLS], single_base_ids(prompt)]).astype(np.int64)
        return self._next(torch.from_numpy(ids).to(self.device).expand(rows, -1), self._empty_state(rows))

    def follow(self, bases: Tensor, state: object) -> tuple[Tensor, object]:
        """Logits [rows, 4] of the base after ``bases`` (codes 0-3, [rows]), and the new state."""
        return self._next(bases[:, None] + FIRST_BASE, state)

    def _next(self, ids: Tensor, state: object) -> tuple[Tensor, object]:
        """Logits [rows, 4] of the base that follows ``ids`` [rows, positions] and what the state holds; a new state."""
        logits, state = self(ids, state)
        return logits[:, -1, FIRST_BASE:].float(), state

    def _empty_state(self, rows: int) -> object:
        return None


class Linear(nn.Linear):
    """A linear layer that scores in fp32 by :func:`linear`."""

    def forward(self, values: Tensor) -> Tensor:
        return linear(values, self.weight, self.bias)


def linear(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``functional.linear``, in fp32 without gradients through oneDNN where it is the faster, as a convolution."""
    rows = values.numel() // weight.shape[1]
    scoring = not (torch.is_grad_enabled() or torch.is_autocast_enabled(values.device.type))
    fp32 = values.device.type == "cpu" and values.dtype == torch.float32
    if not (_ONEDNN and scoring and fp32 and rows >= _ONEDNN_ROWS):
        return functional.linear(values, weight, bias)
    rest = -rows % _IMAGES
    image = functional.pad(values.reshape(rows, -1), (0, 0, 0, rest)) if rest else values
    image = image.reshape(_IMAGES, -1, 1, weight.shape[1]).permute(0, 3, 1, 2)
    image = functional.conv2d(image, weight[:, :, None, None], bias)
    return image.permute(0, 2, 3, 1).reshape(rows + rest, -1)[:rows].view(*values.shape[:-1], -1)


class Head(nn.Linear):
    """From hidden states to logits over the vocabulary, minus infinity for symbols that never come next."""

    def __init__(self, width: int, form: str = "tuned", vocabulary: int = VOCABULARY):
        super().__init__(width, vocabulary - (form == "as_published"))
        self.published = form == "as_published"
        impossible = torch.zeros(self.out_features)
        if vocabulary == VOCABULARY and not self.published:
            impossible[[number for number in range(VOCABULARY) if number not in POSSIBLE]] = -torch.inf
        self.register_buffer("impossible", impossible, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        logits = functional.linear(hidden, self.weight, self.bias + self.impossible)
        if not self.published:
            return logits
        mask = torch.full_like(logits[..., :1], -torch.inf)
        return torch.cat([logits[..., :MASK], mask, logits[..., MASK:]], dim=-1)


def draw_as_keras(model: nn.Module) -> None:
    """Draw all weights as Keras does by default, and freeze torch's second bias of an LSTM, which Keras lacks."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.uniform_(module.weight, -0.05, 0.05)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM):
            nn.init.xavier_uniform_(module.weight_ih_l0)
            nn.init.orthogonal_(module.weight_hh_l0)
            nn.init.zeros_(module.bias_ih_l0)
            nn.init.ones_(module.bias_ih_l0.data[module.hidden_size : 2 * module.hidden_size])  # the forget gate
            nn.init.zeros_(module.bias_hh_l0).requires_grad_(False)


def _scored_stretches(
    model: NeuralModel, codes: Sequence[np.ndarray], *, include_end: bool
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Within ``model.evaluating()``: which sequence, a stretch's first base, and its float32 log-probabilities."""
    _refuse_other_text(model, "score")
    lengths = np.array([len(one) + include_end for one in codes], dtype=np.int64)
    if model.limit is not None:
        lengths = lengths.clip(max=model.limit)
    pieces = (
        (number, *piece)
        for number in np.argsort(-lengths, kind="stable").tolist()
        for piece in _pieces(int(lengths[number]), model.context)
    )
    allowed = torch.tensor(sorted({*model.scored, SEP}) if include_end else model.scored, device=model.device)
    for longest in pieces:
        width = min(longest[2] - longest[1], model.context or _CHUNK)
        rows = [longest, *islice(pieces, max(0, positions_at_once(model) // width - 1))]
        yield from _score_rows(model, codes, rows, allowed)


def positions_at_once(model: NeuralModel) -> int:
    """How many positions are best computed at once, without gradients."""
    positions = _RECURRENT_POSITIONS if model.context is None else _POSITIONS
    return positions if model.device.type == "cpu" else positions * _ON_GPU


def _refuse_other_text(model: NeuralModel, verb: str) -> None:
    if not model.causal:
        what = f"a {model.kind} model fills in masked tokens and can't {verb} DNA from left to right"
        raise InputError(f"{what}; give an n-gram, lstm, gru or gpt")
    if model.config["vocabulary"] != VOCABULARY:
        raise InputError(f"a model of {model.config['vocabulary']} symbols of other text; it can't {verb} DNA")


def _pieces(length: int, context: int | None) -> Iterator[tuple[int, int, int]]:
    """Cut targets into windows that begin every half context: first target seen, end, and first that is new."""
    whole, half = min(length, context or length), (context or 2) // 2
    if whole:
        yield 0, whole, 0
    for new in range(whole, length, half):
        stop = min(new + half, length)
        yield stop - context, stop, new


def _score_rows(
    model: NeuralModel, codes: Sequence[np.ndarray], rows: list[tuple[int, int, int, int]], allowed: Tensor
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Score pieces sorted by falling length side by side; rows that have ended leave the batch."""
    step = model.context or _CHUNK
    longest = rows[0][2] - rows[0][1]
    state = None
    for place in range(0, longest, step):
        rows = [row for row in rows if row[2] - row[1] > place]
        inputs = np.full((len(rows), min(longest - place, step)), PAD, dtype=np.int64)
        targets = np.full_like(inputs, IGNORED)
        for row, (number, start, stop, _) in enumerate(rows):
            first, stop = start + place, min(start + place + step, stop)
            ids = single_base_ids(codes[number][first:stop])
            before = BASE_TO_ID[codes[number][first - 1]] if place else CLS
            inputs[row, : stop - first] = np.append(before, ids)[: stop - first]
            targets[row, : stop - first] = np.append(np.where(ids >= FIRST_BASE, ids, IGNORED), SEP)[: stop - first]
        if state is not None:
            state = state[0][:, :, : len(rows)], state[1]
        logits, state = model(torch.from_numpy(inputs).to(model.device), state)
        wanted = torch.from_numpy(targets).to(model.device)
        found = logits.gather(-1, wanted.clamp(min=0)[..., None])[..., 0] - logits[..., allowed].logsumexp(-1)
        found = found.masked_fill(wanted == IGNORED, torch.nan).cpu().numpy()
        for row, (number, start, stop, new) in enumerate(rows):
            first = max(new, start + place)
            yield number, first, found[row, first - start - place : stop - start - place]


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to hand out again what was freed, up to 1 GiB a piece, instead of returning it to the system."""
    # By default each large array is mapped anew, and the system fills its pages with zeros as they are touched: up to
    # two fifths of the time of a training step on a CPU. The process then stays as large as it once was.
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)  # musl has none
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER)) and any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST)
