"""The mutation task: can a model tell a real gene from one with a few random edits?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import decode, reverse_complement
from dnastudy.tasks.likelihood import known_bases
from dnastudy.tokens.tokenizer import as_codes

if TYPE_CHECKING:
    import pandas as pd

    from dnastudy.genes import Corpus

GIVEN = ["ll_real", "ll_mutated"]
OPPOSITE = ["ll_real_opposite", "ll_mutated_opposite"]


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
    both_strands
        Score the reverse complements too, and compare the means of both strands.

    Returns
    -------
    DataFrame [n]: ll_real, ll_mutated (nats), bases_real, bases_mutated (scored bases), with ``both_strands``
    ll_real_opposite and ll_mutated_opposite (nats of the reverse complements), correct (0, ``ties`` or 1).

    Raises
    ------
    InputError
        When the lists differ in length, a score is unknown, or a sequence has no known base.
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
    """Say of scored pairs whether the real one won: 1, 0, or ``ties`` where both scored alike; float64 [n].

    Parameters
    ----------
    scored
        ll_real, ll_mutated (nats), bases_real, bases_mutated, as `discriminate` returns them; for
        ``both_strands`` those of the opposite strand too.
    score, ties, both_strands
        As there.

    Raises
    ------
    InputError
        When the score is unknown.
    """
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
    """Score the same pairs with several models.

    Parameters
    ----------
    models
        By name.
    pairs
        real, mutated, and what else is to be said of them.
    both_strands
        Score the reverse complements too.
    include_end
        Names of models that score one end symbol a sequence too, as the n-grams of Ihtiyar & Ozgur 2024 do, and
        count it among the bases.

    Returns
    -------
    DataFrame [models x n], in the order of ``pairs`` for each model: its columns without the sequences, model,
    and those of `discriminate` without ``correct``.
    """
    import pandas as pd

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
    """Judge the pairs of `score_pairs` in each way there is.

    Returns
    -------
    The rows of ``scored`` once for each ``score`` (where it was scored the perplexity of "both strands", then
    "perplexity", "probability"), with ``correct``.
    """
    import pandas as pd

    ways = [("perplexity", scored), ("probability", scored)]
    if OPPOSITE[0] in scored:
        ways.insert(0, ("both strands", scored))
    return pd.concat(
        [
            part.assign(
                score=way,
                correct=judge(
                    part,
                    score="probability" if way == "probability" else "perplexity",
                    ties=ties,
                    both_strands=way == "both strands",
                ),
            )
            for way, part in ways
        ],
        ignore_index=True,
    )


def strata_of_places(
    corpus: Corpus, places: Sequence[str], kinds: Sequence[str] = ("shared", "repeat", "cds")
) -> pd.DataFrame:
    """Say in which strata the changed bases of pairs lie.

    Parameters
    ----------
    corpus
        A corpus; kinds of interval that it hasn't are left out.
    places
        Corpus coordinates of the changed bases of each pair, between commas, [n].

    Returns
    -------
    DataFrame, [n] rows for "all" and [n] for each kind: places, stratum ("all"; kind where all the bases are inside,
    "not " + kind where none is, "partly " + kind for the rest).
    """
    import pandas as pd

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
    import pandas as pd

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
