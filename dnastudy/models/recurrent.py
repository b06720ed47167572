"""Recurrent language models of DNA: an LSTM or GRU that carries its state over a gene of any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dnastudy.models.neural import PUBLISHED_CONTEXT, VOCABULARY, Head, NeuralModel, check_form, draw_as_keras

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentModel(NeuralModel):
    """Embedding, ``layers`` recurrent layers with dropout between them, and a linear head.

    As published by Ihtiyar & Ozgur (2024): an LSTM with learned positions, one bias, eight symbols and Keras's
    initial weights. Theirs has 4 layers of 512 on an embedding of 256: 8,140,552 parameters.
    """

    def __init__(
        self,
        kind: str = "lstm",
        *,
        layers: int = 2,  # recurrent layers
        width: int = 256,  # units in each
        embedding: int = 64,  # size of the base embedding
        dropout: float = 0.0,  # share of units dropped between layers and before the head
        form: str = "tuned",  # tuned; as_published: the human-genes paper's (lstm alone)
        vocabulary: int = VOCABULARY,  # symbols: 9 for DNA
    ):
        super().__init__()
        check_form(kind, form, vocabulary)
        self.kind = kind
        self.config = {"kind": kind, "layers": layers, "width": width, "embedding": embedding}
        self.config |= {"dropout": dropout, "form": form, "vocabulary": vocabulary}
        self.embedding = nn.Embedding(vocabulary - self.published, embedding)
        # One-layer modules: cuDNN's built-in dropout between layers cannot be reproduced on a GPU.
        self.layers = nn.ModuleList(
            CELLS[kind](embedding if layer == 0 else width, width, batch_first=True) for layer in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = Head(width, form, vocabulary)
        if self.published:
            self.context = PUBLISHED_CONTEXT
            self.positions = nn.Embedding(PUBLISHED_CONTEXT, embedding)
            draw_as_keras(self)
        elif kind == "lstm":
            for layer in self.layers:
                # A forget gate that starts open lets gradients reach back (Jozefowicz et al. 2015).
                nn.init.ones_(layer.bias_ih_l0.data[width : 2 * width])

    def forward(self, ids: Tensor, state: tuple[Tensor, int] | None = None) -> tuple[Tensor, tuple[Tensor, int]]:
        """Logits [rows, positions, vocabulary] of the next symbol, and the state after the last position.

        A state is a tensor, [layers, 1 or 2, rows, width] (hidden values and, in an LSTM, cells), and positions seen.
        """
        hidden, state = self._read(ids, state)
        return self.head(hidden), state

    def hidden(self, ids: Tensor) -> Tensor:
        """What the head is given, [rows, positions, width]."""
        return self._read(ids, None)[0]

    def _read(self, ids: Tensor, state: tuple[Tensor, int] | None) -> tuple[Tensor, tuple[Tensor, int]]:
        before, seen = (None, 0) if state is None else state
        hidden = self.embed(ids, seen)
        after = []
        for number, layer in enumerate(self.layers):
            hidden, last = self._run(layer, hidden, None if before is None else self._unpacked(before[number]))
            after.append(torch.cat(last) if self.kind == "lstm" else last)
            hidden = self.dropout(hidden)
        return hidden, (torch.stack(after), seen + ids.shape[1])

    def _run(self, layer: nn.Module, hidden: Tensor, state) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """One layer; in bf16 on a CPU without AVX-512, for which torch has no LSTM in bf16, rounded after fp32."""
        cpu = hidden.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if self.kind != "lstm" or not cpu or torch.cpu.get_capabilities().get("avx512_bw", False):
            return layer(hidden, state)
        with torch.autocast("cpu", enabled=False):
            hidden, last = layer(hidden.float(), state)
        return hidden.bfloat16(), last

    def _unpacked(self, state: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return (state[:1].contiguous(), state[1:].contiguous()) if self.kind == "lstm" else state.contiguous()
