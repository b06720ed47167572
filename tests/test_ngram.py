"""The n-gram model against a slow count by hand, and at its edges."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models.ngram import NgramModel, count, fit_weights

SEQUENCES = st.lists(st.text("ACGTN", max_size=40), min_size=1, max_size=6)


def spans(sequences):
    ends = np.cumsum([len(one) for one in sequences], dtype=np.int64)
    return np.stack([ends - [len(one) for one in sequences], ends], axis=1)


def ngrams_by_hand(sequences, order):
    """Every n-gram of A C G T that ends at a base, with each base's longest one cut to `order`."""
    found = Counter()
    for sequence in sequences:
        for stop in range(1, len(sequence) + 1):
            for length in range(1, min(order, stop) + 1):
                ngram = sequence[stop - length : stop]
                if "N" in ngram:
                    break
                found[ngram] += 1
    return found


def probability_by_hand(counts, weights, before, base):
    before = before.rpartition("N")[2]
    probability = 0.25
    for order, weight in enumerate(weights, start=1):
        if order - 1 > len(before):
            break
        context = before[len(before) - order + 1 :]
        total = sum(counts[context + other] for other in "ACGT")
        probability = (counts[context + base] + weight * probability) / (total + weight)
    return probability


@settings(deadline=None)  # numba compiles within the first example
@given(SEQUENCES, st.integers(1, 5))
def test_counts_are_exact_at_every_order(sequences, order):
    tables, _ = count(encode("".join(sequences)), spans(sequences), order)
    expected = ngrams_by_hand(sequences, order)
    assert tables.sum() == sum(expected.values())
    for ngram, times in expected.items():
        first = (4 ** len(ngram) - 4) // 3
        place = int("".join(str("ACGT".index(base)) for base in ngram), 4)
        assert tables[first + place] == times


@settings(deadline=None)
@given(SEQUENCES.filter(lambda some: any(set(one) & set("ACGT") for one in some)), st.integers(1, 5))
def test_probabilities_follow_the_formula(sequences, order):
    model = NgramModel(order).fit(sequences)
    model.weights = np.arange(1, order + 1) / 2
    counts = ngrams_by_hand(sequences, order)
    scored = model.base_log_likelihoods(["ACGTTNGCA"])[0]
    assert np.isnan(scored[5])
    for place, base in enumerate("ACGTTNGCA"):
        if base != "N":
            expected = probability_by_hand(counts, model.weights, "ACGTTNGCA"[:place], base)
            assert scored[place] == pytest.approx(math.log(expected), rel=1e-5)


def test_literal_probability():
    model = NgramModel(2).fit(["ACAC"])
    model.weights = np.array([4.0, 1.0])
    # p(A) = (2 + 4/4) / (4 + 4) = 3/8; after A, C was seen twice of two: (2 + 3/8) / (2 + 1).
    assert np.exp(model.base_log_likelihoods(["AC"])[0]) == pytest.approx([3 / 8, (2 + 3 / 8) / 3])


def test_strings_codes_and_spans_are_the_same():
    sequences = ["ACGTACGGT", "TTNGA"]
    codes = encode("".join(sequences))
    fitted = [
        NgramModel(4).fit(given) for given in (sequences, [encode(one) for one in sequences], (codes, spans(sequences)))
    ]
    likelihoods = [model.log_likelihood(["GACGT"])[0] for model in fitted]
    assert likelihoods[0] == likelihoods[1] == likelihoods[2]
    assert fitted[0].log_likelihood((codes, spans(sequences))).tolist() == (
        fitted[0].log_likelihood(sequences).tolist()
    )


def test_end_symbol_follows_a_geometric_length_model():
    model = NgramModel(1).fit(["ACGT", "ACGT"])  # two ends in ten symbols
    without, with_end = (model.log_likelihood(["ACN"], include_end=end)[0] for end in (False, True))
    assert with_end - without == pytest.approx(2 * math.log(0.8) + math.log(0.2))


def test_weights_are_the_best_for_validation():
    random = np.random.default_rng(1)
    train, validation = ("".join(random.choice(list("AACGT"), 3000)) for _ in range(2))
    model = NgramModel(3).fit([train], validation=[validation])
    best = model.log_likelihood([validation])[0]
    for order in range(3):
        if 2e-3 < model.weights[order] < 1e6:
            for factor in (0.5, 2.0):
                # The weights below are already fixed, so only the highest order's is a free optimum.
                shorter = NgramModel(order + 1).fit([train])
                shorter.weights = model.weights[: order + 1].copy()
                there = shorter.log_likelihood([validation])[0]
                shorter.weights[order] *= factor
                assert shorter.log_likelihood([validation])[0] < there + 1e-3
    assert best > -3000 * math.log(4)


def test_a_sequence_that_repeats_is_learnt():
    model = NgramModel(8).fit(["ACGTTGCA" * 100], validation=["ACGTTGCA" * 10])
    assert model.perplexity(["ACGTTGCA" * 50]) < 1.01


def test_perplexity():
    model = NgramModel(1).fit(["ACGT"])
    assert model.perplexity(["ACGNT"]) == pytest.approx(4.0)
    with pytest.raises(InputError, match="no A, C, G or T"):
        model.perplexity([])


def test_highest_order_works():
    model = NgramModel(13).fit(["ACGTTGCATGCAACGTTGCATGCA"])
    assert model.log_likelihood(["ACGTTGCATGCAAC"]).shape == (1,)


def test_generation_follows_the_counts():
    model = NgramModel(3).fit(["ACG" * 200])
    model.weights = np.full(3, 1e-3)
    assert model.generate(2, 9, seed=3, prompt="AC", temperature=0) == ["GACGACGAC"] * 2
    assert model.generate(1, 3, temperature=0, prompt="NNACN") == ["ACG"]
    four, one = model.generate(4, 50, seed=5), model.generate(1, 50, seed=5)
    assert one == four[:1]
    assert len(set(four)) > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 14}, "order 14; expected 1 to 13"),
        ({"order": 0}, "order 0; expected 1 to 13"),
        ({"smoothing": "laplace"}, "smoothing 'laplace'; expected 'interpolated'"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(InputError, match=message):
        NgramModel(**settings)


def test_nothing_to_count():
    with pytest.raises(InputError, match="training sequences"):
        NgramModel(2).fit(["NN", ""])
    with pytest.raises(InputError, match="validation sequences"):
        NgramModel(2).fit(["ACGT"], validation=["N"])
    with pytest.raises(InputError, match="call fit first"):
        NgramModel(2).log_likelihood(["A"])


def test_empty_input_and_empty_sequence():
    model = NgramModel(2).fit(["ACGT"])
    assert model.log_likelihood([]).shape == (0,)
    assert model.base_log_likelihoods(["", "A"])[0].shape == (0,)
    assert model.log_likelihood([""]).tolist() == [0.0]


def test_fit_weights_shape():
    tables, _ = count(encode("ACGTACGT"), np.array([[0, 8]]), 3)
    weights, bits = fit_weights(tables, encode("ACGT"), np.array([[0, 4]]), 3)
    assert weights.shape == bits.shape == (3,)
