"""Judge a site by a model that was never shown a label: what its flanks lose with it, and how likely it is itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import UNKNOWN, reverse_complement
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, MASK, SEP

if TYPE_CHECKING:
    from dnastudy.models.base import CausalModel
    from dnastudy.models.bert import Bert

NEAR = 30  # bases on each side of a core whose tokens a BERT is to restore
_TOGETHER = 2048  # sequences whose bases' likelihoods are held at once


def occlusion(
    model: CausalModel | Bert, codes: Sequence[np.ndarray], cores: np.ndarray, *, replacements: int = 4, seed: int = 0
) -> np.ndarray:
    """How much less likely the flanks of a core become once random bases stand in its place.

    That is log p(flanks | core) - log p(flanks | other core), averaged over other cores and over both strands, since
    a causal model sees the core from the flank behind it alone, as far as its context reaches (as published, within
    the first 1,023 bases of the strand). Other cores are drawn from the sequence's own bases.

    A BERT has no likelihood. Its tokens within 30 bases of the core are masked, all at once, and the log-probabilities
    of what stood there are added up. Core and flanks are made into tokens by themselves, so that the flanks' are the
    same whatever the core; of more tokens than its context takes, those next to the core are seen.

    Parameters
    ----------
    model
        Any model of DNA.
    codes
        Base codes, uint8 [bases] each.
    cores
        Start and end of the core in each sequence (a motif, the border of an exon), int [n, 2].
    replacements
        How many other cores are drawn for each sequence.
    seed
        Of the draw; a sequence's own depends on it and on the sequence's number alone.

    Returns
    -------
    Nats, float64 [n]; positive where the flanks go with the core. Unknown bases aren't scored.

    Raises
    ------
    InputError
        When a core isn't inside its sequence or has more tokens than a BERT's context takes, no replacement is asked
        for, or the model is of other text.
    """
    if replacements < 1:
        raise InputError(f"occlusion: {replacements} replacements; expected at least one")
    cores = _checked(codes, cores)
    variants = []
    for number, (one, (start, end)) in enumerate(zip(codes, cores, strict=True)):
        known = one[one < UNKNOWN]
        rows = np.tile(one, (1 + replacements, 1))
        if len(known):
            rows[1:, start:end] = np.random.default_rng([seed, number]).choice(known, (replacements, end - start))
        variants += list(rows)
    flanks = _both_strands(model, variants, np.repeat(cores, 1 + replacements, axis=0), inside=False)
    flanks = flanks.reshape(len(codes), 1 + replacements)
    return flanks[:, 0] - flanks[:, 1:].mean(axis=1)


def site_likelihood(model: CausalModel | Bert, codes: Sequence[np.ndarray], cores: np.ndarray) -> np.ndarray:
    """Log-probability of the core given the flank before it, per known base, averaged over both strands.

    Of a BERT that of the core's tokens, masked all at once, given both flanks. The flank is seen as far as the context
    reaches; a core farther than 1,023 bases into a strand isn't scored there as published. Parameters and errors as in
    `occlusion`.

    Returns
    -------
    Nats a base, float64 [n]; 0 where the core has no known base.
    """
    cores = _checked(codes, cores)
    known = [np.count_nonzero(one[start:end] < UNKNOWN) for one, (start, end) in zip(codes, cores, strict=True)]
    return _both_strands(model, codes, cores, inside=True) / np.maximum(known, 1)


def _both_strands(
    model: CausalModel | Bert, codes: Sequence[np.ndarray], cores: np.ndarray, *, inside: bool
) -> np.ndarray:
    """Log-probability of the bases inside the cores, or of those outside, as the mean of both strands: float64 [n]."""
    score = _masked if model.kind == "bert" else _causal
    lengths = np.array([len(one) for one in codes], dtype=np.int64)
    opposite = lengths[:, None] - cores[:, ::-1]
    totals = np.zeros(len(codes))
    for start in range(0, len(codes), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        turned = [reverse_complement(one) for one in codes[some]]
        totals[some] = score(model, codes[some], cores[some], inside) + score(model, turned, opposite[some], inside)
    return totals / 2


def _causal(model: CausalModel, codes: Sequence[np.ndarray], cores: np.ndarray, inside: bool) -> np.ndarray:
    """Sums of the log-probabilities of bases inside the cores, or outside, given all before: float64 [n]."""
    scored = model.base_log_likelihoods(codes)
    chosen = [
        values[start:end] if inside else np.delete(values, slice(start, end))
        for values, (start, end) in zip(scored, cores, strict=True)
    ]
    return np.array([np.nansum(values, dtype=np.float64) for values in chosen])


def _masked(model: Bert, codes: Sequence[np.ndarray], cores: np.ndarray, inside: bool) -> np.ndarray:
    """Sums of the log-probabilities of the cores' tokens, or of those next to them, all masked: float64 [n]."""
    import torch

    from dnastudy.models.embed import batches

    rows, hidden = zip(
        *(_tokens(model, one, *core, inside) for one, core in zip(codes, cores, strict=True)), strict=True
    )
    totals = np.zeros(len(codes))
    with model.evaluating():
        for chosen, ids in batches(model, [np.where(mask, MASK, ids) for ids, mask in zip(rows, hidden, strict=True)]):
            wanted = torch.from_numpy(np.concatenate([rows[number][hidden[number]] for number in chosen]))
            logs = model(ids, torch.eq(ids, MASK))[0][:, FIRST_BASE:].double().log_softmax(-1).cpu()
            logs = logs.gather(1, wanted[:, None] - FIRST_BASE)[:, 0].numpy()
            totals += np.bincount(
                np.repeat(chosen, [hidden[number].sum() for number in chosen]), weights=logs, minlength=len(codes)
            )
    return totals


def _tokens(model: Bert, codes: np.ndarray, start: int, end: int, inside: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tokens between CLS and SEP, int64 [positions], and which of them are to be masked, bool [positions]."""
    left, core, right = map(model.tokenizer.encode, (codes[:start], codes[start:end], codes[end:]))
    room = model.context - 2 - len(core)
    if room < 0:
        raise InputError(f"a core of {len(core)} tokens; the model sees {model.context}, CLS and SEP included")
    before = min(len(left), max(room // 2, room - len(right)))
    left, right = left[len(left) - before :], right[: room - before]
    lengths = model.tokenizer.lengths
    near_left = lengths[left][::-1].cumsum()[::-1] - lengths[left] < NEAR
    near_right = lengths[right].cumsum() - lengths[right] < NEAR
    asked = [near_left & (not inside), np.full(len(core), inside), near_right & (not inside)]
    ids = np.concatenate([[CLS], left, core, right, [SEP]]).astype(np.int64)
    return ids, np.concatenate([[False], *asked, [False]]) & (ids >= FIRST_BASE)


def _checked(codes: Sequence[np.ndarray], cores: np.ndarray) -> np.ndarray:
    """The cores, int64 [n, 2], each within its sequence."""
    cores = np.asarray(cores, dtype=np.int64)
    if cores.shape != (len(codes), 2):
        raise InputError(f"cores of shape {cores.shape} for {len(codes)} sequences; expected a start and an end each")
    for number, (one, (start, end)) in enumerate(zip(codes, cores, strict=True)):
        if not 0 <= start < end <= len(one):
            raise InputError(
                f"sequence {number}: core {start} to {end} of {len(one)} bases; expected at least one base inside it"
            )
    return cores
