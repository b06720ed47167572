"""The mutation task: can a model tell a real gene from one with a few random edits?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes import Corpus
from dnastudy.genes.codes import as_codes, decode, known_bases, reverse_complement
from dnastudy.genes.sequences import check_sequence, read_table

GIVEN = ["ll_real", "ll_mutated"]
OPPOSITE = ["ll_real_opposite", "ll_mutated_opposite"]
KINDS = ("substitution", "insertion", "deletion")
LONGEST_GENE = 1000  # bases: Ihtiyar & Ozgur 2024 took no longer one
PAPER_COLUMNS = {
    "NCBIGeneID": "id",
    "RealNucleotideSequence": "real",
    "MutatedNucleotideSequence": "mutated",
}


def discriminate(
    model,
    real: Sequence[str],
    mutated: Sequence[str],
    *,
    score: Literal["perplexity", "probability"] = "perplexity",
    ties: float = 0.5,
    both_strands: bool = False,
) -> pd.DataFrame:
    """Score pairs: the model is right where the real sequence scores better than the mutated one.

    Each distinct sequence is scored once, so that a gene with many mutated copies costs one scoring.

    "probability" compares total nats, and so favours the shorter; an equal score counts ``ties``, 0 in Ihtiyar & Ozgur
    2024. DataFrame [n]: ll_real, ll_mutated (nats), bases_real, bases_mutated (scored bases), with ``both_strands``
    ll_real_opposite and ll_mutated_opposite, correct (0, ``ties`` or 1).
    """
    scored = _score(model, real, mutated)
    if both_strands:
        scored[OPPOSITE] = _score(model, _reversed(real), _reversed(mutated))[GIVEN]
    return scored.assign(correct=judge(scored, score=score, ties=ties, both_strands=both_strands))


def judge(
    scored: pd.DataFrame,
    *,
    score: Literal["perplexity", "probability"],
    ties: float = 0.5,
    both_strands: bool = False,
) -> np.ndarray:
    """Say of scored pairs whether the real one won: 1, 0, or ``ties`` where both scored alike; float64 [n]."""
    if score not in ("perplexity", "probability"):
        raise InputError(f"score {score!r}; expected 'perplexity' or 'probability'")
    real, mutated = scored[GIVEN].to_numpy().T
    if both_strands:
        real, mutated = (scored[GIVEN].to_numpy() + scored[OPPOSITE].to_numpy()).T / 2
    if score == "perplexity":
        real, mutated = real / scored["bases_real"].to_numpy(), mutated / scored["bases_mutated"].to_numpy()
    # Equal sums reached over different lengths differ by rounding alone.
    tied = np.isclose(real, mutated, rtol=1e-12, atol=0)
    return np.where(tied, ties, real > mutated).astype(np.float64)


def score_pairs(
    models: Mapping[str, object],
    pairs: pd.DataFrame,
    *,
    both_strands: bool = False,
    include_end: Collection[str] = (),
) -> pd.DataFrame:
    """Score the same pairs with several models."""
    pairs = pairs.reset_index(drop=True)
    backwards = [_reversed(pairs[name]) for name in ("real", "mutated")] if both_strands else []
    parts = []
    for name, model in models.items():
        end = name in include_end
        scored = _score(model, pairs["real"], pairs["mutated"], end)
        if both_strands:
            scored[OPPOSITE] = _score(model, *backwards, end)[GIVEN]
        parts.append(pairs.drop(columns=["real", "mutated"]).assign(model=name).join(scored))
    return pd.concat(parts, ignore_index=True)


def judge_pairs(scored: pd.DataFrame, *, ties: float = 0.5) -> pd.DataFrame:
    """Judge the pairs of `score_pairs` in each way there is."""
    how = {"perplexity": {"score": "perplexity"}, "probability": {"score": "probability"}}
    if OPPOSITE[0] in scored:
        how = {"both strands": {"score": "perplexity", "both_strands": True}} | how
    parts = [scored.assign(score=way, correct=judge(scored, ties=ties, **its)) for way, its in how.items()]
    return pd.concat(parts, ignore_index=True)


def strata_of_places(
    corpus: Corpus, places: Sequence[str], kinds: Sequence[str] = ("shared", "repeat", "cds")
) -> pd.DataFrame:
    """Say in which strata the changed bases of pairs lie."""
    bases = [np.array(pair.split(","), dtype=np.int64) for pair in places]
    parts = [pd.DataFrame({"places": places, "stratum": "all"})]
    for kind in kinds:
        if kind in set(corpus.intervals["kind"]):
            track = corpus.inside(kind)
            shares = np.array([track[pair].mean() for pair in bases])
            names = np.select([shares == 1, shares == 0], [kind, f"not {kind}"], f"partly {kind}")
            parts.append(pd.DataFrame({"places": places, "stratum": names}))
    return pd.concat(parts, ignore_index=True)


def _score(model, real: Sequence[str], mutated: Sequence[str], include_end: bool = False) -> pd.DataFrame:
    """Nats and known bases of pairs, each distinct sequence scored once."""
    if len(real) != len(mutated):
        raise InputError(f"{len(real)} real and {len(mutated)} mutated sequences; expected as many of both")
    number_of, distinct = pd.factorize(np.array([*real, *mutated], dtype=object))
    limit = getattr(model, "limit", None)  # a model of the published form scores no base after its last position
    bases = known_bases([sequence[:limit] for sequence in distinct])[number_of].reshape(2, -1)
    if not bases.all():
        pair = int(np.flatnonzero(~bases.all(axis=0))[0])
        raise InputError(f"pair {pair}: a sequence without A, C, G or T; expected at least one base to score")
    end = {"include_end": True} if include_end else {}
    nats = np.asarray(model.log_likelihood(list(distinct), **end), dtype=np.float64)[number_of].reshape(2, -1)
    columns = zip([*GIVEN, "bases_real", "bases_mutated"], [*nats, *(bases + include_end)], strict=True)
    return pd.DataFrame(dict(columns))


def _reversed(sequences: Sequence[str]) -> list[str]:
    return [decode(reverse_complement(as_codes(sequence))) for sequence in sequences]


def mutate(
    sequence: str, *, edits: int, kinds: Sequence[str] = KINDS, seed: int | Sequence[int], in_turn: bool = False
) -> str:
    """Put an exact number of random edits into a sequence.

    The edits are those of Ihtiyar & Ozgur 2024: each one's kind is drawn with equal chance, then its place,
    then its letter. A substitution puts one of the three other bases; an insertion puts any of
    the four into any gap, the two ends among them; a deletion takes one base out. Unlike theirs (``in_turn``),
    all places refer to the sequence as given, and no base is substituted or deleted twice, so that no edit
    undoes another; a draw that spells the sequence again (an A deleted, an A inserted beside it) is drawn anew.

    With ``in_turn`` each edit goes into what the one before it left, as in the paper: a base may be edited twice, and
    the real sequence may come back. Should no base be left, all is drawn anew. The copy is in upper case.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InputError(f"edit kinds {tuple(kinds)}; expected one or more of {', '.join(KINDS)}")
    known = np.count_nonzero(as_codes(sequence) < 4)
    room = known - ("deletion" in kinds)
    grows = set(kinds) == {"insertion"} or (in_turn and "insertion" in kinds and known > 0)
    if edits < 0 or (edits > room and not grows):
        raise InputError(
            f"{edits} edits in a sequence of {known} known bases; expected 0 to {max(room, 0)}: "
            "ask for fewer edits, or leave out the shortest sequences"
        )
    rng = np.random.default_rng(seed)
    real = sequence.upper()
    while True:
        drawn = rng.choice(list(kinds), edits)
        mutated = real
        for together in drawn[:, None] if in_turn else [drawn]:
            mutated = _edited(mutated, together, rng)
            if in_turn and not (as_codes(mutated) < 4).any():
                break  # nothing is left to edit, or to score: all is drawn anew
        else:
            if edits == 0 or in_turn or mutated != real:
                return mutated


def make_pairs(
    sequences: Sequence[str],
    *,
    edits: int | Sequence[int],
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    in_turn: bool = False,
) -> pd.DataFrame:
    """Pair each sequence with a mutated copy of itself.

    A sequence's edits depend on the seed and its own place in the list alone.
    """
    ids = [str(number) for number in range(len(sequences))] if ids is None else [str(name) for name in ids]
    if len(ids) != len(sequences):
        raise InputError(f"{len(ids)} ids for {len(sequences)} sequences; expected one a sequence")
    edits = np.broadcast_to(edits, len(ids))
    mutated = []
    for number, (name, sequence) in enumerate(zip(ids, sequences, strict=True)):
        try:
            mutated.append(mutate(sequence, edits=edits[number], kinds=kinds, seed=(seed, number), in_turn=in_turn))
        except InputError as error:
            raise InputError(f"sequence {name}: {error}") from None
    return pd.DataFrame(
        {
            "id": ids,
            "edits": edits,
            "kind": kinds[0] if len(kinds) == 1 else "mixed",
            "real": [sequence.upper() for sequence in sequences],
            "mutated": mutated,
        }
    )


def make_published_pairs(
    sequences: Sequence[str], *, most: int, draws: int = 1000, seed: int = 0, ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """Draw pairs as Ihtiyar & Ozgur 2024 did: genes with replacement, edits of mixed kinds one after another."""
    if not len(sequences) or most < 1:
        raise InputError(f"{len(sequences)} sequences, at most {most} edits; expected at least one of both")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(sequences), size=draws)
    ids = range(len(sequences)) if ids is None else ids
    return make_pairs(
        [sequences[number] for number in drawn],
        edits=rng.integers(1, most + 1, size=draws),
        seed=seed,
        ids=[ids[number] for number in drawn],
        in_turn=True,
    )


def substituted_places(pairs: pd.DataFrame, starts: Sequence[int]) -> list[str | None]:
    """Where the sequences of a pair differ, if they are of one length: coordinates between commas, else None; [n].

    ``starts`` are the coordinates of the sequences' first bases, [n].
    """
    places = []
    for real, mutated, start in zip(pairs["real"], pairs["mutated"], starts, strict=True):
        differ = np.flatnonzero(as_codes(real) != as_codes(mutated)) if len(real) == len(mutated) else []
        places.append(",".join(str(start + at) for at in differ) or None)
    return places


def make_variant_pairs(corpus: Corpus, placed: pd.DataFrame, *, length: int, seed: int = 0) -> pd.DataFrame:
    """Pair the sequence round each known variant with its alternative allele, and with two controls."""
    rows = []
    for number, variant in enumerate(placed.itertuples()):
        rng = np.random.default_rng((seed, number))
        left, right = corpus.offsets[[variant.gene, variant.gene + 1]]
        start = max(left, min(variant.place - length // 2, right - length))
        real = decode(corpus.all_codes[start : min(start + length, right)])
        at = variant.place - start
        changes = {
            "alternative allele": (at, variant.alt),
            "neither allele": (at, rng.choice([base for base in "ACGT" if base not in (variant.ref, variant.alt)])),
        }
        if others := [place for place, base in enumerate(real) if base == variant.ref and place != at]:
            changes["same change elsewhere"] = (rng.choice(others), variant.alt)
        for kind, (place, base) in changes.items():
            rows.append((variant.id, 1, kind, real, real[:place] + base + real[place + 1 :], variant.locus))
    return pd.DataFrame(rows, columns=["id", "edits", "kind", "real", "mutated", "locus"])


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read real and mutated sequences from a TSV or CSV file (plain or gz).

    Takes columns ``id``, ``real``, ``mutated`` and, where there, ``edits`` and ``kind``; or the columns of
    the human-genes paper (NCBIGeneID, RealNucleotideSequence, MutatedNucleotideSequence), whose sequences
    stand in angle brackets.
    """
    table = read_table(Path(path), "pairs").rename(columns=PAPER_COLUMNS)
    missing = [name for name in ("id", "real", "mutated") if name not in table]
    if missing:
        raise InputError(
            f"{path}: no column {missing[0]!r} among {', '.join(table.columns)}; expected id, "
            f"real, mutated or {', '.join(PAPER_COLUMNS)}"
        )
    if table.empty:
        raise InputError(f"{path}: a header and no pair; expected a real and a mutated sequence a line")
    for name in ("real", "mutated"):
        table[name] = table[name].str.strip().str.removeprefix("<").str.removesuffix(">").str.upper()
        for line, value in table[name].items():
            check_sequence(f"{path}, line {line}, column {name}", value)
    if "edits" not in table:
        table["edits"] = ""
    table["edits"] = _whole_numbers(path, table["edits"])
    if "kind" not in table:
        table["kind"] = "given"
    return table[["id", "edits", "kind", "real", "mutated"]].reset_index(drop=True)


def _edited(real: str, kinds: np.ndarray, rng: np.random.Generator) -> str:
    """One draw of places and letters for edits of the given kinds, applied."""
    codes = as_codes(real)
    sites = np.flatnonzero(codes < 4)
    letters = list(real)
    inserted: dict[int, str] = {}
    places = iter(rng.permutation(sites)[: np.count_nonzero(kinds != "insertion")].tolist())
    for kind in kinds:
        if kind == "insertion":
            gap = int(rng.integers(len(letters) + 1))
            inserted[gap] = inserted.get(gap, "") + "ACGT"[rng.integers(4)]
        elif kind == "substitution":
            site = next(places)
            letters[site] = "ACGT"[(codes[site] + rng.integers(1, 4)) % 4]
        else:
            letters[next(places)] = ""
    for gap, extra in inserted.items():
        if gap < len(letters):
            letters[gap] = extra + letters[gap]
    return "".join(letters) + inserted.get(len(letters), "")


def _whole_numbers(path: str | Path, column: pd.Series) -> pd.Series:
    """A text column of counts as nullable whole numbers; an empty cell is missing."""
    bad = column[~column.str.fullmatch(r"\d*")]
    if len(bad):
        line = bad.index[0]
        raise InputError(f"{path}, line {line}, column edits: {bad[line]!r}; expected a whole number or nothing")
    return column.replace("", None).astype("Int64")
