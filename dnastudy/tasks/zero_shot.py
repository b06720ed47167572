"""Judge a site by a model that was never shown a label: what its flanks lose with it, and how likely it is itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN, decode, encode, reverse_complement
from dnastudy.genes.variants import COLUMNS
from dnastudy.models.base import CausalModel
from dnastudy.models.bert import Bert
from dnastudy.models.pooled import batches
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, MASK, SEP, UNK, Tokenizer

FLANK_NEAR = 30  # bases on each side of a core whose tokens a BERT is to restore
SURROUNDINGS = 20  # bases on each side of a changed one whose tokens are compared
_SITES_AT_ONCE = 2048  # sequences whose bases' likelihoods are held at once
NEAR, FAR = 50, 500  # bases between a variant and its control
_TOGETHER = 256  # variants scored at once
_MARGIN = 100  # bases each side of a window, without which a cut would make its outer tokens (GROVER's model card)


def occlusion(
    model: CausalModel | Bert, codes: Sequence[np.ndarray], cores: np.ndarray, *, replacements: int = 4, seed: int = 0
) -> np.ndarray:
    """How much less likely the flanks of a core become once random bases of the sequence stand in its place.

    That is log p(flanks | core) - log p(flanks | other core), averaged over other cores and both strands: float64 [n].
    Of a BERT, the tokens within 30 bases of the core are masked, all at once, and the log-probabilities of what stood
    there added up. Core and flanks are made into tokens apart, so that the flanks' are the same whatever the core.
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
    """Log-probability of the core given the flank before it, per known base, mean of both strands: float64 [n].

    Of a BERT that of the core's tokens, masked all at once, given both flanks.
    """
    cores = _checked(codes, cores)
    known = [np.count_nonzero(one[start:end] < UNKNOWN) for one, (start, end) in zip(codes, cores, strict=True)]
    return _both_strands(model, codes, cores, inside=True) / np.maximum(known, 1)


def _both_strands(model, codes: Sequence[np.ndarray], cores: np.ndarray, *, inside: bool) -> np.ndarray:
    """Log-probability of the bases inside the cores, or of those outside, as the mean of both strands: float64 [n]."""
    score = _masked_flanks if model.kind == "bert" else _causal_flanks
    lengths = np.array([len(one) for one in codes], dtype=np.int64)
    opposite = lengths[:, None] - cores[:, ::-1]
    totals = np.zeros(len(codes))
    for start in range(0, len(codes), _SITES_AT_ONCE):
        some = slice(start, start + _SITES_AT_ONCE)
        turned = [reverse_complement(one) for one in codes[some]]
        totals[some] = score(model, codes[some], cores[some], inside) + score(model, turned, opposite[some], inside)
    return totals / 2


def _causal_flanks(model: CausalModel, codes: Sequence[np.ndarray], cores: np.ndarray, inside: bool) -> np.ndarray:
    """Sums of the log-probabilities of bases inside the cores, or outside, given all before: float64 [n]."""
    scored = zip(model.base_log_likelihoods(codes), cores, strict=True)
    chosen = [one[start:end] if inside else np.delete(one, slice(start, end)) for one, (start, end) in scored]
    return np.array([np.nansum(values, dtype=np.float64) for values in chosen])


def _masked_flanks(model: Bert, codes: Sequence[np.ndarray], cores: np.ndarray, inside: bool) -> np.ndarray:
    """Sums of the log-probabilities of the cores' tokens, or of those next to them, all masked: float64 [n]."""
    rows, hidden = zip(*(_tokens(model, *one, inside) for one in zip(codes, cores, strict=True)), strict=True)
    totals = np.zeros(len(codes))
    masked = [np.where(mask, MASK, ids) for ids, mask in zip(rows, hidden, strict=True)]
    for chosen, logits in _masked_logits(model, masked):
        wanted = torch.from_numpy(np.concatenate([rows[number][hidden[number]] for number in chosen]))
        logs = logits[:, FIRST_BASE:].double().log_softmax(-1).cpu()
        logs = logs.gather(1, wanted[:, None] - FIRST_BASE)[:, 0].numpy()
        places = np.repeat(chosen, [hidden[number].sum() for number in chosen])
        totals += np.bincount(places, weights=logs, minlength=len(codes))
    return totals


def _tokens(model: Bert, codes: np.ndarray, core: np.ndarray, inside: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tokens between CLS and SEP, int64 [positions], and which of them are to be masked, bool [positions]."""
    start, end = core
    left, core, right = map(model.tokenizer.encode, (codes[:start], codes[start:end], codes[end:]))
    room = model.context - 2 - len(core)
    if room < 0:
        raise InputError(f"a core of {len(core)} tokens; the model sees {model.context}, CLS and SEP included")
    before = min(len(left), max(room // 2, room - len(right)))
    left, right = left[len(left) - before :], right[: room - before]
    lengths = model.tokenizer.lengths
    near_left = lengths[left][::-1].cumsum()[::-1] - lengths[left] < FLANK_NEAR
    near_right = lengths[right].cumsum() - lengths[right] < FLANK_NEAR
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


class Hole(NamedTuple):
    """A token that was masked: the number of its sequence, its id, and the base at which it begins."""

    sequence: int
    token: int
    begin: int


def base_probabilities(model: Bert, sequences: Sequence[np.ndarray], cores: np.ndarray) -> np.ndarray:
    """Probability of each base at each place of a core, its token masked, length known: float64 [n, core, 4]."""
    tokenizer = model.tokenizer
    found = np.full((len(sequences), int(np.ptp(cores[0])), 4), np.nan)
    spellings = _spellings(tokenizer)
    for hole, logits in _restored(model, sequences, cores):
        start, length = cores[hole.sequence][0], int(tokenizer.lengths[hole.token])
        candidates, letters = spellings[length]
        nats = logits[candidates].astype(np.float64)
        shares = np.exp(nats - nats.max())
        places = hole.begin - start + np.arange(length)
        inside = (places >= 0) & (places < found.shape[1])
        found[hole.sequence, places[inside]] = (shares @ letters / shares.sum()).reshape(length, 4)[inside]
    return found


def token_log_likelihoods(
    model: Bert, sequences: Sequence[np.ndarray], cores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probability of each known token that has a base in a core, masked by itself: sequence, token, nats."""
    found = []
    for hole, logits in _restored(model, sequences, cores):
        possible = logits[FIRST_BASE:].astype(np.float64)
        found.append((hole.sequence, hole.token, possible[hole.token - FIRST_BASE] - np.logaddexp.reduce(possible)))
    sequence, token, nats = (np.array(column) for column in zip(*found, strict=True)) if found else [np.zeros(0)] * 3
    return sequence.astype(np.int64), token.astype(np.int64), nats.astype(np.float64)


def substitution_effects(model: Bert, codes: np.ndarray, start: int, end: int) -> np.ndarray:
    """How much less likely the tokens within 20 bases of each base are once it is another: float64 [bases, 4], nats."""
    places = np.repeat(np.arange(start, end), 4)
    bases = np.tile(np.arange(4, dtype=np.uint8), end - start)
    changed = np.tile(codes, (len(places), 1))
    changed[np.arange(len(places)), places] = bases
    cores = np.stack([(places - SURROUNDINGS).clip(0), (places + SURROUNDINGS + 1).clip(max=len(codes))], axis=1)
    sequence, _, nats = token_log_likelihoods(model, changed, cores)
    nats = np.bincount(sequence, weights=nats, minlength=len(changed)).reshape(-1, 4)
    own = np.take_along_axis(nats, codes[start:end, None].astype(np.int64), axis=1)
    return own - nats


def information(probabilities: np.ndarray) -> np.ndarray:
    """Bits by which each place is told, 2 minus the entropy of its base: float64, [...] of [..., 4]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 + np.where(probabilities > 0, probabilities * np.log2(probabilities), 0).sum(axis=-1)


def bits_gained(probabilities: np.ndarray, sites: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Bits by which a base is likelier than by composition alone: float64, [n, core]."""
    known = sites.astype(np.int64).clip(max=3)
    own = np.take_along_axis(probabilities, known[..., None], axis=-1)[..., 0]
    return np.log2(own / background[known])


def _spellings(tokenizer: Tokenizer) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By length: tokens of that many bases, and their letters as zeros and ones, float64, [tokens, length x 4]."""
    found = {}
    for length in set(tokenizer.lengths[FIRST_BASE:].tolist()) - {0}:
        ids = FIRST_BASE + np.flatnonzero(tokenizer.lengths[FIRST_BASE:] == length)
        letters = np.stack([encode(tokenizer.tokens[number]) for number in ids])
        found[length] = ids, (letters[..., None] == np.arange(4)).reshape(len(ids), -1).astype(np.float64)
    return found


def _masked_logits(
    model: Bert, rows: Sequence[np.ndarray], places: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Numbers of rows, a batch at a time, and the logits at all their masks, or at one place each: [masks, tokens]."""
    with model.evaluating():
        for chosen, ids in batches(model, rows):
            wanted = torch.eq(ids, MASK)
            if places is not None:
                asked = torch.from_numpy(places[chosen, None]).to(ids.device)
                wanted = torch.arange(ids.shape[1], device=ids.device) == asked
            yield chosen, model(ids, wanted)[0]


def _restored(model: Bert, sequences: Sequence[np.ndarray], cores: np.ndarray) -> Iterator[tuple[Hole, np.ndarray]]:
    """Mask each known token that has a base in a core by itself: where it was, and the logits there (float32)."""
    tokenizer, holes, rows = model.tokenizer, [], []
    for number, (codes, (start, end)) in enumerate(zip(sequences, cores, strict=True)):
        ids = tokenizer.encode(codes)
        edges = tokenizer.offsets(ids)
        for place in np.flatnonzero((edges[1:] > start) & (edges[:-1] < end) & (ids != UNK)):
            holes.append(Hole(number, int(ids[place]), int(edges[place])))
            rows.append(np.concatenate([[CLS], ids, [SEP]]).astype(np.int64))
            rows[-1][1 + place] = MASK
    if (longest := max(map(len, rows), default=0)) > model.context:
        raise InputError(
            f"a site and its flanks are {longest:,} tokens, CLS and SEP included, and the model's context is "
            f"{model.context:,}; take shorter flanks"
        )
    logits = np.zeros((len(rows), len(tokenizer)), dtype=np.float32)
    for chosen, found in _masked_logits(model, rows):
        logits[chosen] = found.cpu().numpy()
    return zip(holes, logits, strict=True)


class Window(NamedTuple):
    """A variant and what surrounds it on one strand, base codes (uint8)."""

    before: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    after: np.ndarray

    def opposite(self) -> Window:
        """The same on the other strand."""
        return Window(*map(reverse_complement, (self.after, self.ref, self.alt, self.before)))


def score_variants(
    model, genome: Mapping[str, np.ndarray], variants: pd.DataFrame, *, context: int = 512, progress: bool = False
) -> pd.DataFrame:
    """Log-likelihood ratio of the alleles of each variant, ALT over REF, in a window of the sequence.

    A causal model gives log p(window with ALT) - log p(window with REF). A BERT gives the ratio of the tokens that
    differ between the windows: masked if one (Meier et al. 2021), restored from left to right if several (Kauf &
    Ivanova 2023). The longer allele of an insertion or deletion pays for its bases: compare it with others as long.
    """
    masked = model.kind == "bert"
    rows = list(variants[COLUMNS].itertuples(index=False, name=None))
    scored = [np.empty((5, 0))]
    with tqdm(total=len(rows), unit=" variants", disable=None if progress else True) as bar:
        for start in range(0, len(rows), _TOGETHER):
            part = rows[start : start + _TOGETHER]
            reaches = [context + _MARGIN if masked else _reach(model, row, context) for row in part]
            forward = [_window(genome, *pair) for pair in zip(part, reaches, strict=True)]
            windows = forward + [window.opposite() for window in forward]
            found = _masked(model, windows, context) if masked else _causal(model, windows)
            ratios, left, right = found.reshape(3, 2, len(forward))
            seen = [np.minimum(left[0], right[1]), np.minimum(right[0], left[1])]
            scored.append(np.stack([ratios.mean(0), *ratios, *seen]))
            bar.update(len(forward))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["position"] += 1
    found = np.concatenate(scored, axis=1)
    table[["llr", "llr_forward", "llr_reverse"]] = found[:3].T
    table[["context_before", "context_after"]] = found[3:].T.astype(np.int64)
    return table


def matched_controls(
    genome: Mapping[str, np.ndarray], variants: pd.DataFrame, known: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """An unknown single-base variant 50 to 500 bases from each, of the same alleles between the same two bases."""
    taken = set(zip(known["contig"], known["position"], strict=True))
    rows = {}
    for number, row in enumerate(variants.itertuples()):
        codes, at = genome[row.contig], row.position
        if not (len(row.ref) == len(row.alt) == 1 and 0 < at < len(codes) - 1):
            continue
        first = max(1, at - FAR)
        near = codes[first - 1 : at + FAR + 2]
        three = np.lib.stride_tricks.sliding_window_view(near, 3)
        alike = first + np.flatnonzero((three == codes[at - 1 : at + 2]).all(1))
        places = [place for place in alike.tolist() if abs(place - at) >= NEAR and (row.contig, place) not in taken]
        if places:
            place = np.random.default_rng((seed, number)).choice(places)
            rows[row.Index] = (row.contig, place, f"{row.id} control", row.ref, row.alt)
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).astype({"position": np.int64})


def _reach(model, variant: tuple, context: int) -> int:
    """Bases on each side of a variant that a causal model can be given, or that make a difference to it."""
    if model.kind == "ngram":
        return min(context, model.order - 1)
    own, longest = getattr(model, "context", None), max(map(len, variant[3:]))
    if own is None:
        return context
    if longest > own:
        raise InputError(f"{variant[2]}: an allele of {longest} bases; the model sees {own}: leave it out")
    return min(context, (own - longest) // 2)


def _window(genome: Mapping[str, np.ndarray], variant: tuple, reach: int) -> Window:
    """A variant (contig, position, id, ref, alt) with ``reach`` bases each side, as far as the contig goes."""
    contig, position, name, ref, alt = variant
    codes, end = genome.get(contig), position + len(ref)
    here = "no such contig" if codes is None else decode(codes[max(0, position) : end])
    if here != ref:
        raise InputError(
            f"{name} at {contig}, position {position + 1:,}: expected {ref}, found {here or 'nothing'}; leave out what "
            "check_variants refuses"
        )
    before, after = codes[max(0, position - reach) : position], codes[end : end + reach]
    return Window(before, encode(ref), encode(alt), after)


def _causal(model, windows: list[Window]) -> np.ndarray:
    """Log-likelihood ratios from the variant on, and bases before and after it; float64 [3, n]."""
    if not hasattr(model, "base_log_likelihoods"):
        raise InputError(f"a {model.kind} model gives no likelihood of DNA; give an n-gram, lstm, gru, gpt or bert")
    sequences = [np.concatenate([w.before, allele, w.after]) for w in windows for allele in (w.alt, w.ref)]
    values = model.base_log_likelihoods(sequences)
    firsts = np.repeat([len(window.before) for window in windows], 2)
    sums = np.array([np.nansum(one[first:], dtype=np.float64) for one, first in zip(values, firsts, strict=True)])
    with np.errstate(invalid="ignore"):  # an n-gram never seen has no probability in either
        ratios = sums[::2] - sums[1::2]
    return np.array([ratios, firsts[::2], [len(window.after) for window in windows]])


def _masked(model, windows: list[Window], context: int) -> np.ndarray:
    """The same of a BERT, whose windows have a margin each side that isn't looked at."""
    rows: dict[tuple, int] = {}  # tokens and the place asked for; alleles of one token each share a row
    asked, seen = [], []
    for number, window in enumerate(windows):
        around, alleles, bases = _differing(model, window, context)
        seen.append(bases)
        for sign, tokens in zip((1, -1), alleles, strict=True):
            for place, token in enumerate(tokens):
                hidden = [MASK] * (len(tokens) - place)
                row = np.concatenate([[CLS], around[0], tokens[:place], hidden, around[1], [SEP]]).astype(np.int64)
                which = rows.setdefault((row.tobytes(), 1 + len(around[0]) + place), len(rows))
                asked.append((number, sign, which, token))
    numbers, signs, which, tokens = np.array(asked, dtype=np.int64).reshape(-1, 4).T
    logs = np.empty((len(rows), len(model.tokenizer)), dtype=np.float32)
    places = np.array([place for _, place in rows], dtype=np.int64)
    for chosen, logits in _masked_logits(model, [np.frombuffer(row, dtype=np.int64) for row, _ in rows], places):
        logs[chosen] = logits.float().log_softmax(-1).cpu().numpy()
    weights = signs * logs[which, tokens].astype(np.float64)
    ratios = np.bincount(numbers, weights=weights, minlength=len(windows))
    return np.array([ratios, *zip(*seen, strict=True)])


def _differing(
    model, window: Window, context: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[int, int]]:
    """Tokens left and right of those that differ, those that do, of ALT and of REF, and the bases seen on each side."""
    encode = model.tokenizer.encode
    alt, ref = (encode(np.concatenate([window.before, one, window.after])) for one in (window.alt, window.ref))
    shorter = min(len(alt), len(ref))
    first = _agreeing(alt[:shorter], ref[:shorter])
    last = _agreeing(alt[::-1][: shorter - first], ref[::-1][: shorter - first])
    begin, end, stop = len(window.before), len(window.before) + len(window.ref), len(ref) - last
    edges = model.tokenizer.offsets(ref)
    left = first - np.searchsorted(edges[:first], begin - context)
    right = np.searchsorted(edges[stop + 1 :], end + context, side="right")
    room = model.context - 2 - max(len(alt), len(ref)) + first + last
    if room < 0:
        raise InputError(
            f"alleles that differ in {model.context - 2 - room} tokens; the model sees {model.context}, CLS and SEP "
            "included: leave out the longest"
        )
    left = min(left, max(room // 2, room - right))
    right = min(right, room - left)
    around = ref[first - left : first], ref[stop : stop + right]
    alleles = alt[first : len(alt) - last], ref[first:stop]
    return around, alleles, (begin - edges[first - left], edges[stop + right] - end)


def _agreeing(one: np.ndarray, other: np.ndarray) -> int:
    """How many of the first tokens of both, of one length, are the same."""
    return int(np.logical_and.accumulate(one == other).sum())
