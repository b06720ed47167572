"""The mutation task: can a model tell a real gene from one with a few random edits?"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dnastudy.files import InputError
from dnastudy.tasks.likelihood import known_bases
from dnastudy.tokens.tokenizer import as_codes

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("substitution", "insertion", "deletion")
PAPER_COLUMNS = {
    "NCBIGeneID": "id",
    "RealNucleotideSequence": "real",
    "MutatedNucleotideSequence": "mutated",
}
NUCLEOTIDES = re.compile(r"[ACGTURYSWKMBDHVN]*", re.IGNORECASE)


def mutate(sequence: str, *, edits: int, kinds: Sequence[str] = KINDS, seed: int | Sequence[int]) -> str:
    """Put an exact number of random edits into a sequence.

    The edits are those of Ihtiyar & Ozgur 2024: each one's kind is drawn with equal chance, then its place,
    then its letter. A substitution puts one of the three other bases; an insertion puts any of
    the four into any gap, the two ends among them; a deletion takes one base out. Unlike theirs, all places
    refer to the sequence as given, and no base is substituted or deleted twice, so that no edit undoes
    another; a draw that spells the sequence again (an A deleted, an A inserted beside it) is drawn anew.

    Parameters
    ----------
    sequence
        The real sequence, in either case; it comes back in upper case. Only its known bases are substituted
        or deleted.
    edits
        How many edits, at least 0.
    kinds
        The kinds to draw from.
    seed
        The seed, or a sequence of integers that make one.

    Raises
    ------
    InputError
        When a kind is unknown or the sequence is too short for so many edits.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InputError(f"edit kinds {tuple(kinds)}; expected one or more of {', '.join(KINDS)}")
    codes = as_codes(sequence)
    sites = np.flatnonzero(codes < 4)
    room = len(sites) - ("deletion" in kinds)
    if edits < 0 or (set(kinds) != {"insertion"} and edits > room):
        raise InputError(
            f"{edits} edits in a sequence of {len(sites)} known bases; expected 0 to {max(room, 0)}: "
            "ask for fewer edits, or leave out the shortest sequences"
        )
    rng = np.random.default_rng(seed)
    real = sequence.upper()
    while True:
        mutated = _edited(real, codes, sites, rng.choice(list(kinds), edits), rng)
        if edits == 0 or mutated != real:
            return mutated


def make_pairs(
    sequences: Sequence[str],
    *,
    edits: int,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Pair each sequence with a mutated copy of itself.

    A sequence's edits depend on the seed and its own place in the list alone.

    Parameters
    ----------
    sequences
        Real sequences, [n].
    edits, kinds
        As in `mutate`.
    seed
        One seed for all the pairs.
    ids
        Names, [n]; None: their numbers.

    Returns
    -------
    DataFrame [n]: id, edits, kind (the one kind, or "mixed"), real, mutated.

    Raises
    ------
    InputError
        As `mutate`, naming the sequence; or when there isn't one id a sequence.
    """
    import pandas as pd

    ids = [str(number) for number in range(len(sequences))] if ids is None else [str(name) for name in ids]
    if len(ids) != len(sequences):
        raise InputError(f"{len(ids)} ids for {len(sequences)} sequences; expected one a sequence")
    mutated = []
    for number, (name, sequence) in enumerate(zip(ids, sequences, strict=True)):
        try:
            mutated.append(mutate(sequence, edits=edits, kinds=kinds, seed=(seed, number)))
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


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read real and mutated sequences from a TSV or CSV file (plain or gz).

    Takes columns ``id``, ``real``, ``mutated`` and, where there, ``edits`` and ``kind``; or the columns of
    the human-genes paper (NCBIGeneID, RealNucleotideSequence, MutatedNucleotideSequence), whose sequences
    stand in angle brackets.

    Returns
    -------
    DataFrame [n] as `make_pairs` gives it; where the file doesn't tell, ``edits`` is missing and ``kind`` is
    "given".

    Raises
    ------
    InputError
        When the file can't be read or lacks a column, or a line has too few fields or no nucleotide sequence.
    """
    table = _read_table(Path(path)).rename(columns=PAPER_COLUMNS)
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
            _check_sequence(f"{path}, line {line}, column {name}", value)
    if "edits" not in table:
        table["edits"] = ""
    table["edits"] = _whole_numbers(path, table["edits"])
    if "kind" not in table:
        table["kind"] = "given"
    return table[["id", "edits", "kind", "real", "mutated"]].reset_index(drop=True)


def discriminate(
    model,
    real: Sequence[str],
    mutated: Sequence[str],
    *,
    score: Literal["perplexity", "probability"] = "perplexity",
    ties: float = 0.5,
) -> pd.DataFrame:
    """Score pairs: the model is right where the real sequence scores better than the mutated one.

    Each distinct sequence is scored once, so that a gene with many mutated copies costs one scoring.

    Parameters
    ----------
    model
        A causal model (with ``log_likelihood``).
    real, mutated
        The pairs, [n] each.
    score
        "perplexity" compares nats a base; "probability" compares total nats, and so favours the shorter.
    ties
        What an equal score counts: a half here, 0 in Ihtiyar & Ozgur 2024.

    Returns
    -------
    DataFrame [n]: ll_real, ll_mutated (nats), bases_real, bases_mutated (known bases), correct (0, ``ties``
    or 1).

    Raises
    ------
    InputError
        When the lists differ in length, a score is unknown, or a sequence has no known base.
    """
    import pandas as pd

    if len(real) != len(mutated):
        raise InputError(f"{len(real)} real and {len(mutated)} mutated sequences; expected as many of both")
    number_of, distinct = pd.factorize(np.array([*real, *mutated], dtype=object))
    nats = np.asarray(model.log_likelihood(list(distinct)), dtype=np.float64)[number_of].reshape(2, -1)
    bases = known_bases(distinct)[number_of].reshape(2, -1)
    if not bases.all():
        pair = int(np.flatnonzero(~bases.all(axis=0))[0])
        raise InputError(f"pair {pair}: a sequence without A, C, G or T; expected at least one base to score")
    scored = pd.DataFrame(
        {"ll_real": nats[0], "ll_mutated": nats[1], "bases_real": bases[0], "bases_mutated": bases[1]}
    )
    return scored.assign(correct=judge(scored, score=score, ties=ties))


def judge(scored: pd.DataFrame, *, score: Literal["perplexity", "probability"], ties: float = 0.5) -> np.ndarray:
    """Say of scored pairs whether the real one won: 1, 0, or ``ties`` where both scored alike; float64 [n].

    Parameters
    ----------
    scored
        ll_real, ll_mutated (nats), bases_real, bases_mutated, as `discriminate` returns them.
    score, ties
        As there.

    Raises
    ------
    InputError
        When the score is unknown.
    """
    if score not in ("perplexity", "probability"):
        raise InputError(f"score {score!r}; expected 'perplexity' or 'probability'")
    real, mutated = scored["ll_real"].to_numpy(), scored["ll_mutated"].to_numpy()
    if score == "perplexity":
        real, mutated = real / scored["bases_real"].to_numpy(), mutated / scored["bases_mutated"].to_numpy()
    # Equal sums reached over different lengths differ by rounding alone.
    tied = np.isclose(real, mutated, rtol=1e-12, atol=0)
    return np.where(tied, ties, real > mutated).astype(np.float64)


def _edited(real: str, codes: np.ndarray, sites: np.ndarray, kinds: np.ndarray, rng: np.random.Generator) -> str:
    """One draw of places and letters for edits of the given kinds, applied."""
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


def _read_table(path: Path) -> pd.DataFrame:
    """A file of text columns as strings, indexed by line number; the delimiter is the header's."""
    import pandas as pd

    opener = gzip.open if path.suffix == ".gz" else open
    rows, lines = [], []
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as handle:
            delimiter = "\t" if "\t" in handle.readline() else ","
            handle.seek(0)
            # The module refuses fields over 128 KiB unless told otherwise; genes are longer.
            csv.field_size_limit(2**31 - 1)
            reader = csv.reader(handle, delimiter=delimiter)
            header = next(reader, [])
            for row in reader:
                if any(row):
                    rows.append(row)
                    lines.append(reader.line_num)
    except (EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a whole table ({error}); expected a TSV or CSV file of pairs") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a TSV or CSV file of pairs") from None
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(row)} fields; expected {len(header)}, as in the header. Look for "
                "a missing or surplus delimiter"
            )
    return pd.DataFrame(rows, columns=header, index=lines, dtype=str)


def _check_sequence(where: str, value: str) -> None:
    whole = NUCLEOTIDES.match(value).end()
    if whole < len(value):
        raise InputError(
            f"{where}: {value[whole]!r} at base {whole + 1} is no nucleotide code; expected A, C, G, T or an IUPAC code"
        )
    if not value:
        raise InputError(f"{where}: no sequence; expected at least one base. Fill it in or remove the line")


def _whole_numbers(path: str | Path, column: pd.Series) -> pd.Series:
    """A text column of counts as nullable whole numbers; an empty cell is missing."""
    bad = column[~column.str.fullmatch(r"\d*")]
    if len(bad):
        line = bad.index[0]
        raise InputError(f"{path}, line {line}, column edits: {bad[line]!r}; expected a whole number or nothing")
    return column.replace("", None).astype("Int64")
