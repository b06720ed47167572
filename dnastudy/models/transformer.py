"""A GPT for DNA: a causal Transformer, tuned or as published, and a key-value cache to generate with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.models.neural import PUBLISHED_CONTEXT, VOCABULARY, Head, Linear, NeuralModel, check_form, draw_as_keras
from dnastudy.tokens.tokenizer import CLS

_WHOLE_MATRIX = 512  # positions up to which a head's matrix of weights, in bf16, stays in a core's cache


class Transformer(NeuralModel):
    """Embedding, ``layers`` blocks of causal self-attention and a feed-forward net, and a linear head.

    Tuned: each part's input is normalised and a feed-forward net is four times as wide as the hidden states
    (Radford et al. 2019), but no layer before the head has a bias (Touvron et al. 2023); positions are rotary
    (Su et al. 2021), so that a model trained on windows from anywhere in a gene sees each of them alike. As published
    by Ihtiyar & Ozgur (2024): learned positions, sums normalised after each part, a feed-forward net no wider than
    the rest, eight symbols and Keras's initial weights. Theirs has 4 layers of 256 and 3 heads: 1,844,988 parameters.
    """

    kind = "gpt"

    def __init__(
        self,
        *,
        layers: int = 4,  # Transformer blocks
        width: int = 256,  # size of the hidden states
        heads: int = 4,  # attention heads in each block
        context: int = 1024,  # the most positions seen at once, at least the window
        dropout: float = 0.0,  # share of values dropped on each branch
        form: str = "tuned",  # tuned; as_published: the human-genes paper's
        vocabulary: int = VOCABULARY,  # symbols: 9 for DNA
    ):
        super().__init__()
        check_form(self.kind, form, vocabulary)
        published = form == "as_published"
        if published:
            context = min(context, PUBLISHED_CONTEXT)
        if context < 2:
            raise InputError(f"gpt: context {context}; expected 2 or more: a start symbol and a base")
        if width < heads or (not published and (width % heads or (width // heads) % 2)):
            raise InputError(f"gpt: width {width} over {heads} heads; expected a multiple of twice the heads")
        self.config = {"kind": "gpt", "layers": layers, "width": width, "heads": heads, "context": context}
        self.config |= {"dropout": dropout, "form": form, "vocabulary": vocabulary}
        self.context = context
        self.embedding = nn.Embedding(vocabulary - published, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout, published) for _ in range(layers))
        self.norm = nn.Identity() if published else nn.LayerNorm(width, bias=False)
        self.head = Head(width, form, vocabulary)
        if published:
            self.positions = nn.Embedding(context, width)
            draw_as_keras(self)
            for block in self.blocks:
                block.attention.draw_as_keras()
            return
        self.register_buffer("rotation", rotation(context, width // heads), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        for block in self.blocks:
            # Two branches a block add up on the residual path: keep its variance near the input's.
            nn.init.normal_(block.attention.out.weight, std=0.02 / (2 * layers) ** 0.5)
            nn.init.normal_(block.feed_forward[-1].weight, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, ids: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache | None]:
        """Logits [rows, positions, vocabulary] of the next symbol; ``ids`` (int64 [rows, positions]) join the cache."""
        return self.head(self.hidden(ids, state)), state

    def hidden(self, ids: Tensor, state: Cache | None = None) -> Tensor:
        """What the head is given, [rows, positions, width]; to a cache with ids add one id a row."""
        start = 0 if state is None else state.filled
        stop = start + ids.shape[1]
        hidden = self.embed(ids, start)
        turned = None if self.published else self.rotation[:, start:stop]
        for number, block in enumerate(self.blocks):
            cached = None if state is None else (state.keys[number], state.values[number], start)
            hidden = block(hidden, turned, cached)
        if state is not None:
            state.ids[:, start:stop] = ids
            state.filled = stop
        return self.norm(hidden)

    def _next(self, ids: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        if state.filled + ids.shape[1] > self.context:  # the start symbol and the last half context stay
            ids = torch.cat([state.ids[:, : state.filled], ids], dim=1)
            ids = torch.cat([torch.full_like(ids[:, :1], CLS), ids[:, -(self.context // 2) :]], dim=1)
            state.filled = 0
        return super()._next(ids, state)

    def _empty_state(self, rows: int) -> Cache:
        heads, size = self.config["heads"], self.config["width"] // self.config["heads"]
        shape = (len(self.blocks), rows, heads, self.context, size)
        keys, values = (torch.empty(shape, device=self.device) for _ in range(2))
        return Cache(keys, values, torch.empty(rows, self.context, dtype=torch.int64, device=self.device))


@dataclass
class Cache:
    """Keys and values of the positions seen so far, [layers, rows, heads, context, size], and their ids."""

    keys: Tensor
    values: Tensor
    ids: Tensor
    filled: int = 0


class Block(nn.Module):
    """Attention, then a feed-forward net; each added to its input, which is normalised before, or the sum after."""

    def __init__(self, width: int, heads: int, dropout: float, published: bool):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, bias=published)
        self.attention = Attention(width, heads, bias=published)
        self.feed_forward_norm = nn.LayerNorm(width, bias=published)
        inner, activation = (width, nn.ReLU()) if published else (4 * width, nn.GELU())
        self.feed_forward = nn.Sequential(
            Linear(width, inner, bias=published), activation, Linear(inner, width, bias=published)
        )
        self.dropout = nn.Dropout(dropout)
        self.norm_last = published

    def forward(self, hidden: Tensor, turned: Tensor | None, cached: tuple[Tensor, Tensor, int] | None) -> Tensor:
        if self.norm_last:
            hidden = self.attention_norm(hidden + self.dropout(self.attention(hidden, turned, cached)))
            return self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), turned, cached))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class Attention(nn.Module):
    """Self-attention over several heads, causal or, with ``padding`` (bool [rows, positions]), to all but that."""

    def __init__(self, width: int, heads: int, bias: bool, dropout: float = 0.0):
        super().__init__()
        self.heads, self.size, self.dropout = heads, width // heads, dropout
        self.queries_keys_values = Linear(width, 3 * heads * self.size, bias)
        self.out = Linear(heads * self.size, width, bias)

    def draw_as_keras(self) -> None:
        """Draw the weights as Keras's attention does, which counts an axis of heads into both fans."""
        width = self.out.out_features
        packed = (6 / (self.heads * width + self.size * width)) ** 0.5
        nn.init.uniform_(self.queries_keys_values.weight, -packed, packed)
        out = (6 / (self.heads * self.size + self.heads * width)) ** 0.5
        nn.init.uniform_(self.out.weight, -out, out)

    def forward(
        self,
        hidden: Tensor,
        turned: Tensor | None = None,
        cached: tuple[Tensor, Tensor, int] | None = None,
        padding: Tensor | None = None,
    ) -> Tensor:
        rows, positions, _ = hidden.shape
        packed = self.queries_keys_values(hidden).view(rows, positions, 3, self.heads, self.size)
        queries_keys, values = packed.split([2, 1], dim=2)
        if turned is not None:
            queries_keys = Rotate.apply(queries_keys, turned)
        queries, keys = queries_keys.permute(2, 0, 3, 1, 4)
        values = values.squeeze(2).transpose(1, 2)
        start = 0
        if cached is not None:
            all_keys, all_values, start = cached
            stop = start + positions
            all_keys[:, :, start:stop], all_values[:, :, start:stop] = keys, values
            keys, values = all_keys[:, :, :stop], all_values[:, :, :stop]
        if start == 0:
            mixed = attend(queries, keys, values, padding, self.dropout if self.training else 0.0)
        else:  # one position that may look at all
            mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self.out(mixed.transpose(1, 2).reshape(rows, positions, self.heads * self.size))


def rotation(positions: int, size: int) -> Tensor:
    """Cosines and sines of rotary positions, [2, positions, size / 2] (Su et al. 2021, equation 34)."""
    frequencies = 10_000.0 ** (-torch.arange(0, size, 2) / size)
    angles = torch.outer(torch.arange(positions), frequencies)
    return torch.stack([angles.cos(), angles.sin()])


class Rotate(torch.autograd.Function):
    """:func:`rotate` with a gradient of its own: turning back. Half the passes over memory that autograd makes."""

    @staticmethod
    def forward(ctx, values: Tensor, turned: Tensor) -> Tensor:
        ctx.save_for_backward(turned)
        return rotate(values, *turned)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        cosine, sine = ctx.saved_tensors[0]
        return rotate(gradient, cosine, -sine), None


def rotate(values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair of ``values`` [rows, positions, 2, heads, size], of either half, by its position's angle."""
    cosine, sine = (one[:, None, None].to(values.dtype) for one in (cosine, sine))
    half = values.shape[-1] // 2
    rotated = values * torch.cat([cosine, cosine], dim=-1)
    rotated[..., :half].addcmul_(values[..., half:], sine, value=-1)
    rotated[..., half:].addcmul_(values[..., :half], sine)
    return rotated


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Attention, [rows, heads, positions, size] of all three and of the result; ``padding``: see `Attention`."""
    # torch's fused kernel for CPUs multiplies bf16 in small tiles, at a tenth of the rate of its plain matrix product:
    # there, whole matrices of weights are a third of the cost as long as the caches hold them.
    rows, heads, positions, size = queries.shape
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16 or positions > _WHOLE_MATRIX:
        seen = None if padding is None else ~padding[:, None, None]
        options = {"attn_mask": seen, "dropout_p": dropout, "is_causal": padding is None}
        return functional.scaled_dot_product_attention(queries, keys, values, **options)
    if padding is None:
        hidden = torch.full((positions, positions), -torch.inf, dtype=queries.dtype).triu(1)
    else:
        hidden = torch.zeros_like(padding, dtype=queries.dtype).masked_fill(padding, -torch.inf)
        hidden = hidden.repeat_interleave(heads, 0)[:, None]
    queries, keys, values = (one.reshape(rows * heads, positions, size) for one in (queries, keys, values))
    weights = torch.baddbmm(hidden, queries, keys.mT, alpha=size**-0.5).softmax(-1)
    return torch.bmm(functional.dropout(weights, dropout), values).view(rows, heads, positions, size)
