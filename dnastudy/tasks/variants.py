"""How much likelier a model finds the alternative allele of a variant than the reference, with no training for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import decode, encode, reverse_complement
from dnastudy.genes.variants import COLUMNS
from dnastudy.tokens.tokenizer import CLS, MASK, PAD, SEP

if TYPE_CHECKING:
    import pandas as pd

NEAR, FAR = 50, 500  # bases between a variant and its control

_TOGETHER = 256  # variants scored at once
_MARGIN = 100  # bases each side of a window, without which a cut would make its outer tokens (GROVER's model card)


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

    A causal model (n-gram, LSTM, GRU, GPT) gives log p(window with ALT) - log p(window with REF), all that comes
    before the variant being alike. A BERT has no likelihood: it gives the ratio of the tokens that differ between the
    windows, masked, all others being seen. Where that is one token it is the masked marginal (Meier et al. 2021);
    several are restored from left to right (Kauf & Ivanova 2023), their number being known. Either way the longer
    allele of an insertion or deletion pays for its bases: compare it with others of the same length.

    Parameters
    ----------
    model
        Any model of DNA.
    genome
        Base codes (uint8) of each contig, by canonical name.
    variants
        contig, position (0-based), id, ref, alt, as `dnastudy.genes.check_variants` lets pass.
    context
        Bases before the variant and after it. There are fewer where the contig ends, and where all of them don't fit
        into the model's own context, in whose middle the variant lies then. A BERT sees whole tokens, an n-gram
        ``order - 1`` bases, farther than which an allele changes no likelihood.
    progress
        Show a bar on a terminal.

    Returns
    -------
    DataFrame, a row a variant: contig, position (1-based, as in VCF), id, ref, alt, llr (mean of both strands),
    llr_forward, llr_reverse (nats; NaN where the model holds both alleles impossible), context_before, context_after
    (bases that the model saw, on the strand where there are fewer).

    Raises
    ------
    InputError
        When REF isn't what the sequence has, an allele is longer than the model's own context, or the model has no
        likelihood.
    """
    import pandas as pd
    from tqdm import tqdm

    masked = model.kind == "bert"
    rows = list(variants[COLUMNS].itertuples(index=False, name=None))
    scored = [np.empty((5, 0))]
    with tqdm(total=len(rows), unit=" variants", disable=None if progress else True) as bar:
        for start in range(0, len(rows), _TOGETHER):
            part = rows[start : start + _TOGETHER]
            forward = [
                _window(genome, row, context + _MARGIN if masked else _reach(model, row, context)) for row in part
            ]
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
    """A random single-base variant near each one, with the same alleles between the same two bases.

    It lies 50 to 500 bases away, and where no known variant lies.

    Parameters
    ----------
    genome, variants
        As in `score_variants`.
    known
        contig, position (0-based) of all that is known, of which ``variants`` may be a few.
    seed
        Beside the variant's number in the table, what its place is drawn by.

    Returns
    -------
    DataFrame as ``variants``, indexed by the rows of ``variants`` that have a control. Those that are no single-base
    variants, lie at a contig's end, or have no such place near them have none.
    """
    import pandas as pd

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
    """Log-likelihood ratios, and bases before and after each variant; float64 [3, n].

    What comes before the variant is left out of both sums: it is the same, but for rounding.
    """
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
    logs = _restore(model, [(np.frombuffer(row, dtype=np.int64), place) for row, place in rows], which, tokens)
    ratios = np.bincount(numbers, weights=signs * logs, minlength=len(windows))
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


def _restore(model, rows: list[tuple[np.ndarray, int]], which: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Log-probability (float64 [n]) of each of ``tokens`` at the place asked for in the row that goes with it."""
    import torch

    from dnastudy.models.neural import positions_at_once

    logs = np.empty((len(rows), len(model.tokenizer)), dtype=np.float32)
    longest_first = np.argsort([-len(row) for row, _ in rows], kind="stable")
    with model.evaluating():
        while len(longest_first):
            width = len(rows[longest_first[0]][0])
            now, longest_first = np.split(longest_first, [max(1, positions_at_once(model) // width)])
            ids = torch.full((len(now), width), PAD)
            wanted = torch.zeros((len(now), width), dtype=torch.bool)
            for number, (row, place) in enumerate(rows[one] for one in now):
                ids[number, : len(row)] = torch.from_numpy(row.copy())
                wanted[number, place] = True
            logits, _ = model(ids.to(model.device), wanted.to(model.device))
            logs[now] = logits.float().log_softmax(-1).cpu().numpy()
    return logs[which, tokens].astype(np.float64)
