"""Next-k-mer prediction: where in contigs it is asked for, what is given, what is right, and what was seen before."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN, true_runs
from dnastudy.genes.kmers import shared_mask
from dnastudy.models.ngram import split_at
from dnastudy.tokens.statistics import known_stretches
from dnastudy.tokens.tokenizer import UNK, Tokenizer


def draw_examples(
    codes: np.ndarray, count: int, *, context: int = 50, most: int = 6, overlapping: bool = False, seed: int = 0
) -> np.ndarray:
    """Draw places at which the next bases are to be predicted from those before."""
    width = context + most
    if overlapping:
        return np.sort(known_stretches(codes, width, count, seed)) + context
    random = np.random.default_rng(seed)
    begins, ends = true_runs(codes < UNKNOWN).T
    slots = (ends - begins) // width
    if not slots.sum():
        raise InputError(
            f"no {width:,} known bases in a row in {len(codes):,} bases; give a longer sequence, or a shorter context"
        )
    # Side by side in each run of known bases, with what is left over shared between its two ends at random.
    first = begins + random.integers((ends - begins) - width * slots + 1)
    starts = np.repeat(first - width * (np.cumsum(slots) - slots), slots) + width * np.arange(slots.sum())
    return np.sort(random.choice(starts, min(count, len(starts)), replace=False)) + context


def check_classes(n: int, k: int) -> None:
    """Refuse to learn the 4^k k-mers from fewer than as many windows (`InputError`)."""
    if n < 4**k:
        raise InputError(
            f"{n:,} windows to learn {k}-mers from; expected at least {4**k:,}, one for each of the 4^{k} classes. "
            "Give more sequence, ask for more windows, or take a smaller k"
        )


def windows(codes: np.ndarray, places: np.ndarray, before: int, after: int = 0) -> np.ndarray:
    """Codes of ``before`` bases before each place and ``after`` from it on, unknown past the ends: uint8, [n, both]."""
    padded = np.pad(codes, (before, after), constant_values=UNKNOWN)
    return sliding_window_view(padded, before + after)[places]


def context_tokens(
    tokenizer: Tokenizer, codes: np.ndarray, places: np.ndarray, *, context: int = 50, margin: int = 100
) -> list[np.ndarray]:
    """Tokens of the bases before each place, made without a look at what is to be predicted.

    A bare cut makes tokens on the left that the whole sequence doesn't have, so that up to ``margin`` bases further
    left are encoded too, and their tokens dropped. Fixed k-mers are counted from the place backwards.
    """
    reach = context + margin
    stretches = windows(codes, places, reach)
    k = getattr(tokenizer, "k", 1)
    if margin and k > 1:
        columns = np.arange(reach)
        begins = np.where(stretches >= UNKNOWN, columns + 1, 0).max(axis=1, initial=0)
        stretches[columns < (begins + (reach - begins) % k)[:, None]] = UNKNOWN
    # One stream with an unknown base after each stretch, across which nothing merges.
    width = reach + 1
    ids = tokenizer.encode(np.pad(stretches, ((0, 0), (0, 1)), constant_values=UNKNOWN).ravel())
    edges = tokenizer.offsets(ids)
    rows, ends = edges[:-1] // width, edges[1:] % width
    given = (ids != UNK) & (ends > margin)
    return split_at(ids[given], np.bincount(rows[given], minlength=len(places)))


def blocks(places: np.ndarray, size: int = 1_000_000) -> np.ndarray:
    """The block of ``size`` bases that each place lies in, int64: what a bootstrap draws together."""
    return places // size


def seen_before(
    train_codes: np.ndarray, test_codes: np.ndarray, places: np.ndarray, *, context: int, most: int, k: int = 31
) -> np.ndarray:
    """Share of each window (see `windows`) that lies in ``k`` bases of the training contigs, on either strand."""
    held_out = windows(test_codes, places, context, most)
    codes = np.concatenate([train_codes, held_out.ravel()])
    offsets = np.append(0, len(train_codes) + held_out.shape[1] * np.arange(len(places) + 1))
    is_window = (np.arange(len(places) + 1) > 0).astype(np.uint8)
    # The other way round first, so that keys are kept of the little that both have, not of whole chromosomes.
    shared = shared_mask(codes, offsets, 1 - is_window, k=k)[: len(train_codes)]
    codes[: len(train_codes)][~shared] = UNKNOWN
    return shared_mask(codes, offsets, is_window, k=k)[len(train_codes) :].reshape(held_out.shape).mean(axis=1)
