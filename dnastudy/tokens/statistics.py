"""What the tokens of a vocabulary are, how they stand in a sequence, and what a strand or a cut does to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN
from dnastudy.tokens.tokenizer import SPECIALS, Tokenizer

# Of GROVER's 600 merges on the human genome: Sanabria et al. 2024, Nature Machine Intelligence 6:911-923.
GROVER = {
    "used": 601,
    "bases_per_token": 4.07,
    "shortest": 1,
    "longest": 16,
    "five_mers": 213,
    "six_mers": 224,
    "with_CG": 0,
    "A_or_T_first": 0.97,
}


def token_statistics(tokenizer: Tokenizer, ids: np.ndarray, repeats: np.ndarray | None = None):
    """How often each token stands in ``ids``, and what it is made of, as a data frame by id."""
    import pandas as pd

    counts = np.bincount(ids, minlength=len(tokenizer))[len(SPECIALS) :]
    tokens = pd.Series(tokenizer.tokens[len(SPECIALS) :])
    table = pd.DataFrame({"token": tokens, "length": tokens.str.len(), "count": counts})
    table["share"] = counts / max(counts.sum(), 1)
    table["gc"] = tokens.str.count("[CG]") / table["length"]
    table["first"] = tokens.str[0]
    if repeats is not None:
        inside = np.add.reduceat(repeats, tokenizer.offsets(ids)[:-1], dtype=np.int64)
        covered = np.bincount(ids, weights=inside, minlength=len(tokenizer))[len(SPECIALS) :]
        table["in_repeats"] = covered / (table["count"] * table["length"]).where(counts > 0)
    return table.set_axis(np.arange(len(SPECIALS), len(tokenizer)), axis=0).rename_axis("id")


def encode_nested(
    tokenizer: Tokenizer, codes: np.ndarray, sizes: Iterable[int]
) -> Iterator[tuple[int, Tokenizer, np.ndarray]]:
    """Encode a sequence with beginnings of a vocabulary."""
    if max(sizes, default=0) > len(tokenizer.merges):
        raise InputError(f"{max(sizes):,} merges of a tokenizer that has {len(tokenizer.merges):,}; give no more")
    for size in sorted(sizes):
        shorter = Tokenizer(tokenizer.merges[:size])
        yield size, shorter, shorter.encode(codes)


def bases_per_token(tokenizer: Tokenizer, ids: np.ndarray) -> float:
    """Known bases over tokens in ``ids``, unknown bases left out of both; NaN where there are none."""
    return summarise(token_statistics(tokenizer, ids))["bases_per_token"]


def summarise(statistics) -> dict[str, float]:
    """A vocabulary in a few numbers, from its `token_statistics`; NaN where no token stands in the sequence."""
    used = statistics[statistics["count"] > 0]
    length, share = used["length"], used["share"]
    weak, cg = used["first"].isin(["A", "T"]), used["token"].str.contains("CG")
    bases = (share * length).sum() if len(used) else np.nan
    entropy = -(share * np.log2(share)).sum()
    return {
        "tokens": len(statistics),
        "used": len(used),
        "shortest": length.min(),
        "longest": length.max(),
        "mean_length": length.mean(),
        "five_mers": int((length == 5).sum()),
        "six_mers": int((length == 6).sum()),
        "with_CG": int(cg.sum()),
        "A_or_T_first": weak.mean(),
        "bases_per_token": float(bases),
        "A_or_T_first_share": share[weak].sum(),
        "with_CG_share": share[cg].sum(),
        "entropy": entropy,
        "evenness": entropy / np.log2(max(len(used), 2)),
        "bits_per_base": entropy / bases,
    }


def known_stretches(codes: np.ndarray, length: int, count: int, seed: int) -> np.ndarray:
    """Where random stretches of known bases start, int64, [count]."""
    unknown = np.flatnonzero(codes >= UNKNOWN)
    limits = np.concatenate([[-1], unknown, [len(codes)]])
    room = (np.diff(limits) - length).clip(0)  # places at which a stretch fits, by run of known bases
    if not room.sum():
        raise InputError(
            f"no stretch of {length:,} known bases in {len(codes):,}; give a longer sequence, or shorter ones"
        )
    drawn = np.random.default_rng(seed).integers(room.sum(), size=count)
    run = np.searchsorted(np.cumsum(room), drawn, side="right")
    return limits[run] + 1 + drawn - (np.cumsum(room) - room)[run]
