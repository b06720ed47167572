import numpy as np
import pandas as pd
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.tasks.discriminator import _assign_folds, _bootstrap, _compare_within_folds, one_hot, tell_apart


def draw(n, length, seed, shares=(0.25, 0.25, 0.25, 0.25)):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length, p=shares)) for _ in range(n)]


def test_both_classifiers_tell_composition_and_not_chance():
    real = draw(60, 100, 1)
    alike = tell_apart(real, draw(60, 100, 2), resamples=200, epochs=5).set_index("classifier")
    rich = tell_apart(real, draw(60, 100, 3, (0.1, 0.4, 0.4, 0.1)), resamples=200, epochs=5).set_index("classifier")
    assert list(alike.index) == ["k-mers", "CNN"]
    assert alike["auroc"].to_numpy() == pytest.approx(0.5, abs=0.12)
    assert (rich["auroc"] > 0.95).all()
    for table in (alike, rich):
        assert (table["low"] <= table["auroc"]).all() and (table["auroc"] <= table["high"]).all()
        assert table["n"].tolist() == [120, 120]


def test_a_cnn_sees_a_motif_that_the_kmers_of_one_base_do_not():
    real = draw(80, 60, 1)
    motif = [sequence[:20] + "GATTACAG" + sequence[28:] for sequence in draw(80, 60, 2)]
    told = tell_apart(real, motif, k=1, resamples=100, epochs=30).set_index("classifier")["auroc"]
    assert told["CNN"] > 0.9
    assert told["k-mers"] < 0.75


def test_telling_is_repeatable_and_leaves_the_random_state_alone():
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first = tell_apart(draw(10, 50, 1), draw(10, 50, 2), epochs=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(4)
    pd.testing.assert_frame_equal(first, tell_apart(draw(10, 50, 1), draw(10, 50, 2), epochs=2))


def test_the_cnn_can_be_left_out():
    assert tell_apart(draw(6, 50, 1), draw(6, 50, 2), epochs=0)["classifier"].tolist() == ["k-mers"]


def test_a_group_lies_in_one_fold():
    real, other = np.repeat(np.arange(10), 3), np.repeat(np.arange(15), 2)
    split = _assign_folds(real, other, seed=1)
    for part in (split[:30].reshape(10, 3), split[30:].reshape(15, 2)):
        assert (part == part[:, :1]).all()
    assert set(split[:30]) == set(split[30:]) == {0, 1, 2, 3, 4}


def test_a_locus_that_is_drawn_twice_is_not_recognised():
    # Ten loci, each read five times over, against as many: a classifier that had seen a locus would know it.
    real, other = np.repeat(draw(10, 200, 1), 5), np.repeat(draw(10, 200, 2), 5)
    loci = np.repeat(np.arange(10), 5)
    apart = tell_apart(list(real), list(other), groups=(loci, loci), epochs=0)["auroc"].item()
    mixed = tell_apart(list(real), list(other), epochs=0)["auroc"].item()
    assert apart < 0.75 and mixed > 0.95


def test_only_pairs_of_one_fold_are_compared():
    scores = np.array([3.0, 1.0, 2.0, 2.0, 1.0, 9.0])
    is_real = np.array([True, True, True, False, False, False])
    wins, pairs = _compare_within_folds(scores, is_real, np.array([0, 0, 1, 0, 0, 1]))
    assert pairs.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert wins.tolist() == [[1, 1, 0], [0, 0.5, 0], [0, 0, 0]]
    groups = [np.arange(3), np.arange(3)]
    assert _bootstrap(wins, pairs, groups, 100, 0)[0] == pytest.approx(2.5 / 5)


def test_the_interval_draws_whole_groups():
    rng = np.random.default_rng(1)
    wins = np.repeat((rng.random((20, 1)) < 0.7).astype(float), 20, axis=1)
    pairs, each = np.ones((20, 20)), np.arange(20)
    _, low, high = _bootstrap(wins, pairs, [each, each], 2000, 0)
    # A share of 20 draws: the interval is the binomial's.
    share = wins.mean()
    assert (high - low) / 2 == pytest.approx(1.96 * (share * (1 - share) / 20) ** 0.5, rel=0.1)
    _, wide_low, wide_high = _bootstrap(
        np.repeat(wins, 5, axis=0), np.ones((100, 20)), [np.repeat(each, 5), each], 2000, 0
    )
    assert (wide_low, wide_high) == pytest.approx((low, high), abs=0.03)


def test_one_hot():
    inputs = one_hot(["ACN", "ACGTACGTAC"])
    assert inputs.shape == (2, 4, 10)
    assert inputs[0].nonzero().tolist() == [[0, 0], [1, 1]]
    assert inputs[1].sum().item() == 10
    assert one_hot(["A"]).shape == (1, 4, 8)


def test_too_few_loci_are_refused():
    message = "9 real sequences from 9 loci and 3 others from 3; to tell them apart, expected at least 5"
    with pytest.raises(InputError, match=message):
        tell_apart(["ACGT"] * 9, ["ACGT"] * 3)
    with pytest.raises(InputError, match="9 real sequences from 2 loci and 9 others from 9"):
        tell_apart(["ACGT"] * 9, ["ACGT"] * 9, groups=([0] * 8 + [1], range(9)))
