"""dnastudy.study.metrics: metrics as scikit-learn has them, their intervals, and paired differences."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)
from sklearn.preprocessing import label_binarize

from dnastudy.files import InputError
from dnastudy.study.metrics import METRICS, calibration, judge, paired
from dnastudy.study.statistics import multiplicities


def reference(labels, probabilities):
    """The metrics by scikit-learn, and the calibration error by its definition, bin by bin."""
    classes = probabilities.shape[1]
    told = probabilities.argmax(axis=1)
    two = classes == 2
    columns = labels[:, None] if two else label_binarize(labels, classes=range(classes))
    scores = probabilities[:, 1:] if two else probabilities
    ece = 0.0
    confidence = probabilities.max(axis=1)
    for number in range(10):
        inside = (confidence > number / 10) & (confidence <= (number + 1) / 10)
        if inside.any():
            ece += inside.mean() * abs((told == labels)[inside].mean() - confidence[inside].mean())
    return {
        "mcc": matthews_corrcoef(labels, told),
        "auroc": roc_auc_score(columns, scores),
        "auprc": average_precision_score(columns, scores),
        "f1": f1_score(labels, told) if two else f1_score(labels, told, average="macro", labels=range(classes)),
        "ece": ece,
        "accuracy": accuracy_score(labels, told),
    }


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4), st.integers(0, 60), st.integers(0, 2**20))
def test_values_are_those_of_scikit_learn_ties_included(classes, more, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.append(np.arange(classes), rng.integers(classes, size=more)))
    # Few values, so that many rows score alike.
    parts = rng.integers(1, 4, (len(labels), classes)).astype(float)
    probabilities = parts / parts.sum(axis=1, keepdims=True)
    found = judge(labels, probabilities, resamples=2)
    expected = reference(labels, probabilities)
    assert list(found) == list(expected) == list(METRICS)
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_bootstrap_sample_is_rows_written_out(classes):
    rng = np.random.default_rng(classes)
    labels = np.append(np.arange(classes), rng.integers(classes, size=40))
    groups = rng.integers(12, size=len(labels))
    runs = rng.dirichlet(np.ones(classes), (2, len(labels))).round(1)
    numbers = np.unique(groups, return_inverse=True)[1]
    times = next(multiplicities(numbers.max() + 1, 50, 3, together=50))
    written_out = {name: [] for name in METRICS}
    for drawn in times:
        rows = np.repeat(np.arange(len(labels)), drawn[numbers])
        if len(set(labels[rows])) == classes:
            values = [reference(labels[rows], run[rows]) for run in runs]
            for name in METRICS:
                written_out[name].append(np.mean([value[name] for value in values]))
    for name, interval in judge(labels, runs, groups, resamples=50, seed=3).items():
        low, high = np.quantile(written_out[name], [0.025, 0.975])
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9), name
        assert interval.n == numbers.max() + 1


def test_samples_that_lack_a_class_do_not_count():
    # Of two rows drawn, both are the same one as often as not.
    found = judge([0, 1], [[0.9, 0.1], [0.2, 0.8]], resamples=200)
    assert found["auroc"] == found["mcc"] == found["accuracy"] == (1, 1, 1, 2)
    assert found["ece"].value == pytest.approx((0.1 + 0.2) / 2)


def test_calibration_by_bin():
    first = [[0.95, 0.05], [0.08, 0.92], [0.3, 0.7], [0.2, 0.8]]
    second = [[0.5, 0.5], [0.0, 1.0], [0.65, 0.35], [0.25, 0.75]]
    found = calibration([0, 0, 1, 0], [first, second])
    # Of the bin to 0.7 one of two is right, of that to 0.8 none of two, of the last one of three.
    assert found["confidence"].tolist() == pytest.approx([0.5, 0.675, 0.775, (0.95 + 0.92 + 1) / 3])
    assert found["accuracy"].tolist() == pytest.approx([1, 1 / 2, 0, 1 / 3])
    assert found["share"].tolist() == [1 / 8, 2 / 8, 2 / 8, 3 / 8]
    ece = judge([0, 0, 1, 0], first, resamples=2)["ece"].value
    single = calibration([0, 0, 1, 0], first)
    assert ece == pytest.approx(sum(single["share"] * abs(single["confidence"] - single["accuracy"])))


def test_runs_are_judged_one_by_one():
    right, wrong = np.eye(2)[[0, 1, 0, 1]], np.eye(2)[[1, 0, 1, 0]]
    found = judge([0, 1, 0, 1], [right, right, wrong])
    assert found["mcc"].value == pytest.approx(1 / 3)
    assert found["accuracy"].value == pytest.approx(2 / 3)


def test_a_predictor_that_says_one_thing_has_no_correlation():
    found = judge([0, 0, 1, 1], np.tile([0.5, 0.5], (4, 1)))
    assert {name: found[name].value for name in ("mcc", "auroc", "auprc", "f1", "ece")} == {
        "mcc": 0,
        "auroc": 0.5,
        "auprc": 0.5,
        "f1": 0,
        "ece": 0,
    }


def test_a_single_group_has_no_interval():
    found = judge([0, 1], np.eye(2), ["a", "a"])["mcc"]
    assert (found.value, found.n) == (1, 1) and np.isnan([found.low, found.high]).all()


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    labels = np.tile(np.repeat([0, 1], 10), 30)
    shift = np.repeat(rng.normal(size=30), 20)  # what the rows of a block have in common
    score = 1 / (1 + np.exp(-(labels - 0.5 + shift * (2 * labels - 1))))
    probabilities = np.stack([1 - score, score], axis=1)
    alone = judge(labels, probabilities)["auroc"]
    together = judge(labels, probabilities, np.repeat(np.arange(30), 20))["auroc"]
    assert together.n == 30 and together.value == alone.value
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=300)
    score = np.clip(0.25 + 0.5 * labels + rng.normal(scale=0.3, size=300), 0, 1)
    first = np.stack([1 - score, score], axis=1)
    second = first.copy()
    second[:10] = second[:10, ::-1]
    found = paired(labels, first, [second, second])
    ours, others = (judge(labels, one)["mcc"] for one in (first, second))
    assert found.value == pytest.approx(ours.value - others.value)
    assert (found.low, found.high) == pytest.approx((found.value - 0.035, found.value + 0.035), abs=0.02)
    assert paired(labels, first, first, metric="auprc")[:3] == (0, 0, 0)
    assert paired(labels, second, first, np.arange(300), metric="auroc", seed=4).n == 300


def test_a_thousand_rows_of_three_runs_take_a_second():
    rng = np.random.default_rng(0)
    started = time.process_time()
    judge(rng.integers(2, size=1000), rng.dirichlet([1, 1], (3, 1000)))
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 0, 0], np.full((3, 2), 0.5), "3, 0 rows of class 0, 1; expected two classes or more"),
        ([0, 0], np.ones((2, 1)), "2 rows of class 0; expected two classes"),
        ([0, 1], np.full((3, 2), 0.5), "2 labels, 3 rows of probabilities, 2 groups"),
        ([0, 2], np.full((2, 2), 0.5), "1, 0, 1 rows of class 0, 1, 2; expected two classes"),
        ([0, 1], [[0.5, 0.5], [np.nan, 1]], "probabilities of row 1 aren't all finite"),
        ([], np.ones((0, 2)), "0, 0 rows of class 0, 1; expected two classes"),
    ],
)
def test_bad_input_is_refused(labels, probabilities, message):
    with pytest.raises(InputError, match=message):
        judge(labels, probabilities)


def test_those_asked_for_alone_are_as_among_all():
    rng = np.random.default_rng(0)
    labels, probabilities = np.tile([0, 1], 20), rng.dirichlet([1, 1], (2, 40))
    found = judge(labels, probabilities, metrics=["auroc", "mcc"], resamples=50)
    whole = judge(labels, probabilities, resamples=50)
    assert found == {name: whole[name] for name in ("auroc", "mcc")}
    # Without a sample there is a value alone.
    value = judge(labels, probabilities, metrics=["mcc"], resamples=0)["mcc"]
    assert value.value == whole["mcc"].value and np.isnan(value.low)
