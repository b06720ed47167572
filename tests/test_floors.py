import numpy as np

from dnastudy.tasks.floors import Uniform, fit_floors
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


def test_a_copy_model_stands_among_the_floors_when_asked_for(corpus):
    assert list(fit_floors(corpus, [1], copy=True)) == ["1-gram", "copy"]
