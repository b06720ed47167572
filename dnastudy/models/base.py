"""What every causal model offers beside its likelihoods: perplexity, generation, saving, and where it comes from."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.codes import Sequences, as_codes, coded, decode

_ROWS = 128  # sequences side by side: a 4x256 GPT with a context of 1,024 keeps 1 GB of keys and values
KINDS = ("ngram", "lstm", "gru", "gpt", "bert")
LEARNT_FROM = "learnt_from.json"  # beside a model that was trained: what its corpus holds and holds out


class CausalModel:
    """Base of the n-gram and the neural models.

    A subclass has ``kind``, ``config``, ``log_likelihood``, ``base_log_likelihoods``, and to be sampled from
    ``begin`` and ``follow``, which return logits or log-probabilities [rows, 4] and a state.
    """

    kind: str
    config: dict
    trained_on: Mapping[str, str] = MappingProxyType({})  # SHA-256 of the corpus files, by name; empty when unknown
    precision: str | None = None  # bf16 or fp32, as a neural model was trained; None when unknown
    validation_bits_per_base: float | None = None  # when it has just been trained
    limit: int | None = None  # how many bases of a sequence it can score or generate; None for any number

    def log_likelihood(self, sequences: Sequences, *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], nats; ``include_end`` adds the end symbol."""
        raise NotImplementedError

    def perplexity(self, sequences: Sequences, *, include_end: bool = False) -> float:
        """Exponential of the mean of minus the log-probabilities of all that is scored.

        That is every A C G T, as far as the model reads; with ``include_end`` the end of each sequence too.
        """
        codes = [one[: self.limit] for one in coded(sequences)]
        scored = sum(np.count_nonzero(one < 4) for one in codes)
        if include_end:
            scored += sum(self.limit is None or len(one) < self.limit for one in codes)
        if not scored:
            raise InputError("perplexity: no A, C, G or T to score; give at least one")
        return float(np.exp(-self.log_likelihood(sequences, include_end=include_end).sum() / scored))

    def begin(self, rows: int, prompt: np.ndarray) -> tuple[Tensor, object]:
        """Logits [rows, 4] of the base that follows ``prompt`` (base codes), and the state."""
        raise NotImplementedError

    def follow(self, bases: Tensor, state: object) -> tuple[Tensor, object]:
        """Logits [rows, 4] of the base after ``bases`` (codes 0-3, [rows]), and the new state."""
        raise NotImplementedError

    def evaluating(self) -> AbstractContextManager:
        """Everything within is computed as when scoring, not as when training."""
        return nullcontext()

    def generate(self, n: int, length: int, **how) -> list[str]:
        """Sample ``n`` sequences of exactly ``length`` bases; ``how``: see :func:`dnastudy.models.base.generate`."""
        with self.evaluating():
            return generate(self, n, length, **how)


def generate(
    model: CausalModel,
    n: int,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    prompt: str = "",
) -> list[str]:
    """Sample ``n`` sequences of exactly ``length`` new bases; neither end nor unknown bases are ever drawn.

    Sequence ``i`` uses up random numbers of its own, which depend on ``seed`` and ``i`` alone: asking for
    more sequences leaves the first ones as they were.

    Parameters
    ----------
    temperature
        Logits are divided by it; 0 takes the likeliest base.
    top_k
        Draw from the ``k`` likeliest bases, 1-4.
    top_p
        Draw from the fewest likeliest bases whose probabilities reach ``top_p``, in (0, 1] (Holtzman et al.
        2020).
    prompt
        Sequence to continue; not part of the output.
    """
    _check(n, length, temperature, top_k, top_p, seed)
    codes = as_codes(prompt)
    if model.limit is not None and len(codes) + length > model.limit:
        raise InputError(
            f"generate: {len(codes)} bases of prompt and {length} new ones; this model, as published, has positions "
            f"for {model.limit} in all: ask for fewer"
        )
    sequences: list[str] = []
    for first in range(0, n, _ROWS):
        rows = range(first, min(first + _ROWS, n))
        draws = np.stack([np.random.default_rng([seed, row]).random(length) for row in rows], axis=1)
        if length == 0:
            sequences += [""] * len(rows)
            continue
        logits, state = model.begin(len(rows), codes)
        uniform = torch.from_numpy(draws).to(logits.device)
        bases = torch.empty(length, len(rows), dtype=torch.int64, device=logits.device)
        for position in range(length):
            bases[position] = draw(logits, uniform[position], temperature, top_k, top_p)
            if position + 1 < length:
                logits, state = model.follow(bases[position], state)
        sequences += [decode(row) for row in bases.T.to(torch.uint8).cpu().numpy()]
    return sequences


def draw(
    logits: Tensor, uniform: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Base codes (int64, [rows]) drawn from ``logits`` [rows, 4] by inverting the cumulative distribution.

    ``uniform`` is float64 [rows] in [0, 1). The likeliest base comes first in that distribution.
    """
    ranked, bases = logits.double().sort(dim=-1, descending=True, stable=True)
    if temperature == 0:
        return bases[:, 0]
    probabilities = (ranked / temperature).softmax(-1)
    if top_k is not None:
        probabilities[:, top_k:] = 0.0
    if top_p is not None:
        total = probabilities.sum(-1, keepdim=True)
        reached = (probabilities.cumsum(-1) - probabilities) / total
        probabilities = probabilities.masked_fill(reached >= top_p, 0.0)
    cumulative = probabilities.cumsum(-1)
    rank = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(-1, keepdim=True)
    # Rounding may put the draw on the very end of the distribution: the last base that can be drawn is meant.
    rank = torch.minimum(rank, (probabilities > 0).sum(-1, keepdim=True) - 1)
    return bases.gather(-1, rank)[:, 0]


def _check(n: int, length: int, temperature: float, top_k: int | None, top_p: float | None, seed: int) -> None:
    if n < 0 or length < 0:
        raise InputError(f"generate: n={n}, length={length}; expected whole numbers of at least 0")
    if seed < 0:
        raise InputError(f"generate: seed={seed}; expected 0 or more")
    if not temperature >= 0:
        raise InputError(f"generate: temperature={temperature}; expected 0 or more")
    if top_k is not None and not 1 <= top_k <= 4:
        raise InputError(f"generate: top_k={top_k}; expected 1 to 4, there being four bases")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"generate: top_p={top_p}; expected more than 0, at most 1")


def check_value(what: str, value: object, default: object, *, least: int = 0) -> object:
    """Refuse a value that isn't of its default's type, or below ``least``; a whole number passes as a float."""
    expected = type(default)
    right = isinstance(value, {int: numbers.Integral, float: numbers.Real}.get(expected, expected))
    if expected in (int, float):
        right = right and not isinstance(value, bool) and value >= least
    if not right:
        number = f"number, {least} or more"
        form = {int: f"a whole {number}", float: f"a {number}", str: "a word", bool: "true or false"}
        hint = " (without quotes; YAML wants the dot of 1.0e-3)" if expected is float and isinstance(value, str) else ""
        raise InputError(f"{what} = {value!r}; expected {form[expected]}{hint}")
    if expected not in (int, float):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)
