"""Draw what vocabularies are like: each function takes a table and returns the Axes it drew on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from scipy.stats import spearmanr

from dnastudy.genes.codes import UNKNOWN, decode, encode, reverse_complement
from dnastudy.study.figures import FLOOR, PROTOCOLS
from dnastudy.tokens.statistics import bases_per_token, known_stretches
from dnastudy.tokens.tokenizer import BASES, SPECIALS, Tokenizer


def draw_vocabularies(statistics: pd.DataFrame) -> Axes:
    """Bases a token against vocabulary size, a line a kind, with the bound of equally frequent tokens.

    Columns: tokens (vocabulary size), bases_per_token, kind.
    """
    axes = plt.subplots()[1]
    sizes = np.geomspace(4, statistics["tokens"].max() * 1.2, 50)
    axes.plot(sizes, np.log(sizes) / np.log(4), color=FLOOR, ls="--", label="k-mers: log₄ of the size")
    for (kind, part), marker in zip(statistics.groupby("kind", sort=False), itertools.cycle("osd^v")):
        axes.plot(part["tokens"], part["bases_per_token"], f"{marker}-", ms=5, label=kind)
    axes.set(xscale="log", xlabel="tokens in the vocabulary", ylabel="bases a token")
    axes.legend()
    return axes


def draw_lengths(lengths: pd.DataFrame) -> Axes:
    """Tokens of each length, of the vocabulary and in the sequence, a line a vocabulary.

    Columns: vocabulary, length (bases), tokens (how many there are), bases (share of the sequence's).
    """
    panels = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")[1]
    names = list(dict.fromkeys(lengths["vocabulary"]))
    for (name, part), shade in zip(lengths.groupby("vocabulary", sort=False), _shades(len(names)), strict=True):
        there = part[part["tokens"] > 0]
        panels[0].plot(there["length"], there["tokens"] / there["tokens"].sum(), "o-", ms=3, color=shade, label=name)
        panels[1].plot(part["length"], part["bases"], "o-", ms=3, color=shade, label=name)
    panels[0].set(ylabel="share of the vocabulary")
    panels[1].set(ylabel="share of the sequence's bases")
    for axes in panels:
        axes.set(xscale="log", xlabel="length of the token (bases)")
        axes.set_xticks([1, 2, 5, 10, 20, 50], [1, 2, 5, 10, 20, 50])
    panels[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return panels[0]


def draw_ranks(counts: pd.DataFrame) -> Axes:
    """Zipf plot: share of each token by its rank; the lines of the second kind are dashed.

    Columns: vocabulary, kind, rank, share.
    """
    axes = plt.subplots()[1]
    for (_, kind), dashes in zip(counts.groupby("kind", sort=False), ("-", "--"), strict=False):
        parts = list(kind.groupby("vocabulary", sort=False))
        for (name, part), shade in zip(parts, _shades(len(parts)), strict=True):
            drawn = part[np.isin(part["rank"], np.geomspace(1, len(part), 120).round())]  # more can't be told apart
            axes.plot(drawn["rank"], drawn["share"], dashes, color=shade, label=name)
    axes.set(xscale="log", yscale="log", xlabel="rank of the token", ylabel="share of all tokens")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return axes


def draw_first_letters(letters: pd.DataFrame) -> Axes:
    """Which letter tokens begin with, by the number of merges, and how often each letter comes (dotted).

    Columns: merges, base, share (of tokens), composition (share of the sequence's bases).
    """
    axes = plt.subplots()[1]
    for (base, part), shade in zip(letters.groupby("base"), PROTOCOLS, strict=True):
        axes.plot(part["merges"], part["share"], "o-", color=shade, label=base)
        axes.axhline(part["composition"].iloc[0], color=shade, ls=":", lw=1.5)
    axes.set(xscale="log", xlabel="merges", ylabel="share of tokens that begin with it", ylim=(0, None))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def draw_kept(pairs: pd.DataFrame) -> Axes:
    """Heat map of how often tokens keep two letters together, those kept most on the left.

    Columns: merges, dinucleotide, kept (share).
    """
    kept = pairs.pivot(index="merges", columns="dinucleotide", values="kept")
    kept = kept[kept.iloc[-1].sort_values(ascending=False).index]
    axes = plt.subplots(figsize=(8, 1 + 0.36 * len(kept)))[1]
    sns.heatmap(
        kept * 100, cmap="cividis", vmin=0, vmax=100, annot=True, fmt=".0f", annot_kws={"size": 8}, cbar=False, ax=axes
    )
    axes.set(xlabel="two letters in a row (% inside one token)", ylabel="merges")
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    return axes


def draw_repeats(tokens: pd.DataFrame, average: float) -> Axes:
    """Share of each token in repeats by its length, and that of the whole sequence.

    Columns: length (bases), in_repeats, gc.
    """
    axes = plt.subplots()[1]
    spread = np.random.default_rng(0).uniform(-0.3, 0.3, len(tokens))
    points = axes.scatter(tokens["length"] + spread, tokens["in_repeats"], 16, tokens["gc"], cmap="coolwarm", alpha=0.8)
    axes.axhline(average, color=FLOOR, ls=":", lw=1)
    axes.annotate(
        "whole sequence", (1, average), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=FLOOR
    )
    axes.figure.colorbar(points, label="G + C in the token")
    axes.set(xlabel="length of the token (bases)", ylabel="share of its bases in repeats", ylim=(-0.02, 1.02))
    return axes


def draw_agreement(agreement: pd.DataFrame) -> Axes:
    """How far pairs of vocabularies agree, by their size. Columns: pair, n, jaccard."""
    axes = plt.subplots()[1]
    for (name, part), marker in zip(agreement.groupby("pair", sort=False), itertools.cycle("osd^v")):
        axes.plot(part["n"], part["jaccard"], f"{marker}-", ms=5, label=name)
    axes.set(
        xscale="log", xlabel="first n learnt tokens", ylabel="tokens in both\nover tokens in either", ylim=(0, 1.02)
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return axes


def draw_edges(edges: pd.DataFrame) -> Axes:
    """Share of tokens that a cut changes, by distance from it. Columns: vocabulary, side, distance (bases), differs."""
    axes = plt.subplots()[1]
    names = list(dict.fromkeys(edges["vocabulary"]))
    for (name, part), shade in zip(edges.groupby("vocabulary", sort=False), _shades(len(names)), strict=True):
        for side, dashes in (("left", "-"), ("right", "--")):
            line = part[(part["side"] == side) & (part["differs"] > 0)]
            axes.plot(line["distance"], line["differs"], dashes, color=shade, label=f"{name}, {side} end")
    axes.set(yscale="log", xlabel="distance from the cut (bases)", ylabel="share of tokens that differ")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return axes


def _shades(count: int) -> list:
    """Colours for so many things in order, small to large."""
    return list(plt.get_cmap("viridis")(np.linspace(0, 0.92, count)))


def length_distribution(statistics: pd.DataFrame) -> pd.DataFrame:
    """Tokens by length, from their `token_statistics`."""
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
    """Letters that tokens begin with, from their `token_statistics`."""
    bases = [(statistics["count"] * statistics["token"].str.count(base)).sum() for base in BASES]
    shares = [statistics["share"][statistics["first"] == base].sum() for base in BASES]
    return pd.DataFrame({"base": list(BASES), "share": shares, "composition": np.array(bases) / max(sum(bases), 1)})


def dinucleotides_kept(tokenizer: Tokenizer, ids: np.ndarray) -> pd.DataFrame:
    """How often the two bases of each dinucleotide lie in one token."""
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
    """How far two vocabularies agree in the first n tokens that they have learnt."""
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
    """What a tokenizer does with the two strands of a sequence (base codes, uint8, [n])."""
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
    """Compare the tokens of random stretches, cut out with a margin, with those of the whole sequence."""
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
