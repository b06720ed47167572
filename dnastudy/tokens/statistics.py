"""What the tokens of a vocabulary are, how they stand in a sequence, and what a strand or a cut does to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import UNKNOWN, decode, encode, reverse_complement
from dnastudy.tokens.tokenizer import BASES, SPECIALS, UNK, Tokenizer, single_base_ids

if TYPE_CHECKING:
    import pandas as pd

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


def token_statistics(tokenizer: Tokenizer, ids: np.ndarray, repeats: np.ndarray | None = None) -> pd.DataFrame:
    """How often each token stands in ``ids``, and what it is made of.

    Parameters
    ----------
    tokenizer
        The tokenizer that made the ids.
    ids
        Token ids, int, [n].
    repeats
        Which bases of the encoded sequence lie in repeats, bool, [bases].

    Returns
    -------
    DataFrame [tokens that spell bases], by id, with: token; length (bases); count; share (of all such tokens
    in ``ids``); gc (share of G and C in the token); first (its first letter); and where ``repeats`` are given,
    in_repeats (share of the token's bases that lie in one, NaN where it never stands).
    """
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
    """Encode a sequence with beginnings of a vocabulary, in about the time that the longest of them takes.

    Parameters
    ----------
    codes
        Base codes, uint8, [n].
    sizes
        Numbers of merges, each at most the tokenizer's.

    Yields
    ------
    For each number, ascending: the number, the tokenizer with so many merges, and its token ids (int32, [tokens]).
    """
    from dnastudy.tokens.merging import merge_all

    if max(sizes, default=0) > len(tokenizer.merges):
        raise InputError(f"{max(sizes):,} merges of a tokenizer that has {len(tokenizer.merges):,}; give no more")
    numbers = {token: number for number, token in enumerate(tokenizer.tokens)}
    merges = [(numbers[left], numbers[right], numbers[left + right]) for left, right in tokenizer.merges]
    merges = np.array(merges, dtype=np.int64).reshape(-1, 3)
    alike = len(set(merges[:, 2])) < len(merges)
    ids, done = single_base_ids(codes), 0
    for size in sorted(sizes):
        shorter = Tokenizer(tokenizer.merges[:size])
        if alike:
            ids = shorter.encode(codes)
        else:
            # The merges of the next one go on where those of the last have ended.
            edged = np.full(len(ids) + 2, UNK, dtype=np.uint16)
            edged[1:-1] = ids
            ids, done = merge_all(edged, merges[done:size], len(tokenizer)), size
        yield size, shorter, ids


def bases_per_token(tokenizer: Tokenizer, ids: np.ndarray) -> float:
    """Known bases over tokens in ``ids``, unknown bases left out of both; NaN where there are none."""
    return summarise(token_statistics(tokenizer, ids))["bases_per_token"]


def summarise(statistics: pd.DataFrame) -> dict[str, float]:
    """A vocabulary in a few numbers, from its `token_statistics`; NaN where no token stands in the sequence.

    Returns
    -------
    tokens (special ones aside) and used (those that stand in the sequence), and of those used: shortest, longest,
    mean_length (each once), five_mers, six_mers, with_CG (how many hold a CG), A_or_T_first (share that begins with A
    or T). Of all tokens of the sequence: bases_per_token, A_or_T_first_share, with_CG_share, entropy (bits a token),
    evenness (entropy over that of equally frequent tokens), bits_per_base (entropy over bases a token: the cost of
    tokens that are coded by their frequencies alone).
    """
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


def length_distribution(statistics: pd.DataFrame) -> pd.DataFrame:
    """Tokens by length, from their `token_statistics`.

    Returns
    -------
    length (1 to the longest that stands in the sequence), tokens (of the vocabulary, used ones), occurrences (share
    of the sequence's tokens), bases (share of its bases).
    """
    used = statistics[statistics["count"] > 0].assign(covered=lambda table: table["count"] * table["length"])
    by_length = used.groupby("length").agg(
        tokens=("token", "size"), occurrences=("share", "sum"), bases=("covered", "sum")
    )
    by_length = by_length.reindex(range(1, used["length"].max() + 1), fill_value=0)
    return by_length.assign(bases=by_length["bases"] / by_length["bases"].sum()).reset_index()


def by_rank(statistics: pd.DataFrame) -> pd.DataFrame:
    """Tokens that stand in the sequence, the commonest first, from their `token_statistics`: rank, token, share."""
    used = statistics[statistics["count"] > 0].sort_values("count", ascending=False, kind="stable")
    return used.assign(rank=range(1, len(used) + 1))[["rank", "token", "share"]].reset_index(drop=True)


def first_letters(statistics: pd.DataFrame) -> pd.DataFrame:
    """Letters that tokens begin with, from their `token_statistics`.

    Returns
    -------
    base; share (of the sequence's tokens, that begin with it); composition (share of its bases).
    """
    import pandas as pd

    bases = [(statistics["count"] * statistics["token"].str.count(base)).sum() for base in BASES]
    shares = [statistics["share"][statistics["first"] == base].sum() for base in BASES]
    return pd.DataFrame({"base": list(BASES), "share": shares, "composition": np.array(bases) / max(sum(bases), 1)})


def dinucleotides_kept(tokenizer: Tokenizer, ids: np.ndarray) -> pd.DataFrame:
    """How often the two bases of each dinucleotide lie in one token.

    Returns
    -------
    DataFrame [16]: dinucleotide; count (in the sequence that ``ids`` spell); kept (share inside a token).
    """
    import pandas as pd

    spellings = [encode(token) for token in tokenizer.tokens[len(SPECIALS) :]]
    edge = [UNKNOWN] * len(SPECIALS)
    first = np.array(edge + [codes[0] for codes in spellings], dtype=np.uint8)
    last = np.array(edge + [codes[-1] for codes in spellings], dtype=np.uint8)
    cut = np.bincount(5 * last[ids[:-1]] + first[ids[1:]], minlength=25).reshape(5, 5)[:4, :4]
    kept = np.zeros((4, 4), dtype=np.int64)
    for codes, count in zip(spellings, np.bincount(ids, minlength=len(tokenizer))[len(SPECIALS) :], strict=True):
        np.add.at(kept, (codes[:-1], codes[1:]), count)
    names = [left + right for left in BASES for right in BASES]
    total = (kept + cut).ravel()
    return pd.DataFrame({"dinucleotide": names, "count": total, "kept": kept.ravel() / np.where(total, total, np.nan)})


def agreement(first: Tokenizer, second: Tokenizer, sizes: Iterable[int]) -> pd.DataFrame:
    """How far two vocabularies agree in the first n tokens that they have learnt.

    Returns
    -------
    n; jaccard (tokens in both over tokens in either); rank_correlation (Spearman's, of the places at which the
    tokens in both were learnt; NaN for fewer than three). No row for an n that one of the two doesn't reach.
    """
    import pandas as pd
    from scipy.stats import spearmanr

    rows = []
    bases = len(SPECIALS) + len(BASES)
    ranks = [{token: rank for rank, token in enumerate(tokenizer.tokens[bases:])} for tokenizer in (first, second)]
    for n in sorted(sizes):
        if n > min(map(len, ranks)):
            break
        both = [token for token, rank in ranks[0].items() if rank < n and ranks[1].get(token, n) < n]
        places = [[rank[token] for token in both] for rank in ranks]
        correlation = spearmanr(*places).statistic if len(both) > 2 else np.nan
        rows.append((n, len(both) / (2 * n - len(both)), correlation))
    return pd.DataFrame(rows, columns=["n", "jaccard", "rank_correlation"])


def mirrored(tokenizer: Tokenizer) -> Tokenizer:
    """The vocabulary of the other strand: each merge's parts reverse-complemented, and so the other way round."""

    def mirror(token: str) -> str:
        return decode(reverse_complement(encode(token)))

    return Tokenizer([(mirror(right), mirror(left)) for left, right in tokenizer.merges])


def strand_cuts(tokenizer: Tokenizer, codes: np.ndarray) -> dict[str, float]:
    """What a tokenizer does with the two strands of a sequence (base codes, uint8, [n]).

    Returns
    -------
    forward, reverse (bases a token of the strand as given, and of its reverse complement); shared (share of the cuts
    between two known bases on the strand as given at which the other is cut too); chance (share of all places
    between two known bases at which the other is cut: what would be shared if the strands had nothing in common).
    """
    cuts = np.zeros((2, len(codes) + 1), dtype=bool)
    bases = []
    for number, strand in enumerate((codes, reverse_complement(codes))):
        ids = tokenizer.encode(strand)
        cuts[number, tokenizer.offsets(ids)] = True
        bases.append(bases_per_token(tokenizer, ids))
    inner = (codes[:-1] < UNKNOWN) & (codes[1:] < UNKNOWN)
    forward, backward = cuts[0, 1:-1][inner], cuts[1, ::-1][1:-1][inner]
    shared = (forward & backward).sum() / max(forward.sum(), 1)
    return {"forward": bases[0], "reverse": bases[1], "shared": shared, "chance": backward.sum() / max(inner.sum(), 1)}


def edge_effect(
    tokenizer: Tokenizer,
    codes: np.ndarray,
    ids: np.ndarray,
    *,
    length: int = 510,
    margins: Sequence[int] = (0, 100),
    count: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the tokens of random stretches, cut out with a margin, with those of the whole sequence.

    Parameters
    ----------
    codes, ids
        Base codes (uint8, [n]) of the whole, and its tokens.
    length, count
        Bases of a stretch, and how many stretches of known bases to draw.
    margins
        Bases of the surroundings that are encoded with a stretch (see `Tokenizer.encode_within`); 0: a bare cut.
    seed
        Of the draw.

    Returns
    -------
    DataFrame, a row each margin, stretch and token of the whole with a base in the stretch: margin, stretch, side
    ("left" or "right", of the nearer end), distance (bases from that end, 0 when it lies inside the token), differs
    (whether the stretch's own tokens don't have it).

    Raises
    ------
    InputError
        When there is no stretch of so many known bases.
    """
    import pandas as pd

    edges = tokenizer.offsets(ids)
    starts = known_stretches(codes, length, count, seed)
    rows = []
    for margin in margins:
        for number, start in enumerate(starts):
            end = start + length
            own, at = tokenizer.encode_within(codes, start, end, margin=margin)
            whole = slice(np.searchsorted(edges, start, side="right") - 1, np.searchsorted(edges, end))
            begins, ends = edges[:-1][whole], edges[1:][whole]
            own_begins = at + tokenizer.offsets(own)
            place = np.searchsorted(own_begins[:-1], begins).clip(max=len(own) - 1)
            same = (own_begins[place] == begins) & (own[place] == ids[whole])
            left, right = begins - start, end - ends
            near = np.where(left <= right, "left", "right")
            rows.append((margin, number, near, np.minimum(left, right).clip(0), ~same))
    sizes = [len(row[2]) for row in rows]
    columns = dict(zip(("margin", "stretch", "side", "distance", "differs"), zip(*rows, strict=True), strict=True))
    table = {name: np.repeat(columns[name], sizes) for name in ("margin", "stretch")}
    return pd.DataFrame(table | {name: np.concatenate(columns[name]) for name in ("side", "distance", "differs")})


def random_like(codes: np.ndarray, length: int, seed: int) -> np.ndarray:
    """Random base codes (uint8, [length]), each base drawn by itself, as frequent as in ``codes``."""
    counts = np.bincount(codes, minlength=4)[:4]
    return np.random.default_rng(seed).choice(4, length, p=counts / counts.sum()).astype(np.uint8)


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
