"""The longest-match predictor: what it finds, what that is worth, and that it never costs much."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import decode, encode
from dnastudy.genes.codes import reverse_complement
from dnastudy.models import CopyModel, copy_model
from dnastudy.models.counts import flat


def drawn(length, seed):
    return decode(np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8))


def mutated(text, every):
    """With every so-many-th base substituted."""
    codes = encode(text).copy()
    codes[::every] = (codes[::every] + 1) % 4
    return decode(codes)


TRAIN = [drawn(30_000, 1), drawn(5_000, 2)]


@pytest.fixture(scope="module")
def model():
    # Mostly new, as real validation genes are, with a copy and one that has mismatches.
    validation = [TRAIN[0][1_000:3_000] + drawn(30_000, 3) + mutated(TRAIN[0][9_000:12_000], 40)]
    return CopyModel().fit(TRAIN, validation=validation)


def bits(model, text):
    return -model.base_log_likelihoods([text])[0] / np.log(2)


@pytest.mark.parametrize("strand", [1, -1])
@pytest.mark.parametrize("source", [0, 1])
def test_a_copy_is_cheap_on_either_strand(model, source, strand):
    text = TRAIN[source][2_000:4_000]
    text = decode(reverse_complement(encode(text))) if strand < 0 else text
    assert bits(model, text)[32:].mean() < 0.1
    assert bits(model, text)[:12].mean() > 1.5


def test_new_sequence_costs_two_bits(model):
    assert 1.98 < bits(model, drawn(20_000, 4)).mean() < 2.2


def test_mismatches_do_not_lose_the_copy(model):
    cost = bits(model, mutated(TRAIN[0][20_000:24_000], 50))
    after = np.arange(4_000) % 50
    assert cost[32:][after[32:] == 1].mean() < 1.2
    assert cost[32:][after[32:] > 16].mean() < 0.2


def test_the_copy_is_found_again_after_an_insertion(model):
    text = TRAIN[0][20_000:20_500] + drawn(30, 5) + TRAIN[0][20_500:21_000]
    assert bits(model, text)[580:].mean() < 0.1


@settings(deadline=None, max_examples=30)
@given(st.text("ACGTN", max_size=60), st.integers(0, 4_000))
def test_probabilities_of_the_four_bases_sum_to_one(model, tail, start):
    before = TRAIN[0][start : start + 40] + tail
    likelihoods = [model.base_log_likelihoods([before + base])[0][-1] for base in "ACGT"]
    assert np.exp(likelihoods).sum() == pytest.approx(1, abs=1e-5)


@given(st.integers(0, 59))
def test_a_base_depends_on_those_before_it_alone(model, place):
    text = TRAIN[0][100:160]
    other = text[:place] + drawn(60 - place, 6)
    assert bits(model, text)[:place].tolist() == bits(model, other)[:place].tolist()


def test_unknown_bases_short_and_empty_sequences(model):
    values = model.base_log_likelihoods(["", "A", TRAIN[0][:50] + "N" + TRAIN[0][51:90]])
    assert [len(one) for one in values] == [0, 1, 90]
    assert np.flatnonzero(np.isnan(values[2])).tolist() == [50]
    assert model.log_likelihood([""]).tolist() == [0.0]
    assert model.log_likelihood([]).shape == (0,)
    # After an unknown base the match has to be found anew.
    assert values[2][51] < np.log(0.5) < values[2][49]


def test_the_same_again_and_in_codes_and_spans(model):
    texts = [TRAIN[1][:300], drawn(100, 7)]
    again = CopyModel().fit(flat(TRAIN), validation=flat([TRAIN[0][:500]]))
    first, second = (CopyModel().fit(TRAIN, validation=[TRAIN[0][:500]]), again)
    assert np.array_equal(first.rates, second.rates)
    for sequences in (texts, flat(texts)):
        assert second.log_likelihood(sequences).tolist() == first.log_likelihood(texts).tolist()


def test_the_end_symbol_is_the_ngram_models(model):
    without, with_end = (model.log_likelihood(["ACGNT"], include_end=end)[0] for end in (False, True))
    end = 2 / (35_000 + 2)
    assert with_end - without == pytest.approx(4 * np.log(1 - end) + np.log(end))


def test_a_copy_never_runs_from_one_sequence_into_the_next():
    first, second = drawn(200, 8), drawn(200, 9)
    model = CopyModel().fit([first, second], validation=[first * 20])
    # Nothing is guessed at the end of the first: the n-gram model speaks alone.
    text = first + second[:1]
    assert bits(model, text)[199] < 0.3
    expected = model.ngram.base_log_likelihoods([text])[0][-1]
    assert model.base_log_likelihoods([text])[0][-1] == pytest.approx(expected)


@pytest.mark.parametrize("stretch", [1, 17, 1000])
def test_stretches_change_nothing(model, stretch, monkeypatch):
    texts = ["", TRAIN[0][500:900] + "N" + mutated(TRAIN[1][:800], 30) + drawn(200, 10), "ACG"]
    validation = [TRAIN[0][2_000:4_000] + drawn(500, 11)]
    whole, total = model.base_log_likelihoods(texts), model.log_likelihood(texts, include_end=True)
    fitted = CopyModel().fit(TRAIN, validation=validation).rates
    monkeypatch.setattr(copy_model, "_STRETCH", stretch)
    assert [one.tobytes() for one in model.base_log_likelihoods(texts)] == [one.tobytes() for one in whole]
    assert model.log_likelihood(texts, include_end=True) == pytest.approx(total, rel=1e-13)
    assert np.array_equal(CopyModel().fit(TRAIN, validation=validation).rates, fitted)


def test_long_sequence_is_scored_in_bounded_memory(model, monkeypatch):
    monkeypatch.setattr(copy_model, "_STRETCH", 1 << 14)
    codes = np.random.default_rng(0).integers(0, 4, 3_000_000).astype(np.uint8)
    spans = np.array([[0, len(codes)]])
    model.log_likelihood((codes, spans // 100))  # compiled
    tracemalloc.start()
    total = model.log_likelihood((codes, spans))[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # less than a byte a base
    assert 2 < -total / np.log(2) / len(codes) < 2.2


def test_one_sequence_is_no_list_of_them(model):
    for method in (model.log_likelihood, model.base_log_likelihoods):
        with pytest.raises(InputError, match="expected a list of sequences, found one string; put it in a list"):
            method("ACGT")


def test_nothing_to_learn_from():
    with pytest.raises(InputError, match="training sequences"):
        CopyModel().fit(["NN"], validation=["ACGT"])
    with pytest.raises(InputError, match="validation sequences"):
        CopyModel().fit(["ACGT"], validation=["N"])
