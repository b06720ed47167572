"""English as characters and as words, to be learnt as DNA is: symbols, splits, an n-gram model, windows, scores."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from dnastudy.files import InputError
from dnastudy.genes.download import fetch
from dnastudy.genes.manifest import load_manifest
from dnastudy.models import TrainingConfig
from dnastudy.models.neural import IGNORED, NeuralModel

if TYPE_CHECKING:
    from torch import Tensor

UNITS = ("characters", "words")
_VERSE = re.compile(r'"(\d\d:\d\d\d):\d\d\d (.*)"')  # "book:chapter:verse text"
_WORD = re.compile(r"[a-z']+|[^a-z'\s]")
_HELD_OUT = 10  # of so many chapters one is for validation and one for test
_WEIGHT_RANGE = (-7.0, 14.0)  # natural logarithms


@dataclass(frozen=True)
class Text:
    """A text as numbers, chapters end to end."""

    unit: str
    symbols: np.ndarray
    alphabet: list[str]
    ends: np.ndarray
    spelling: np.ndarray
    spans: dict[str, np.ndarray]
    chapters: np.ndarray

    @property
    def start(self) -> int:
        """The symbol that stands before a passage's first: a space, or a full stop."""
        return self.alphabet.index(" " if self.unit == "characters" else ".")

    def characters(self, spans: np.ndarray) -> np.ndarray:
        """Characters in each span, int64."""
        return self.ends[spans[:, 1]] - self.ends[spans[:, 0]]

    def subset(self, size: int, seed: int) -> np.ndarray:
        """Spans of random training chapters with ``size`` characters in all, the last one cut (0: all of them).

        A larger subset of the same seed holds the smaller one.
        """
        spans = self.spans["train"][np.random.default_rng(seed).permutation(len(self.spans["train"]))]
        before = np.cumsum(self.characters(spans)) - self.characters(spans)
        spans = spans[before < (size or np.inf)]
        left = self.ends[spans[-1, 0]] + (size or np.inf) - before[len(spans) - 1]
        spans[-1, 1] = min(spans[-1, 1], np.searchsorted(self.ends, left, side="right") - 1)
        return spans


def fetch_text(name: str) -> Path:
    """Fetch the text of a dataset and verify it."""
    texts = [member for member, described in load_manifest(name).members.items() if described.kind == "text"]
    if not texts:
        raise InputError(f"{name}: a dataset without a text; expected one with a member of kind text, as king-james")
    return fetch(name, members=texts[:1])[texts[0]]


def read_chapters(path: str | Path) -> dict[str, list[str]]:
    """Words of each chapter in lower case, punctuation apart, from lines like ``"01:001:001 In the beginning"``."""
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as handle:
            verses = [match.groups() for line in handle if (match := _VERSE.search(line))]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text ({error}); fetch it again") from None
    chapters: dict[str, list[str]] = {}
    for chapter, verse in verses:
        chapters.setdefault(chapter, []).extend(_WORD.findall(verse.lower()))
    if len(chapters) < 3:
        raise InputError(
            f"{path}: {len(chapters)} chapters found; expected three or more, of lines like "
            '"01:001:001 In the beginning" (book:chapter:verse, in quotes)'
        )
    return chapters


def read_text(path: str | Path, unit: str, *, words: int = 8000, passage: int = 512) -> Text:
    """Code a text by ``unit``, and split it by chapters: a tenth of them validation, a tenth test, always the same."""
    if unit not in UNITS:
        raise InputError(f"unit {unit!r}; expected {' or '.join(UNITS)}")
    chapters = list(read_chapters(path).values())
    order = np.random.default_rng(0).permutation(len(chapters))
    held_out = max(1, len(chapters) // _HELD_OUT)
    split = np.zeros(len(chapters), dtype=int)
    split[order[:held_out]], split[order[held_out : 2 * held_out]] = 1, 2
    letters = sorted({" ", *(letter for chapter in chapters for word in set(chapter) for letter in word)})
    alphabet = letters
    if unit == "words":
        counts = Counter(word for chapter, part in zip(chapters, split, strict=True) if part == 0 for word in chapter)
        alphabet = [*(word for word, _ in counts.most_common(words)), "<unknown>"]
    place = {symbol: number for number, symbol in enumerate(alphabet)}
    symbols, lengths, spans, owners = [], [], {"train": [], "validation": [], "test": []}, []
    at = 0
    for number, chapter in enumerate(chapters):
        name = list(spans)[split[number]]
        for part in [chapter] if name == "train" else _passages(chapter, passage):
            units = part if unit == "words" else "".join(f"{word} " for word in part)
            symbols += [place.get(one, len(alphabet) - 1) for one in units]
            lengths += [len(one) + 1 if unit == "words" else 1 for one in units]
            spans[name].append((at, len(symbols)))
            owners += [number] if name == "test" else []
            at = len(symbols)
    coded = np.array(symbols, dtype=np.int64)
    unknown = (coded == len(alphabet) - 1) & (unit == "words")
    return Text(
        unit=unit,
        symbols=coded,
        alphabet=alphabet,
        ends=np.cumsum([0, *lengths], dtype=np.int64),
        spelling=unknown * np.array(lengths) * np.log2(len(letters)),
        spans={name: np.array(found, dtype=np.int64).reshape(-1, 2) for name, found in spans.items()},
        chapters=np.array(owners, dtype=np.int64),
    )


def _passages(words: list[str], length: int) -> list[list[str]]:
    """Cut a chapter at spaces into passages of ``length`` characters at most (a longer word stands alone)."""
    passages, used = [], length
    for word in words:
        used += len(word) + 1
        if used > length:
            passages.append([])
            used = len(word) + 1
        passages[-1].append(word)
    return passages


class SymbolNgram:
    """`dnastudy.models.NgramModel`'s smoothing over any alphabet; each order keeps the sorted n-grams that occur."""

    def __init__(self, order: int, alphabet: int):
        self.order, self.alphabet = order, alphabet
        self.weights = np.full(order, 4.0)
        self._orders: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def fit(self, symbols: np.ndarray, spans: np.ndarray, validation: np.ndarray) -> SymbolNgram:
        """Count the n-grams of ``spans`` (int64 [m, 2]), and fit the weights by the likelihood of ``validation``'s."""
        coded, first = _joined(symbols, spans)
        if not len(coded):
            raise InputError("n-gram: no symbol in the training text; take a larger part of it")
        context = np.zeros(len(coded), dtype=np.int64)
        contexts, known = 1, np.arange(len(coded))  # known: the symbols that have a long enough context
        for _ in range(self.order):
            ngrams = context[known] * self.alphabet + coded[known]
            keys, inverse, counts = np.unique(ngrams, return_inverse=True, return_counts=True)
            totals = np.bincount(keys // self.alphabet, weights=counts, minlength=contexts)
            self._orders.append((keys, counts.astype(np.float64), totals))
            contexts = len(keys)
            after = known + 1
            inside = (after < len(coded)) & ~first[np.minimum(after, len(coded) - 1)]
            known = after[inside]
            context[known] = inverse[inside]
        probabilities = np.full(int((validation[:, 1] - validation[:, 0]).sum()), 1 / self.alphabet)
        for k, (counts, totals) in enumerate(self._looked_up(symbols, validation)):

            def cost(log_weight: float, counts=counts, totals=totals, shorter=probabilities) -> float:
                weight = np.exp(log_weight)
                return -np.log((counts + weight * shorter) / (totals + weight)).sum()

            found = minimize_scalar(cost, bounds=_WEIGHT_RANGE, method="bounded", options={"xatol": 0.01})
            self.weights[k] = np.exp(found.x)
            probabilities = (counts + self.weights[k] * probabilities) / (totals + self.weights[k])
        return self

    def bits(self, symbols: np.ndarray, spans: np.ndarray) -> np.ndarray:
        """Bits of each symbol in ``spans``, end to end, given those before it in its span; float64."""
        probabilities = np.full(int((spans[:, 1] - spans[:, 0]).sum()), 1 / self.alphabet)
        for weight, (counts, totals) in zip(self.weights, self._looked_up(symbols, spans), strict=True):
            probabilities = (counts + weight * probabilities) / (totals + weight)
        return -np.log2(probabilities)

    def _looked_up(self, symbols: np.ndarray, spans: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each order, counts of the n-gram that ends at each symbol and of its context; 0 where unseen."""
        coded, first = _joined(symbols, spans)
        context = np.zeros(len(coded), dtype=np.int64)  # -1: unseen, or it would reach before the span
        for keys, counts, totals in self._orders:
            wanted = np.where(context >= 0, context * self.alphabet + coded, -1)
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            seen = keys[place] == wanted
            yield np.where(seen, counts[place], 0.0), np.where(context >= 0, totals[context], 0.0)
            context = np.concatenate([[-1], np.where(seen, place, -1)[:-1]])
            context[first] = -1


def _joined(symbols: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The symbols of all spans end to end, and which of them begin a span."""
    lengths = spans[:, 1] - spans[:, 0]
    first = np.zeros(int(lengths.sum()), dtype=bool)
    first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    return np.concatenate([symbols[:0], *(symbols[start:end] for start, end in spans)]), first


class TextSource:
    """Windows of a text for `dnastudy.models.train`: a random subset of the chapters, and passages to validate on."""

    def __init__(self, text: Text, size: int, config: TrainingConfig):
        self.text, self.size, self.config = text, size, config
        self.unit = text.unit.removesuffix("s")
        self._spans = text.subset(size, config.seed)
        self._reach = np.cumsum(self._spans[:, 1] - self._spans[:, 0])

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Windows at random places, decided by seed and step: inputs and targets, int64 [batch, window]."""
        random = np.random.default_rng([self.config.seed, step])
        chosen = np.searchsorted(self._reach, random.integers(self._reach[-1], size=self.config.batch), side="right")
        spans = self._spans[chosen]
        room = np.maximum(0, spans[:, 1] - spans[:, 0] - self.config.window)
        starts = spans[:, 0] + random.integers(room + 1)
        ends = np.minimum(starts + self.config.window, spans[:, 1])
        return rows(self.text, np.stack([starts, ends], axis=1))

    def validation(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of validation passages, spread evenly, cut at the window."""
        spans = spread(self.text.spans["validation"], self.config.validation_windows).copy()
        spans[:, 1] = np.minimum(spans[:, 1], spans[:, 0] + self.config.window)
        return rows(self.text, spans)

    def identity(self) -> dict:
        """What decides the windows, beside the training's settings."""
        digest = hashlib.sha256(self.text.symbols.tobytes()).hexdigest()
        return {"text": digest, "unit": self.text.unit, "characters": self.size}

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many symbols are learnt from."""
        return int((targets >= 0).sum())


def rows(text: Text, spans: np.ndarray) -> tuple[Tensor, Tensor]:
    """Inputs (from `Text.start` on) and targets of spans, side by side: int64 [spans, longest]."""
    import torch

    longest = int((spans[:, 1] - spans[:, 0]).max())
    inputs = np.full((len(spans), longest), text.start, dtype=np.int64)
    targets = np.full((len(spans), longest), IGNORED, dtype=np.int64)
    for row, (start, end) in enumerate(spans):
        targets[row, : end - start] = text.symbols[start:end]
        inputs[row, 1 : end - start] = text.symbols[start : end - 1]
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def spread(spans: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the spans, evenly spaced; all of them if there are fewer."""
    return spans[np.unique(np.linspace(0, len(spans) - 1, count).round().astype(int))]


def neural_bits(model: NeuralModel, text: Text, spans: np.ndarray, *, batch: int = 64) -> np.ndarray:
    """Bits of each symbol in ``spans``, end to end, under a neural model of the text's symbols; float64."""
    from torch.nn import functional

    found = [np.empty(0)]
    with model.evaluating():
        for start in range(0, len(spans), batch):
            inputs, targets = (part.to(model.device) for part in rows(text, spans[start : start + batch]))
            logits, _ = model(inputs)
            nats = functional.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none")
            found.append(nats[targets >= 0].double().cpu().numpy() / np.log(2))
    return np.concatenate(found)
