"""What every causal model offers beside its likelihoods: perplexity, generation, saving, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.files import InputError
from dnastudy.tokens.tokenizer import Sequences, coded

if TYPE_CHECKING:
    from torch import Tensor


class CausalModel:
    """Base of the n-gram and the neural models.

    A subclass has ``kind``, ``config``, ``log_likelihood``, ``base_log_likelihoods``, and to be sampled from
    ``begin`` and ``follow``, which return logits or log-probabilities [rows, 4] and a state.

    Attributes
    ----------
    trained_on : mapping of str to str
        SHA-256 of the corpus files that it was trained on, by name; empty when unknown.
    precision : str or None
        ``bf16`` or ``fp32``, as a neural model was trained; None when unknown.
    validation_bits_per_base : float or None
        How well it did on the validation genes, when it has just been trained.
    limit : int or None
        How many bases of a sequence it can score or generate; None for any number.
    """

    kind: str
    config: dict
    trained_on: Mapping[str, str] = MappingProxyType({})
    precision: str | None = None
    validation_bits_per_base: float | None = None
    limit: int | None = None

    def log_likelihood(self, sequences: Sequences, *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], nats; ``include_end`` adds the end symbol."""
        raise NotImplementedError

    def perplexity(self, sequences: Sequences, *, include_end: bool = False) -> float:
        """Exponential of the mean of minus the log-probabilities of all that is scored.

        That is every A C G T, as far as the model reads; with ``include_end`` the end of each sequence too.

        Raises
        ------
        InputError
            When there is nothing to score.
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

    def generate(
        self,
        n: int,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        prompt: str = "",
    ) -> list[str]:
        """Sample ``n`` sequences of exactly ``length`` bases: :func:`dnastudy.models.generation.generate`."""
        from dnastudy.models.generation import generate

        with self.evaluating():
            return generate(
                self, n, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, prompt=prompt
            )

    def save(self, folder: str | Path) -> None:
        """Write the model folder: see :func:`dnastudy.models.store.save`."""
        from dnastudy.models.store import save

        save(self, folder)
