"""One tokenizer interface: DNA to token ids and back, kept in the ``tokenizers`` library's JSON format."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np

from dnastudy.files import InputError, read_json, write_json
from dnastudy.genes.codes import as_codes, decode, kmers_at, true_runs

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BASES = ("A", "C", "G", "T")
FIRST_BASE = len(SPECIALS)
BASE_TO_ID = np.array([*range(FIRST_BASE, FIRST_BASE + len(BASES)), UNK], dtype=np.int32)
LARGEST = 2**16 - 1  # ids have 16 bits where many are kept
_BLOCK, _OVERLAP = 2**20, 2**12  # bases merged at once, which fit a processor's cache, and as many again after them


def single_base_ids(codes: np.ndarray) -> np.ndarray:
    """Ids (int32, [n]) of base codes (uint8, [n]), one a base."""
    return BASE_TO_ID[codes]


class Tokenizer:
    """Bases and the merges of a byte-pair encoding; with no merges, one token a base.

    Ids 0-4 are PAD UNK CLS SEP MASK, 5-8 are A C G T, then each new token in the order of its merge. Nothing
    merges across a base that isn't A C G T: each such base is one UNK.

    Parameters
    ----------
    merges
        Pairs of tokens in the order in which they were learnt. Both members must be known by then.

    Raises
    ------
    InputError
        When a merge is no pair, stands twice, has letters other than A C G T, or uses a token that no earlier merge
        has made; when there are more tokens than ids of 16 bits.
    """

    def __init__(self, merges: list[tuple[str, str]] | None = None):
        self.merges = [_pair(merge) for merge in merges or []]
        # Two merges may spell the same token (A+AA and AA+A); it has one id, that of the first.
        tokens = dict.fromkeys((*SPECIALS, *BASES))
        for rank, pair in enumerate(self.merges):
            merge = f"merge {rank} ({' '.join(pair)})"
            for part in pair:
                if not part or set(part) - set(BASES):
                    raise InputError(f"{merge}: {part!r} isn't spelt in A C G T; give merges learnt on DNA in capitals")
                if part not in tokens:
                    raise InputError(
                        f"{merge}: {part} is neither a base nor made by an earlier merge; "
                        "give the merges in the order in which they were learnt"
                    )
            tokens["".join(pair)] = None
        if len(set(self.merges)) < len(self.merges):
            twice = next(pair for pair in self.merges if self.merges.count(pair) > 1)
            raise InputError(f"merge {self.merges.index(twice)} ({' '.join(twice)}) stands twice; give each once")
        if len(tokens) > LARGEST + 1:
            raise InputError(f"{len(tokens):,} tokens; expected at most {LARGEST + 1:,}, since ids have 16 bits")
        self.tokens: tuple[str, ...] = tuple(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} tokens)"

    def encode(self, sequence: str | np.ndarray) -> np.ndarray:
        """Token ids (int32, [n tokens]) of a string or base codes (uint8, [n]), no special tokens added."""
        codes = as_codes(sequence)
        return self._merge(codes) if self.merges else single_base_ids(codes)

    def decode(self, ids: np.ndarray) -> str:
        """The sequence that the ids spell: an UNK reads as N, the other special tokens as nothing."""
        return "".join(self._spelling[np.asarray(ids, dtype=np.int64)].tolist())

    def offsets(self, ids: np.ndarray) -> np.ndarray:
        """Where each token begins, in bases from the first one's begin, and where the last ends: int64, [n + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths[ids])])

    def encode_within(
        self, sequence: str | np.ndarray, start: int, end: int, *, margin: int = 100
    ) -> tuple[np.ndarray, int]:
        """Ids (int32) of all tokens with a base from ``start`` to before ``end``, and where the first begins, in bases.

        They are made with ``margin`` bases each side, as far as there are: a cut makes tokens that the whole sequence
        doesn't have. Some tens of bases further in they are the same (GROVER's model card advises 100 bases), unless a
        repeat of a few bases reaches that far.
        """
        codes = as_codes(sequence)
        if not 0 <= start < end <= len(codes) or margin < 0:
            found = f"stretch {start} to {end} of a sequence of {len(codes)} bases, margin {margin}"
            raise InputError(f"{found}; expected at least one base inside it, and a margin of 0 or more")
        first = max(0, start - margin)
        ids = self.encode(codes[first : end + margin])
        edges = self.offsets(ids) + first
        inside = slice(np.searchsorted(edges[1:], start, side="right"), np.searchsorted(edges[:-1], end))
        return ids[inside], int(edges[inside.start])

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json``, which ``tokenizers`` and ``transformers`` read and encode with alike."""
        plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        specials = [{"id": id, "content": token} | plain | {"special": True} for id, token in enumerate(SPECIALS)]
        # The library has no upper-casing of its own; soft-masked sequence comes in lower case.
        capitals = [{"type": "Replace", "pattern": {"String": base.lower()}, "content": base} for base in BASES]
        content = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": specials,
            "normalizer": {"type": "Sequence", "normalizers": capitals},
            "pre_tokenizer": self._pre_tokenizer(),
            "post_processor": None,
            "decoder": {"type": "Fuse"},
            "model": self._model(),
        }
        write_json(path, content)

    def _pre_tokenizer(self) -> dict | None:
        return None

    def _model(self) -> dict:
        return {
            "type": "BPE",
            "dropout": None,
            # Without an unknown token the library drops an N and merges over the gap.
            "unk_token": SPECIALS[UNK],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": self._numbers,
            "merges": self.merges,
        }

    def save_for_transformers(self, folder: str | Path) -> None:
        """Write what ``AutoTokenizer`` of ``transformers`` reads: CLS before and SEP after each sequence."""
        path = Path(folder) / "tokenizer.json"
        self.save(path)
        ends = {name: [SPECIALS[number], number] for name, number in (("cls", CLS), ("sep", SEP))}
        write_json(path, read_json(path) | {"post_processor": {"type": "BertProcessing"} | ends})
        # Without this file a BERT's folder gets a tokenizer of words.
        roles = {f"{token.strip('[]').lower()}_token": token for token in SPECIALS}
        write_json(path.with_name("tokenizer_config.json"), {"tokenizer_class": "PreTrainedTokenizerFast"} | roles)

    @staticmethod
    def load(path: str | Path) -> Tokenizer:
        """Read a ``tokenizer.json`` that this package wrote: single bases, merges or k-mers."""
        tokenizer, numbers = load_foreign(path)
        if (numbers != np.arange(len(tokenizer))).any():
            raise InputError(
                f"{path}: {len(tokenizer)} tokens numbered otherwise than expected (0-4 PAD UNK CLS SEP MASK, "
                "5-8 A C G T, then merges or k-mers in order); train the tokenizer here"
            )
        return tokenizer

    @cached_property
    def _spelling(self) -> np.ndarray:
        return np.array(["", "N", "", "", "", *self.tokens[len(SPECIALS) :]], dtype=object)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Bases of each token, int64 [tokens]; of an UNK one, of the other special tokens none."""
        return np.array([len(letters) for letters in self._spelling])

    def _merge(self, codes: np.ndarray) -> np.ndarray:
        if len(self) < FIRST_BASE + len(BASES) + len(self.merges):
            # Where two merges spell alike, an earlier merge may come due again at each place by itself.
            return np.array(self._library.encode(decode(codes)).ids, dtype=np.int32)
        starts = range(0, max(1, len(codes) - _OVERLAP), _BLOCK)
        if len(starts) == 1:
            return self._merge_at_once(codes)
        with ThreadPoolExecutor(cores()) as pool:
            parts = (codes[start : start + _BLOCK + _OVERLAP] for start in starts)
            blocks = list(pool.map(self._merge_at_once, parts))
        # Two encodings may be joined before a token that both have: what is merged, and when, within two tokens side
        # by side depends on nothing outside them, so that a row of tokens of which each two are rightly encoded is so.
        for number, start in enumerate(starts[1:]):
            tail, head = blocks[number][-_OVERLAP:], blocks[number + 1][:_OVERLAP]
            begins = start + _OVERLAP - self.lengths[tail].sum() + self.offsets(tail)
            _, left, right = np.intersect1d(begins[:-1], start + self.offsets(head)[:-1], return_indices=True)
            alike = np.flatnonzero(tail[left] == head[right])
            if not len(alike):
                return self._merge_at_once(codes)
            blocks[number] = blocks[number][: len(blocks[number]) - len(tail) + left[alike[0]]]
            blocks[number + 1] = blocks[number + 1][right[alike[0]] :]
        return np.concatenate(blocks)

    def _merge_at_once(self, codes: np.ndarray) -> np.ndarray:
        from dnastudy.tokens.merging import merge_all

        return merge_all(
            np.pad(single_base_ids(codes).astype(np.uint16), 1, constant_values=UNK), self._rows, len(self)
        )

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    @cached_property
    def _rows(self) -> np.ndarray:
        """Ids of each merge's parts and of what it makes, int64 [merges, 3]."""
        rows = [[self._numbers[part] for part in (left, right, left + right)] for left, right in self.merges]
        return np.array(rows, dtype=np.int64)

    @cached_property
    def _library(self):
        from tokenizers import Tokenizer as Library
        from tokenizers import models

        return Library(models.BPE(self._numbers, self.merges, unk_token=SPECIALS[UNK]))


def load_foreign(path: str | Path) -> tuple[Tokenizer, np.ndarray]:
    """Read a ``tokenizer.json`` with the tokens of this package, in whatever order it numbers them."""
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict):
        raise InputError(f"{path}: no model with a vocabulary in it; expected a tokenizer.json of this study")
    try:
        tokenizer = _from_model(model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    odd = vocabulary.keys() ^ set(tokenizer.tokens)
    if odd:
        token = min(odd)
        found = "is made by no merge" if token in vocabulary else "isn't in its vocabulary"
        raise InputError(
            f"{path}: {token} {found}; expected {', '.join(SPECIALS)}, A, C, G, T and what the merges make "
            "(or all k-mers), no more and no less"
        )
    numbers = [vocabulary[token] for token in tokenizer.tokens]
    if not all(type(number) is int and number >= 0 for number in numbers) or len(set(numbers)) < len(numbers):
        raise InputError(f"{path}: ids in its vocabulary aren't whole numbers, each its own; get the file again")
    return tokenizer, np.array(numbers, dtype=np.int64)


def cores() -> int:
    """How many cores this process may use; where the system doesn't say, all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def single_base() -> Tokenizer:
    """The tokenizer of the causal models: the nine ids that every tokenizer here begins with."""
    return Tokenizer()


def _from_model(model: dict) -> Tokenizer:
    """The tokenizer that the ``model`` part of a ``tokenizer.json`` describes."""
    if model.get("type") == "BPE":
        return Tokenizer(model.get("merges"))
    if model.get("type") == "WordLevel":
        return KmerTokenizer(max((len(token) for token in model["vocab"] if token not in SPECIALS), default=1))
    raise InputError(f"model type {model.get('type')!r}; expected one of BPE, WordLevel")


def _pair(merge: tuple[str, str] | list[str] | str) -> tuple[str, str]:
    # Files written before tokenizers 0.20 keep a merge as "A C".
    pair = merge.split(" ") if isinstance(merge, str) else merge
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
        raise InputError(f"merge {merge!r}; expected two tokens")
    return pair[0], pair[1]


class KmerTokenizer(Tokenizer):
    """Every run of known bases cut into k-mers from its start; a tail shorter than ``k`` goes base by base.

    Ids 0-8 are those of every tokenizer here; the 4^k k-mers follow in alphabetical order (for k = 1 the
    bases themselves serve).
    """

    def __init__(self, k: int):
        if k not in range(1, 7):
            raise InputError(f"k-mers of k = {k}; expected 1 to 6")
        super().__init__()
        self.k = k
        if k > 1:
            self.tokens += tuple("".join(letters) for letters in product(BASES, repeat=k))

    def encode(self, sequence: str | np.ndarray) -> np.ndarray:
        """Token ids (int32, [n tokens]) of a string or base codes (uint8, [n]), no special tokens added."""
        codes = as_codes(sequence)
        ids = single_base_ids(codes)
        if self.k == 1:
            return ids
        begins, ends = true_runs(codes < 4).T
        whole = (ends - begins) // self.k
        starts = np.repeat(begins - self.k * (np.cumsum(whole) - whole), whole) + self.k * np.arange(whole.sum())
        # Each k-mer's number stands at its first base; the bases that it swallows are dropped.
        ids[starts] = FIRST_BASE + len(BASES) + kmers_at(codes, starts, self.k)
        swallowed = starts[:, None] + np.arange(1, self.k)
        return np.delete(ids, swallowed)

    def _pre_tokenizer(self) -> dict:
        pattern = {"Regex": f"[ACGT]{{{self.k}}}|[\\s\\S]"}
        return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}

    def _model(self) -> dict:
        return {"type": "WordLevel", "vocab": self._numbers, "unk_token": SPECIALS[UNK]}
