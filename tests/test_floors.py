import numpy as np
import pytest

from dnastudy.tasks.floors import PUBLISHED_ACCURACY, PUBLISHED_PERPLEXITY, Uniform, fit_floors
from dnastudy.tasks.likelihood import bits_per_base


def test_two_bits_a_base():
    np.testing.assert_allclose(Uniform().log_likelihood(["ACGT", "aNNc", ""]) / np.log(2), [-8, -4, 0])


def test_the_end_is_a_fifth_symbol():
    np.testing.assert_allclose(Uniform().log_likelihood(["ACG"], include_end=True), [-4 * np.log(5)])


def test_base_by_base():
    (nats,) = Uniform().base_log_likelihoods(["ANC"])
    assert nats.dtype == np.float32
    np.testing.assert_allclose(nats, [-np.log(4), np.nan, -np.log(4)], rtol=1e-6)


def test_n_gram_floors_know_more_the_longer_they_are(corpus):
    floors = fit_floors(corpus, [1, 4])
    assert list(floors) == ["1-gram", "4-gram"]
    shorter, longer = (bits_per_base(model, corpus.sequences("test")) for model in floors.values())
    assert 1.9 < longer < shorter < 2


def test_published_figures():
    assert PUBLISHED_PERPLEXITY["LSTM"] == 3.2878
    assert list(PUBLISHED_PERPLEXITY.values())[:5] == sorted(list(PUBLISHED_PERPLEXITY.values())[:5], reverse=True)
    assert len(PUBLISHED_ACCURACY) == 2 * 3 * 3
    assert np.mean(PUBLISHED_ACCURACY["perplexity", "LSTM", 10]) == pytest.approx(0.8463, abs=1e-4)
    # By either score and for every N the LSTM is ahead of the n-gram.
    for score, model, edits in PUBLISHED_ACCURACY:
        if model == "LSTM":
            assert min(PUBLISHED_ACCURACY[score, model, edits]) > max(
                PUBLISHED_ACCURACY[score, "Laplace 8-gram", edits]
            )
