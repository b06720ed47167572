"""A GPT for DNA: pre-norm causal Transformer, rotary positions, and a key-value cache to generate with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.models.neural import VOCABULARY, Head, NeuralModel
from dnastudy.tokens.tokenizer import CLS


class Transformer(NeuralModel):
    """Embedding, ``layers`` blocks of causal self-attention and a feed-forward net, and a linear head.

    Radford et al. (2019) for the blocks; Su et al. (2021) for rotary positions, which are relative, so that a
    model trained on windows from anywhere in a gene sees each of them alike.

    Parameters
    ----------
    layers, width, heads
        Blocks, size of the hidden states, attention heads in each block.
    context
        The most positions seen at once, start symbol included.
    dropout
        Share of values dropped on each residual branch while training.
    """

    kind = "gpt"

    def __init__(self, *, layers: int = 4, width: int = 256, heads: int = 4, context: int = 1024, dropout: float = 0.0):
        super().__init__()
        if context < 2:
            raise InputError(f"gpt: context {context}; expected 2 or more: a start symbol and a base")
        if width % heads or (width // heads) % 2:
            raise InputError(
                f"gpt: width {width} over {heads} heads gives no even number of values a head; "
                "choose a width that is a multiple of twice the heads"
            )
        self.config = {
            "kind": "gpt",
            "layers": layers,
            "width": width,
            "heads": heads,
            "context": context,
            "dropout": dropout,
        }
        self.context = context
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = Head(width)
        self.register_buffer("rotation", rotation(context, width // heads), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            # Two branches a block add up on the residual path: keep its variance near the input's.
            nn.init.normal_(block.attention.out.weight, std=0.02 / (2 * layers) ** 0.5)
            nn.init.normal_(block.feed_forward[-1].weight, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, ids: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache | None]:
        """Logits [rows, positions, vocabulary] of the next symbol; ``ids`` is int64 [rows, positions].

        With a cache, ``ids`` are added to it: any number of them to an empty one, else one at a time.
        """
        start = 0 if state is None else state.filled
        stop = start + ids.shape[1]
        hidden = self.embedding(ids)
        for number, block in enumerate(self.blocks):
            cached = None if state is None else (state.keys[number], state.values[number], start)
            hidden = block(hidden, self.rotation[:, start:stop], cached)
        if state is not None:
            state.ids[:, start:stop] = ids
            state.filled = stop
        return self.head(self.norm(hidden)), state

    def prime(self, ids: Tensor) -> tuple[Tensor, Cache]:
        """Logits [rows, vocabulary] after ``ids`` [rows, positions, start symbol first], and a filled cache.

        Of more ids than the context holds, the start symbol and the last half context are kept.
        """
        if ids.shape[1] > self.context:
            ids = torch.cat([torch.full_like(ids[:, :1], CLS), ids[:, -(self.context // 2) :]], dim=1)
        logits, cache = self(ids, self._empty_cache(len(ids)))
        return logits[:, -1], cache

    def advance(self, ids: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Logits [rows, vocabulary] after one more id for each row, and the cache; a full one starts anew."""
        if state.filled == self.context:
            return self.prime(torch.cat([state.ids, ids[:, None]], dim=1))
        logits, state = self(ids[:, None], state)
        return logits[:, -1], state

    def _empty_cache(self, rows: int) -> Cache:
        heads, size = self.config["heads"], self.config["width"] // self.config["heads"]
        shape = (len(self.blocks), rows, heads, self.context, size)
        keys, values = (torch.empty(shape, device=self.device) for _ in range(2))
        ids = torch.empty(rows, self.context, dtype=torch.int64, device=self.device)
        return Cache(keys, values, ids)


@dataclass
class Cache:
    """Keys and values of the positions seen so far, [layers, rows, heads, context, size], and their ids."""

    keys: Tensor
    values: Tensor
    ids: Tensor
    filled: int = 0


class Block(nn.Module):
    """Attention, then a feed-forward net four times as wide; each normalised before and added after."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, turned: Tensor, cached: tuple[Tensor, Tensor, int] | None) -> Tensor:
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), turned, cached))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class Attention(nn.Module):
    """Causal self-attention over several heads."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor, turned: Tensor, cached: tuple[Tensor, Tensor, int] | None) -> Tensor:
        rows, positions, width = hidden.shape
        packed = self.queries_keys_values(hidden).view(rows, positions, 3, self.heads, width // self.heads)
        queries, keys, values = packed.permute(2, 0, 3, 1, 4)
        queries, keys = rotate(queries, turned), rotate(keys, turned)
        if cached is not None:
            all_keys, all_values, start = cached
            stop = start + positions
            all_keys[:, :, start:stop], all_values[:, :, start:stop] = keys, values
            keys, values = all_keys[:, :, :stop], all_values[:, :, :stop]
        # Either whole windows come, and each position looks back, or one position that may look at all.
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=positions > 1)
        return self.out(mixed.transpose(1, 2).reshape(rows, positions, width))


def rotation(positions: int, size: int) -> Tensor:
    """Cosines and sines of rotary positions, [2, positions, size / 2] (Su et al. 2021, equation 15)."""
    frequencies = 10_000.0 ** (-torch.arange(0, size, 2) / size)
    angles = torch.outer(torch.arange(positions), frequencies)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(values: Tensor, turned: Tensor) -> Tensor:
    """Turn each pair of values (first half against second) of [rows, heads, positions, size] by its angle."""
    cosine, sine = turned.to(values.dtype)
    first, second = values.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
