"""Give repeat intervals a family, a class and a strand by consensus sequences, and measure how often that is wrong."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.codes import reverse_complement
from dnastudy.genes.fasta import DAMAGED_GZIP, canonical_contig, damaged_gzip, is_gzip
from dnastudy.genes.intervals import check_inside, on_contigs

# Classes of NCBI's families, after RepeatMasker. A family that isn't here gives an interval its name, but no class.
FAMILIES = {
    "SINE/Alu": "Alu",
    "SINE/MIR": "MIR",
    "LINE/L1": "L1",
    "LTR": "THE1 MLT1 MSTAR MLT2B2 LTR1 LTR2 LTR3 LTR4 LTR5 LTR6 LTR7 LTR8 LTR9 LTR10 LTR11 LTR12 LTR13 LOR1 MER4 MER9 "
    "MER11A MER21 MER31 MER34 MER39 MER41",
    "DNA": "MER1 MER2 MER3 MER5 MER6 MER7 MER8 MER20 MER30 MER33 MER44C MER45 MER46 Mariner1 Tigger1 Tigger2",
    "satellite": "ALR BSR CER HSATI HSATII MER22 MSR1 SAR SN5 TAR1",
    "RNA": "7SK HY3",
}
SIMPLE, UNCLASSIFIED = "simple", "unclassified"
# RepeatMasker's own classes where these differ; the others that aren't named here have none of ours.
MASKER_CLASSES = {"LTR": "LTR", "DNA": "DNA", "Satellite": "satellite", "Simple_repeat": SIMPLE}
MASKER_CLASSES |= dict.fromkeys(("RNA", "rRNA", "scRNA", "snRNA", "srpRNA", "tRNA"), "RNA")
K = 8  # bases of a word that votes
BAND = 8  # a word votes for the two bands of 2 * BAND diagonals that hold its own
TOP = 2  # bands that are aligned
FEWEST = 20  # bases of an interval under the words that vote for a band, or it isn't aligned
LEAST = 24  # score of an alignment (match 1, mismatch -1, gap -2 a base) that gives a class
LONGEST_UNIT = 6  # bases of the unit of a simple repeat
PERIODIC = 0.75  # share of bases that a simple repeat has in common with itself one unit further


class _Index(NamedTuple):
    """Consensus sequences of both strands in a row, and where each word stands in them.

    ``text``: codes (uint8), 5 where unknown and between two. Sequence ``2 * f + s`` is family ``f`` on strand ``s``,
    from ``begins`` to the next one's. Word ``w`` stands at ``places[first[w] : first[w + 1]]``.
    """

    names: list[str]
    text: np.ndarray
    begins: np.ndarray
    places: np.ndarray
    first: np.ndarray


def classify_repeats(
    genome: Mapping[str, np.ndarray], intervals: pd.DataFrame, consensus: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Give each interval the family and strand that it aligns best with.

    An interval whose bases repeat themselves after 1 to 6 is "simple". Of any other, words of 8 bases vote for a
    family, a strand and a band of diagonals; the two bands with most bases under such words are aligned (Smith &
    Waterman 1981, within the band), and the better one counts from a score of 24.
    """
    index = _index(consensus)
    called = np.empty((len(intervals), 2), dtype=np.int64)
    places = pd.Series(np.arange(len(intervals)), index=intervals.index)
    for name, rows in intervals.groupby("contig", sort=False):
        starts, ends = rows["start"].to_numpy(np.int64), rows["end"].to_numpy(np.int64)
        called[places[rows.index]] = _classify(genome[name], starts, ends, index)
    return intervals.assign(**_describe(called, index))


def classification_error(
    consensus: Mapping[str, np.ndarray],
    lengths: np.ndarray,
    *,
    copies: int = 300,
    divergences: Sequence[float] = (0.05, 0.1, 0.2, 0.3),
    seed: int = 0,
) -> pd.DataFrame:
    """Classify diverged copies of known families, and their shuffled bases, which have none.

    A copy is a stretch of a family drawn among those of its class, on either strand. Of its bases the given share is
    hit: four in five are replaced by another base, the others lost or doubled. What is measured is how well these very
    families are told, not how many of a genome's repeats belong to them.
    """
    rng = np.random.default_rng(seed)
    index = _index(consensus)
    rows = []
    for divergence in divergences:
        shuffled = []
        for klass, names in FAMILIES.items():
            families = [name for name in names.split() if name in consensus]
            if not families:
                continue
            planted, strands = [], rng.integers(2, size=copies)
            for strand, length in zip(strands, rng.choice(lengths, copies), strict=True):
                whole = consensus[families[rng.integers(len(families))]]
                start = rng.integers(max(len(whole) - length, 0) + 1)
                copy = _diverge(whole[start : start + length], divergence, rng)
                planted.append(reverse_complement(copy) if strand else copy)
                shuffled.append(rng.permutation(copy))
            called = _describe(_classify_all(planted, index), index)
            right = called["klass"] == klass
            share = (called["strand"][right] == np.array(["+", "-"])[strands[right]]).mean() if right.any() else np.nan
            rows.append((klass, divergence, copies, *_shares(called["klass"], right), share))
        found = _describe(_classify_all(shuffled, index), index)["klass"]
        rows.append(("shuffled", divergence, len(shuffled), *_shares(found, found == UNCLASSIFIED), np.nan))
    return pd.DataFrame(
        rows, columns=["klass", "divergence", "copies", "right", "wrong", "unclassified", "strand"]
    ).sort_values(["klass", "divergence"], ignore_index=True)


def read_rmsk(path: str | Path, genome: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Read the repeats of UCSC's table rmsk (plain or gzip) that lie on a genome."""
    columns = {5: "contig", 6: "start", 7: "end", 9: "strand", 10: "family", 11: "kind", 12: "sort"}
    types = dict.fromkeys(columns, str) | {6: np.int64, 7: np.int64}
    try:
        with (gzip.open if is_gzip(path) else open)(path, "rb") as handle:
            titled = handle.peek(1)[:1] == b"#"  # as UCSC's table browser writes it
            options = {"sep": "\t", "header": None, "skiprows": int(titled), "usecols": list(columns)}
            table = pd.read_csv(handle, dtype=types, **options)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as repeats ({reason}); expected UCSC's table rmsk, 17 columns between tabs"
        ) from None
    table = table.rename(columns=columns)
    table.index += 1 + titled
    table["contig"] = table["contig"].map({name: canonical_contig(name) for name in table["contig"].unique()})
    table = on_contigs(table, genome, path)
    check_inside(table, genome, path)
    kind, sort = table["kind"].str.rstrip("?"), table["sort"].str.rstrip("?")
    klass = kind.map(MASKER_CLASSES).where(~kind.isin(["SINE", "LINE"]), kind + "/" + sort).fillna(UNCLASSIFIED)
    return table.assign(klass=klass)[["contig", "start", "end", "family", "klass", "strand"]].reset_index(drop=True)


def _index(consensus: Mapping[str, np.ndarray]) -> _Index:
    sequences = [each for codes in consensus.values() for each in (codes, reverse_complement(codes))]
    text = np.concatenate([np.r_[each, 5] for each in sequences]).astype(np.uint8)
    text[text > 3] = 5
    words = np.lib.stride_tricks.sliding_window_view(text, K)
    telling = (words <= 3).all(axis=1)
    for period in (1, 2, 3):  # words of tandem repeats stand everywhere
        telling &= (words[:, period:] != words[:, :-period]).any(axis=1)
    places = np.flatnonzero(telling)
    keys = words[places] @ (4 ** np.arange(K)[::-1])
    order = np.argsort(keys, kind="stable")
    first = np.searchsorted(keys[order], np.arange(4**K + 1))
    begins = np.cumsum([0] + [len(each) + 1 for each in sequences])
    return _Index(list(consensus), text, begins, places[order], first)


def _describe(called: np.ndarray, index: _Index) -> dict[str, np.ndarray]:
    """Family, class and strand as words, of the sequence's number and the score (see `_call`)."""
    klass_of = {name: klass for klass, names in FAMILIES.items() for name in names.split()}
    families = np.array([*index.names, ""], dtype=object)
    classes = np.array([*(klass_of.get(name, UNCLASSIFIED) for name in index.names), UNCLASSIFIED], dtype=object)
    number, score = called.T
    known = (number >= 0) & (score >= LEAST)
    family = np.where(known, number // 2, -1)
    return {
        "family": families[family],
        "klass": np.where(number == -2, SIMPLE, classes[family]),
        "strand": np.where(known, np.array(["+", "-"])[number % 2], "."),
    }


def _classify_all(sequences: Sequence[np.ndarray], index: _Index) -> np.ndarray:
    ends = np.cumsum([len(each) for each in sequences])
    return _classify(np.concatenate(sequences), np.r_[0, ends[:-1]], ends, index)


def _classify(codes: np.ndarray, starts: np.ndarray, ends: np.ndarray, index: _Index) -> np.ndarray:
    return _call(codes, starts, ends, index.text, index.begins, index.places, index.first)


def _shares(found: np.ndarray, right: np.ndarray) -> tuple[float, float, float]:
    """Shares called right, wrong, and not at all."""
    none = found == UNCLASSIFIED
    return right.mean(), (~right & ~none).mean(), none.mean()


def _diverge(codes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Replace, lose and double bases."""
    hit = rng.random(len(codes)) < share
    fate = rng.random(len(codes))
    replaced = np.where(hit & (fate < 0.8) & (codes < 4), (codes + rng.integers(1, 4, len(codes))) % 4, codes)
    return np.repeat(replaced, np.where(hit & (fate >= 0.8), np.where(fate < 0.9, 0, 2), 1)).astype(np.uint8)


@numba.njit(cache=True)
def _call(codes, starts, ends, text, begins, places, first):
    """For each interval the number of the sequence that it aligns best with, and the score; -2 for a simple one."""
    shift = (ends - starts).max() + 4 * BAND if len(starts) else 0  # so that no diagonal is negative
    bands = (len(text) + shift) // BAND + 4
    cover, reached, touched = np.zeros(bands, np.int64), np.zeros(bands, np.int64), np.empty(bands, np.int64)
    places_of = np.empty(bands, np.int64)
    best = np.empty(TOP, np.int64)
    row = np.empty(2 * BAND + 2, np.int64)
    called = np.full((len(starts), 2), -1, np.int64)
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        if _is_simple(codes[start:end]):
            called[i, 0] = -2
            continue
        count = _vote(codes[start:end], places, first, shift, cover, reached, touched, places_of)
        _pick(cover, touched[:count], best)
        for band in best:
            if band < 0:
                continue
            number = np.searchsorted(begins, places_of[band], side="right") - 1
            score = _align(codes[start:end], text, begins[number], begins[number + 1] - 1, band * BAND - shift, row)
            if score > called[i, 1]:
                called[i] = number, score
        cover[touched[:count]] = 0
    return called


@numba.njit(cache=True)
def _is_simple(codes):
    for period in range(1, LONGEST_UNIT + 1):
        same = 0
        for i in range(period, len(codes)):
            same += codes[i] == codes[i - period] and codes[i] < 4
        if same >= PERIODIC * (len(codes) - period) and len(codes) > 2 * period:
            return True
    return False


@numba.njit(cache=True)
def _vote(codes, places, first, shift, cover, reached, touched, places_of):
    """Add up, for each band of diagonals, the bases under words found in it; give the number of bands touched."""
    count = key = known = 0
    for i in range(len(codes)):
        if codes[i] > 3:
            known = 0
            continue
        key = ((key << 2) | codes[i]) & ((1 << 2 * K) - 1)
        known += 1
        if known < K:
            continue
        at = i + 1 - K
        for hit in range(first[key], first[key + 1]):
            upper = (places[hit] - at + shift) // BAND
            for band in (upper, upper - 1):
                if cover[band] == 0:
                    touched[count] = band
                    count += 1
                    reached[band] = at
                cover[band] += max(i + 1 - max(reached[band], at), 0)
                reached[band] = i + 1
                places_of[band] = places[hit]
    return count


@numba.njit(cache=True)
def _pick(cover, touched, best):
    """The bands with most bases, at least `FEWEST`, of which no two overlap; -1 where there are fewer."""
    for rank in range(len(best)):
        best[rank] = -1
        most = FEWEST - 1
        for band in touched:
            near = False
            for other in best[:rank]:
                near |= other >= 0 and abs(other - band) < 2
            if cover[band] > most and not near:
                most = cover[band]
                best[rank] = band


@numba.njit(cache=True)
def _align(codes, text, low, high, diagonal, row):
    """Best local score of ``codes`` against ``text[low:high]`` within the band that begins at ``diagonal``."""
    width = len(row) - 1
    row[:] = 0
    best = 0
    for i in range(len(codes)):
        first = i + diagonal
        if first + width <= low or first >= high:
            continue
        skipped = max(low - first, 0)
        bases = text[first + skipped : min(high, first + width)]
        scores = row[skipped:]
        left = 0
        for place in range(len(bases)):
            score = scores[place] + (1 if codes[i] == bases[place] else -1)
            score = max(score, max(scores[place + 1], left) - 2, 0)
            scores[place] = left = score
            best = max(best, score)
    return best
