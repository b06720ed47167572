"""dnastudy.chapters.select_report: the rule that a vocabulary is chosen by."""

import numpy as np
import pandas as pd
import pytest

from dnastudy.chapters.select_report import choose
from dnastudy.files import InputError

NONE = float("nan")


def outcomes(*vocabularies, blocks=None):
    """Predictions of vocabularies given as name, merges and {k: right answers}, an example a block."""
    parts = []
    for name, merges, right in vocabularies:
        for k, answers in right.items():
            block = np.arange(len(answers)) if blocks is None else blocks
            parts.append(pd.DataFrame({"vocabulary": name, "merges": merges, "k": k, "block": block, "right": answers}))
    return pd.concat(parts, ignore_index=True)


def test_scores_are_mean_ratios_over_the_byte_pair_vocabularies():
    table, chosen = choose(
        outcomes(
            ("1-mer", NONE, {2: [1, 1, 1, 1], 3: [0, 0, 0, 0]}),
            ("BPE 100", 100, {2: [1, 1, 0, 0], 3: [1, 0, 0, 0]}),
            ("BPE 600", 600, {2: [1, 1, 1, 1], 3: [1, 1, 1, 0]}),
        ),
        resamples=100,
        seed=0,
    )
    assert table["vocabulary"].tolist() == ["1-mer", "BPE 100", "BPE 600"]
    # Means of 0.75 and 0.5.
    assert table["score"].tolist() == pytest.approx([(4 / 3 + 0) / 2, (2 / 3 + 1 / 2) / 2, (4 / 3 + 3 / 2) / 2])
    assert table["difference"].tolist() == pytest.approx([-0.75, -5 / 6, 0])
    assert table["chosen"].tolist() == [False, False, True]
    assert chosen == "BPE 600"
    assert ((table["low"] <= table["score"]) & (table["score"] <= table["high"])).all()


def test_fewest_merges_among_those_within_one_standard_error():
    # Of 400 blocks the middle one is right in 2 fewer than the best, always in other blocks; the smallest in 60 fewer.
    right = np.zeros((3, 400))
    right[0, :140] = 1
    right[1, 10:208] = 1
    right[2, :200] = 1
    names = ("BPE 100", "BPE 300", "BPE 600")
    table, chosen = choose(
        outcomes(*((name, int(name[4:]), {4: row}) for name, row in zip(names, right, strict=True))),
        resamples=4000,
        seed=1,
    )
    # 10 blocks are right in one alone and 8 in the other: the difference has a variance of 18 / 400 - (2 / 400)^2 a
    # block, over 400 blocks; it's divided by the mean accuracy.
    mean = right.mean()
    expected = np.sqrt((18 / 400 - (2 / 400) ** 2) / 400) / mean
    assert table["difference"][1] == pytest.approx(-2 / 400 / mean)
    assert table["error"][1] == pytest.approx(expected, rel=0.05)
    assert table["error"][2] == 0
    assert table["within"].tolist() == [False, True, True]
    assert chosen == "BPE 300"


def test_seeds_are_pooled():
    once = outcomes(("BPE 1", 1, {2: [1, 0, 1]}), ("BPE 2", 2, {2: [0, 0, 1]}))
    other = outcomes(("BPE 1", 1, {2: [0, 0, 0]}), ("BPE 2", 2, {2: [1, 1, 1]}))
    table, chosen = choose(pd.concat([once, other]), resamples=50, seed=0)
    assert table["score"].tolist() == pytest.approx([2 / 3, 4 / 3])
    assert chosen == "BPE 2"


def test_a_rival_is_never_chosen_nor_the_best():
    table, chosen = choose(
        outcomes(("BPE 5", 5, {2: [1, 0, 0, 1]}), ("6-mer", NONE, {2: [1, 1, 1, 1]})), resamples=50, seed=0
    )
    assert table["difference"].tolist() == [0, 1]
    assert table["within"].tolist() == [True, True]
    assert chosen == "BPE 5"


def test_what_nobody_gets_right_tells_none_from_another():
    table, _ = choose(
        outcomes(("1-mer", NONE, {6: [1, 0]}), ("BPE 1", 1, {6: [0, 0]}), ("BPE 2", 2, {6: [0, 0]})),
        resamples=20,
        seed=0,
    )
    assert table["score"].tolist() == [1, 1, 1]


def test_a_single_block_has_no_intervals_and_the_best_is_chosen():
    table, chosen = choose(
        outcomes(("BPE 1", 1, {2: [1, 0]}), ("BPE 2", 2, {2: [1, 1]}), blocks=[0, 0]), resamples=20, seed=0
    )
    assert table[["low", "high", "error"]].isna().all(axis=None)
    assert table["within"].tolist() == [False, True]
    assert chosen == "BPE 2"


def test_what_cannot_be_compared():
    with pytest.raises(InputError, match="1-mer, 6-mer: none has merges; expected a byte-pair vocabulary"):
        choose(outcomes(("1-mer", NONE, {2: [1]}), ("6-mer", NONE, {2: [1]})), resamples=20, seed=0)
    with pytest.raises(InputError, match="BPE 2: no 3-mers predicted"):
        choose(outcomes(("BPE 1", 1, {2: [1], 3: [0]}), ("BPE 2", 2, {2: [1]})), resamples=20, seed=0)
