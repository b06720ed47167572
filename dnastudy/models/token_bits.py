"""Which tokens may stand side by side: the encodings among all rows of tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.codes import encode
from dnastudy.models.neural import NeuralModel, linear
from dnastudy.models.ngram import NgramModel
from dnastudy.models.recurrent import RecurrentModel
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, PAD, UNK, KmerTokenizer, Tokenizer

_CHUNK = 256  # positions after which a recurrent model's state is carried on
_POSITIONS, _LOGITS = 2**14, 2**23  # computed at once
_ROWS = 1024  # states advanced at once: what a processor's cache holds
_EXAMPLES, _KMERS, _ON_GPU = 256, 2**14, 16  # read off side by side, and times as many on a GPU


def successors(tokenizer: Tokenizer) -> np.ndarray:
    """Which token may follow which in an encoding, bool [tokens, tokens]: ``[left, right]``.

    A row of words (the tokens that have bases) spells a sequence; it is that sequence's encoding, one row of many,
    if each two neighbours are the encoding of what they spell, and only then: what is merged, and when, within two
    tokens side by side depends on nothing outside them. Of k-mers, no more than ``k`` - 1 single bases in a row may
    stand besides. A model's probability of any other row is lost. CLS and UNK may be followed by UNK and by each word
    that some sequence has as its token, a word by UNK too; nothing else follows anything.
    """
    may = np.zeros((len(tokenizer), len(tokenizer)), dtype=bool)
    may[UNK, UNK] = may[CLS, UNK] = may[FIRST_BASE:, UNK] = True
    words = [encode(letters + "N") for letters in tokenizer.tokens[FIRST_BASE:]]
    sizes = np.array([len(word) for word in words])
    starts, number = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(sizes)), sizes)
    words = np.concatenate(words)
    for left in (CLS, UNK, *range(FIRST_BASE, len(tokenizer))):
        # Each word after this one, all in one stream: nothing merges across the unknown base after each.
        before = encode(tokenizer.tokens[left]) if left >= FIRST_BASE else words[:0]
        stream = np.empty(len(words) + len(before) * len(sizes), dtype=np.uint8)
        stream[np.arange(len(words)) + len(before) * (number + 1)] = words
        first = starts + len(before) * np.arange(len(sizes))
        stream[first[:, None] + np.arange(len(before))] = before
        ids = tokenizer.encode(stream)
        ends = np.flatnonzero(ids == UNK)
        begins = np.append(0, ends[:-1] + 1)
        if left < FIRST_BASE:
            may[left, FIRST_BASE:] = ends - begins == 1
        else:
            may[left, FIRST_BASE:] = (ends - begins == 2) & (ids[begins] == left)
    return may


def token_log_likelihoods(
    model: NeuralModel, rows: Sequence[np.ndarray], *, may_follow: np.ndarray | None = None
) -> list[np.ndarray]:
    """Log-probability of each token given CLS and those before it in its row, normalised over words: float32 each."""
    follow = _words_after(model, may_follow)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    longest = lengths.max(initial=0)
    if model.context is not None and longest > model.context:
        raise InputError(f"a row of {longest} tokens; this {model.kind} model sees {model.context}: cut shorter rows")
    step = model.context or _CHUNK
    positions = min(_POSITIONS, _LOGITS // len(follow))
    found: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(rows)
    waiting = np.flatnonzero(lengths)
    waiting = waiting[np.argsort(-lengths[waiting], kind="stable")]
    with model.evaluating():
        while len(waiting):
            most = lengths[waiting[0]]
            together, waiting = np.split(waiting, [max(1, positions // min(most, step))])
            ids = np.full((len(together), most + 1), PAD, dtype=np.int64)
            ids[:, 0] = CLS
            for row, number in enumerate(together):
                ids[row, 1 : 1 + lengths[number]] = rows[number]
            inputs, targets = torch.from_numpy(ids).to(model.device).unfold(1, most, 1).unbind(1)
            values, state = [], None
            for given, wanted in zip(inputs.split(step, 1), targets.split(step, 1), strict=True):
                logits, state = model(given, state)
                shares = logits.float().masked_fill(~follow[given], -torch.inf).log_softmax(-1)
                shares = shares.gather(-1, wanted[..., None])[..., 0]
                values.append(shares.masked_fill(wanted < FIRST_BASE, torch.nan))
            for number, row in zip(together, torch.cat(values, dim=1).cpu().numpy(), strict=True):
                found[number] = row[: lengths[number]].copy()
    return found


def next_kmers(
    model: RecurrentModel, tokenizer: Tokenizer, contexts: Sequence[np.ndarray], k: int, may_follow: np.ndarray
) -> np.ndarray:
    """Log-probabilities of the next ``k`` bases after each context, float32 [n, 4^k]; ``may_follow``: `successors`.

    The exact sum over all encodings that a longer sequence may have: where the context is cut there may be tokens
    that the whole hasn't got. Those that no further base can change are kept; from there on, all rows of words are
    followed that spell the bases left and ``k`` more, the last one perhaps beyond. Of each string there is one row
    at most, so that no more than 1 + 4 + ... + 4^(k - 1) states and one for each base left are needed.

    Known bases are taken to go on after the k-mer: words after which none may come aren't counted, nor are the
    single bases that end a run of k-mers.
    """
    follow = _words_after(model, may_follow)
    words = follow.any(0)
    if isinstance(tokenizer, KmerTokenizer):
        words &= torch.from_numpy(tokenizer.lengths == tokenizer.k).to(words)
    while not (going_on := follow[:, words].any(1))[words].all():
        words &= going_on
    found = np.empty((len(contexts), 4**k), dtype=np.float32)
    with model.evaluating():
        reader = _Reader(model, tokenizer, follow & words, k)
        kept, left = _settled(tokenizer, contexts)
        together = max(1, min(_EXAMPLES, _KMERS // 4**k)) * (1 if model.device.type == "cpu" else _ON_GPU)
        for some in (slice(start, start + together) for start in range(0, len(kept), together)):
            shares = reader.read(kept[some], left[some])
            found[some] = (shares / shares.sum(1, keepdim=True)).log().float().cpu()
    return found


def ngram_next_kmers(model: NgramModel, contexts: np.ndarray, k: int) -> np.ndarray:
    """Log-probabilities of the next ``k`` bases after each context (uint8 codes, [n, bases]): as `next_kmers`."""
    found = np.empty((len(contexts), 4**k), dtype=np.float32)
    together = max(1, 16 * _KMERS // 4**k)
    for start in range(0, len(contexts), together):
        some = contexts[start : start + together]
        values, state = model.after(some)
        for _ in range(k - 1):
            bases = torch.arange(4).repeat(state.shape[1])
            following, state = model.follow(bases, state.repeat(4, axis=1))
            values = (values.reshape(-1, 1) + following).reshape(len(some), -1)
        found[start : start + len(some)] = values
    return found


def marginal(log_probabilities: np.ndarray, k: int) -> np.ndarray:
    """What log-probabilities of longer k-mers ([n, 4^longer]) say of the first ``k`` bases: [n, 4^k]."""
    parts = np.exp(log_probabilities).reshape(len(log_probabilities), 4**k, -1)
    with np.errstate(divide="ignore"):  # of what was never seen
        return np.log(parts.sum(2))


class _Reader:
    """Follow all rows of words that spell what is wanted, from the states of many examples at once."""

    def __init__(self, model: RecurrentModel, tokenizer: Tokenizer, follow: Tensor, k: int):
        self.model, self.k = model, k
        words = follow.any(0).nonzero()[:, 0].cpu().numpy()
        # The longest first, so that those over any length are the first few.
        words = words[np.argsort(-tokenizer.lengths[words], kind="stable")]
        letters = np.zeros((len(words), tokenizer.lengths[words[0]]), dtype=np.uint8)
        for row, word in zip(letters, words, strict=True):
            row[: tokenizer.lengths[word]] = encode(tokenizer.tokens[word])
        self.words, self.letters = (torch.from_numpy(one).to(model.device) for one in (words, letters))
        self.lengths = torch.from_numpy(tokenizer.lengths[words]).to(model.device)
        self.banned = ~follow[:, self.words]
        self.head = model.head.weight[self.words], model.head.bias[self.words]

    def read(self, kept: list[np.ndarray], left: list[np.ndarray]) -> Tensor:
        """Shares of all k-mers after ``left`` bases after ``kept`` tokens, float64 [examples, 4^k]; their sum isn't 1.

        A node is a row of words after the kept ones: its example, the number of those bases of the k-mer that it has
        spelt, its last token, and the state that this one is read in; and its probability. Nodes wait at the place
        that they have come to, the k-mer's begin being 0.
        """
        device = self.model.device
        most = max(map(len, left))
        codes = np.zeros((len(left), most), dtype=np.uint8)
        for row, one in zip(codes, left, strict=True):
            row[most - len(one) :] = one
        codes = torch.from_numpy(codes).to(device)
        branches = _Branches(self.model, len(left) * (1 + most + 4 ** (self.k - 1) // 3 + 1))
        found = torch.zeros(len(left), 4**self.k, dtype=torch.float64, device=device)
        waiting = defaultdict(list)
        for number, (state, ids, one) in enumerate(zip(branches.prime(kept), kept, left, strict=True)):
            start = torch.tensor([[number], [0], [ids[-1]], [state]], device=device)
            waiting[-len(one)].append((start, torch.ones(1, dtype=torch.float64, device=device)))
        for place in range(-most, self.k):
            if waiting[place]:
                nodes, chances = (torch.cat(parts, -1) for parts in zip(*waiting.pop(place), strict=True))
                for some, chance in zip(nodes.split(_ROWS, -1), chances.split(_ROWS), strict=True):
                    self._branch(branches, place, codes, some, chance, found, waiting)
        return found

    def _branch(self, branches, place, codes, nodes, chance, found, waiting) -> None:
        """Follow nodes at a place by each word: those that end the k-mer add to ``found``, the others wait."""
        spelt = self._spelt(max(0, -place), self.k - place)
        over = int((self.lengths >= self.k - place).sum())  # words that end the k-mer
        begun = 4 ** max(0, place)
        sums = found.view(len(found) * begun, -1)
        example, number, token, state = nodes
        hidden, states = branches.advance(token, state, keep=place < self.k - 1)
        shares = linear(hidden, *self.head).masked_fill_(self.banned[token], -torch.inf).softmax(-1)
        if place < 0:
            shares *= self._agrees(codes[example, place:])
        ends = shares.new_zeros(len(shares), sums.shape[1]).index_add_(1, spelt[:over], shares[:, :over])
        sums.index_add_(0, example * begun + number, ends.double() * chance[:, None])
        rows, words = shares[:, over:].nonzero(as_tuple=True)
        words += over
        stops = place + self.lengths[words]
        for stop in stops.unique().tolist():
            row, word = rows[stops == stop], words[stops == stop]
            longer = number[row] * (4 ** max(0, stop) // begun) + spelt[word]
            new = torch.stack([example[row], longer, self.words[word], states[row]])
            waiting[stop].append((new, chance[row] * shares[row, word]))

    def _spelt(self, first: int, last: int) -> Tensor:
        """The number of each word's bases from ``first`` to before ``last``, as far as it has them: int64 [words]."""
        numbers = torch.zeros_like(self.lengths)
        for place in range(first, min(last, self.letters.shape[1])):
            numbers = torch.where(self.lengths > place, 4 * numbers + self.letters[:, place], numbers)
        return numbers

    def _agrees(self, codes: Tensor) -> Tensor:
        """Which words begin with bases (uint8 [rows, bases]), or are their begin: bool [rows, words]."""
        agrees = torch.ones(len(codes), len(self.words), dtype=torch.bool, device=codes.device)
        for place in range(min(codes.shape[1], self.letters.shape[1])):
            longer = int((self.lengths > place).sum())
            agrees[:, :longer] &= self.letters[:longer, place] == codes[:, place, None]
        return agrees


class _Branches:
    """States of a recurrent model, each of which any number of tokens is read in.

    What a state adds to the gates of the next step is worked out once, not for each token: half of the whole.
    """

    def __init__(self, model: RecurrentModel, room: int):
        self.model, self.filled = model, 0
        width = model.config["width"]
        shape = len(model.layers), room
        self.carried = torch.empty(*shape, width, device=model.device)  # cells; of a GRU the hidden values
        self.gates = torch.empty(*shape, len(model.layers[0].weight_hh_l0), device=model.device)
        first = model.layers[0]
        self.entering = linear(model.embedding.weight, first.weight_ih_l0, first.bias_ih_l0)

    def prime(self, kept: list[np.ndarray]) -> Tensor:
        """Keep the state before the last token of each row; which it is, int64 [rows]."""
        lengths = np.array([len(ids) - 1 for ids in kept])
        numbers = torch.empty(len(kept), dtype=torch.int64)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            states = torch.zeros(len(self.model.layers), 2, len(rows), self.carried.shape[2], device=self.model.device)
            if length:
                ids = torch.from_numpy(np.stack([kept[row][:-1] for row in rows])).to(self.model.device)
                _, (states, _) = self.model(ids)
            numbers[rows] = self._keep([(state[0], state[-1]) for state in states]).cpu()
        return numbers

    def advance(self, tokens: Tensor, states: Tensor, *, keep: bool) -> tuple[Tensor, Tensor | None]:
        """Read each token in a state: hidden values [rows, width], and the new states, if they are kept."""
        hidden, after = None, []
        for number, layer in enumerate(self.model.layers):
            entering = self.entering[tokens] if number == 0 else linear(hidden, layer.weight_ih_l0, layer.bias_ih_l0)
            gates, carried = (of[number].index_select(0, states) for of in (self.gates, self.carried))
            if self.model.kind == "lstm":
                enter, forget, new, leave = gates.add_(entering).chunk(4, dim=1)
                carried = torch.addcmul(forget.sigmoid() * carried, enter.sigmoid(), new.tanh())
                hidden = leave.sigmoid() * carried.tanh()
            else:
                reset, update, new = entering.chunk(3, dim=1)
                old_reset, old_update, old_new = gates.chunk(3, dim=1)
                new = torch.addcmul(new, (reset + old_reset).sigmoid(), old_new).tanh()
                hidden = carried = torch.lerp(new, carried, (update + old_update).sigmoid())
            after.append((hidden, carried))
        return hidden, self._keep(after) if keep else None

    def _keep(self, after: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Keep hidden values and cells (both [rows, width]) of each layer; the numbers of the states."""
        kept = torch.arange(self.filled, self.filled + len(after[0][0]), device=self.model.device)
        self.filled += len(kept)
        for number, ((hidden, carried), layer) in enumerate(zip(after, self.model.layers, strict=True)):
            self.carried[number, kept] = carried
            self.gates[number, kept] = linear(hidden, layer.weight_hh_l0, layer.bias_hh_l0)
        return kept


def _settled(tokenizer: Tokenizer, contexts: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """CLS and those tokens of each context that no further base can change (int64), and codes of the bases left.

    All encodings of longer sequences have a word that goes over the context's end, or begins there. Before it stands
    the encoding of that much of the context: where all of these have an edge they are one, up to there.
    """
    if not len(contexts):
        return [], []
    reach = int(tokenizer.lengths.max())
    codes = [encode(tokenizer.decode(ids)) for ids in contexts]
    begins = [[one[:stop] for stop in range(max(0, len(one) - reach + 1), len(one) + 1)] for one in codes]
    counts = np.array([len(some) for some in begins])
    ids = tokenizer.encode(np.concatenate([np.append(one, np.uint8(4)) for some in begins for one in some]))
    sizes = np.array([len(one) + 1 for some in begins for one in some])
    edges = tokenizer.offsets(ids)[:-1]
    begin = np.searchsorted(np.cumsum(sizes), edges, side="right")
    edges -= (np.cumsum(sizes) - sizes)[begin]
    context = np.repeat(np.arange(len(counts)), counts)[begin]
    seen = np.zeros((len(counts), sizes.max()), dtype=np.int64)
    np.add.at(seen, (context, edges), 1)
    cuts = seen.shape[1] - 1 - (seen == counts[:, None])[:, ::-1].argmax(1)
    kept = [np.append(CLS, tokenizer.encode(one[:cut])).astype(np.int64) for one, cut in zip(codes, cuts, strict=True)]
    return kept, [one[cut:] for one, cut in zip(codes, cuts, strict=True)]


def _words_after(model: NeuralModel, may_follow: np.ndarray | None) -> Tensor:
    """Which words may stand after each token, bool [tokens, tokens], on the model's device."""
    size = model.config["vocabulary"]
    follow = np.ones((size, size), dtype=bool) if may_follow is None else may_follow.copy()
    follow[:, :FIRST_BASE] = False
    return torch.from_numpy(follow).to(model.device)
