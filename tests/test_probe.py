"""The linear probe: scikit-learn's regression on standardised vectors, its penalty chosen on a part apart."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dnastudy.files import InputError
from dnastudy.tasks.floors import STRENGTH, STRENGTHS, probe


def vectors(count, seed, *, classes=3, signal=1.0):
    """Vectors of six numbers of unlike scale, the first of which tells the class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    found = random.normal(size=(count, 6)) * [1, 10, 0.1, 5, 3, 1] + [0, 100, 0, -7, 0, 2]
    found[:, 0] += signal * labels
    return found.astype(np.float32), labels


def pipeline(strength):
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))


def test_it_is_scikit_learns():
    (train, labels), (test, _) = vectors(90, 0), vectors(20, 1)
    expected = pipeline(STRENGTH).fit(train.astype(np.float64), labels).predict_proba(test.astype(np.float64))
    found = probe(train, labels, test, classes=3)
    assert found == pytest.approx(expected, abs=1e-9) and found.dtype == np.float64 and found.shape == (20, 3)


@pytest.mark.parametrize(("signal", "chosen"), [(0.0, {1e-3}), (4.0, {1.0, 1e1})])
def test_the_penalty_suits_the_validation_part(signal, chosen):
    (train, labels), (held, wanted), (test, _) = (vectors(60, seed, signal=signal) for seed in range(3))
    fits = {strength: pipeline(strength).fit(train.astype(np.float64), labels) for strength in STRENGTHS}
    costs = {strength: log_loss(wanted, fit.predict_proba(held)) for strength, fit in fits.items()}
    best = min(costs, key=costs.get)
    assert best in chosen
    found = probe(train, labels, test, classes=3, validation=(held, wanted))
    assert found == pytest.approx(fits[best].predict_proba(test.astype(np.float64)), abs=1e-9)


def test_a_class_that_is_not_to_be_learnt_has_no_probability():
    train, labels = vectors(40, 0, classes=2)
    held, wanted = vectors(30, 1)  # of three classes
    found = probe(train, labels * 2, train[:5], classes=4, validation=(held, wanted))
    assert (found[:, [1, 3]] == 0).all() and found.sum(1) == pytest.approx(1)


def test_what_is_refused():
    train, labels = vectors(10, 0)
    with pytest.raises(InputError, match="1 class among 10 labels to learn from; expected two or more"):
        probe(train, labels * 0, train, classes=2)
    broken = train.copy()
    broken[3, 2] = -np.inf
    for given, what in (((broken, labels, train), "learn from"), ((train, labels, broken), "judge")):
        with pytest.raises(InputError, match=f"vectors to {what}: some values aren't finite"):
            probe(*given, classes=3)
