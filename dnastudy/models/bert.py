"""BERT for DNA: an encoder that sees both sides of each token, trained to fill in those that are masked."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.models.neural import VOCABULARY, Linear, NeuralModel
from dnastudy.models.transformer import Attention
from dnastudy.tokens.tokenizer import PAD, Tokenizer, single_base

EPSILON = 1e-12  # added to the variances of all norms


class Bert(NeuralModel):
    """Embedding, ``layers`` blocks of self-attention and a feed-forward net, and a head tied to the embedding.

    The encoder of Devlin et al. (2019) with the head that restores masked tokens: learned positions, sums normalised
    after each part, a feed-forward net four times as wide as the hidden states, GELU. A window is one sequence, so
    that there are no types of token. GROVER (Sanabria et al. 2024) has 12 layers of 768, 12 heads and a context of
    512: with 600 merges 86,509,665 parameters.
    """

    kind = "bert"
    causal = False
    validation_masked_bits_per_base: float | None = None

    def __init__(
        self,
        *,
        tokenizer: str = "",  # tokenizer.json of the tokens that it fills in; empty: single bases
        layers: int = 4,  # Transformer blocks
        width: int = 256,  # size of the hidden states
        heads: int = 4,  # attention heads in each block
        context: int = 512,  # the most tokens seen at once, at least the window
        dropout: float = 0.0,  # share of values dropped on each branch, and of attention
        vocabulary: int = VOCABULARY,  # tokens, where no tokenizer says how many
    ):
        super().__init__()
        if context < 3:
            raise InputError(f"bert: context {context}; expected 3 or more: CLS, a token and SEP")
        if width % heads:
            raise InputError(f"bert: width {width} isn't a multiple of {heads} heads; choose one that is")
        self.tokenizer = Tokenizer.load(tokenizer) if tokenizer else single_base()
        if tokenizer:
            vocabulary = len(self.tokenizer)
        self.config = {"kind": "bert", "layers": layers, "width": width, "heads": heads, "context": context}
        self.config |= {"dropout": dropout, "vocabulary": vocabulary}
        self.context = context
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.transform = nn.Sequential(Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=EPSILON))
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, None]:
        """Logits [rows, positions, vocabulary] (of ``wanted``, bool, alone [n, vocabulary]) of tokens, and no state."""
        hidden = self.hidden(ids)
        if wanted is not None:
            hidden = hidden[wanted]
        return functional.linear(self.transform(hidden), self.embedding.weight, self.bias), None

    def hidden(self, ids: Tensor) -> Tensor:
        """Hidden states after the last block, [rows, positions, width]."""
        return self.states(ids)[-1]

    def states(self, ids: Tensor) -> list[Tensor]:
        """The embedding's output and hidden states after each block: layers + 1 of [rows, positions, width]."""
        if ids.shape[1] > self.context:
            raise InputError(f"bert: {ids.shape[1]} positions; its context is {self.context}: cut it into windows")
        hidden = self.dropout(self.norm(self.embedding(ids) + self.positions.weight[: ids.shape[1]]))
        padding, states = ids == PAD, [hidden]
        for block in self.blocks:
            states.append(block(states[-1], padding))
        return states


class Block(nn.Module):
    """Attention to both sides, then a feed-forward net; each added to its input, and the sum normalised."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = Attention(width, heads, bias=True, dropout=dropout)
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON)
        self.feed_forward = nn.Sequential(Linear(width, 4 * width), nn.GELU(), Linear(4 * width, width))
        self.feed_forward_norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, padding: Tensor) -> Tensor:
        hidden = self.attention_norm(hidden + self.dropout(self.attention(hidden, padding=padding)))
        return self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
