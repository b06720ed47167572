"""Recurrent language models of DNA: an LSTM or GRU that carries its state over a gene of any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dnastudy.models.neural import VOCABULARY, Head, NeuralModel

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentModel(NeuralModel):
    """Embedding, ``layers`` recurrent layers with dropout between them, and a linear head.

    Parameters
    ----------
    kind
        ``lstm`` or ``gru``.
    layers, width, embedding
        Layers, units in each, and size of the base embedding.
    dropout
        Share of units dropped between layers and before the head while training.
    """

    def __init__(
        self,
        kind: str = "lstm",
        *,
        layers: int = 2,
        width: int = 256,
        embedding: int = 64,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.kind = kind
        self.config = {
            "kind": kind,
            "layers": layers,
            "width": width,
            "embedding": embedding,
            "dropout": dropout,
        }
        self.embedding = nn.Embedding(VOCABULARY, embedding)
        # One-layer modules: cuDNN's built-in dropout between layers cannot be reproduced on a GPU.
        self.layers = nn.ModuleList(
            CELLS[kind](embedding if layer == 0 else width, width, batch_first=True) for layer in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = Head(width)
        if kind == "lstm":
            for layer in self.layers:
                # A forget gate that starts open lets gradients reach back (Jozefowicz et al. 2015).
                nn.init.ones_(layer.bias_ih_l0.data[width : 2 * width])

    def forward(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits [rows, positions, vocabulary] of the next symbol, and the state after the last position.

        ``ids`` is int64 [rows, positions]. The state is one tensor, [layers, 1 or 2, rows, width]: the hidden
        values and, in an LSTM, the cells.
        """
        hidden = self.embedding(ids)
        after = []
        for number, layer in enumerate(self.layers):
            before = None if state is None else self._unpacked(state[number])
            hidden, last = layer(hidden, before)
            after.append(torch.cat(last) if self.kind == "lstm" else last)
            hidden = self.dropout(hidden)
        return self.head(hidden), torch.stack(after)

    def prime(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [rows, vocabulary] after ``ids`` [rows, positions], and the state."""
        logits, state = self(ids)
        return logits[:, -1], state

    def advance(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [rows, vocabulary] after one more id for each row, and the new state."""
        logits, state = self(ids[:, None], state)
        return logits[:, -1], state

    def _unpacked(self, state: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return (state[:1].contiguous(), state[1:].contiguous()) if self.kind == "lstm" else state.contiguous()
