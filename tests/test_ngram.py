"""The n-gram models against a slow count by hand, against NLTK, and at their edges."""

import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.lm import MLE, Laplace, Vocabulary
from nltk.lm.preprocessing import pad_both_ends, padded_everygram_pipeline
from nltk.util import ngrams

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models import load
from dnastudy.models.counts import flat
from dnastudy.models.ngram import NgramModel, stretches
from dnastudy.models.store import save

SEQUENCES = st.lists(st.text("ACGTN", max_size=40), min_size=1, max_size=6)


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


def test_one_sequence_is_no_list_of_them():
    for options in ({}, {"validation": "ACGT"}):
        with pytest.raises(InputError, match="expected a list of sequences, found one string; put it in a list"):
            NgramModel(2).fit(["ACGT"] if options else "ACGT", **options)


def test_literal_probability():
    model = NgramModel(2).fit(["ACAC"])
    model.weights = np.array([4.0, 1.0])
    # p(A) = (2 + 4/4) / (4 + 4) = 3/8; after A, C was seen twice of two: (2 + 3/8) / (2 + 1).
    assert np.exp(model.base_log_likelihoods(["AC"])[0]) == pytest.approx([3 / 8, (2 + 3 / 8) / 3])


def test_strings_codes_and_spans_are_the_same():
    sequences = ["ACGTACGGT", "TTNGA"]
    codes, spans = flat(sequences)
    fitted = [NgramModel(4).fit(given) for given in (sequences, [encode(one) for one in sequences], (codes, spans))]
    likelihoods = [model.log_likelihood(["GACGT"])[0] for model in fitted]
    assert likelihoods[0] == likelihoods[1] == likelihoods[2]
    assert fitted[0].log_likelihood((codes, spans)).tolist() == (fitted[0].log_likelihood(sequences).tolist())


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
    # One end in five symbols: four times 1/4 * 4/5, then 1/5.
    assert model.perplexity(["ACGT"], include_end=True) == pytest.approx((5**4 * 5) ** (1 / 5))
    assert NgramModel(1, "mle").fit(["ACGT"]).perplexity(["ACGT"], include_end=True) == pytest.approx(4)
    with pytest.raises(InputError, match="no symbol to score"):
        NgramModel(2, "mle").fit(["ACGT"]).perplexity([], "nltk")
    with pytest.raises(InputError, match="'nltk' with smoothing 'interpolated'; expected 'per_base'"):
        model.perplexity(["ACGT"], "nltk")


@pytest.mark.parametrize("order", [13, 14, 24])
def test_high_orders_follow_the_formula(order):
    random = np.random.default_rng(2)
    text = "".join(random.choice(list("ACGT"), 300))
    train = [text[:200], text[50:260] + "N" + text[:90], text[100:130] + "A" + text[131:180]]
    model = NgramModel(order).fit(train, validation=[text[20:120]])
    counts = ngrams_by_hand(train, order)
    test = text[10:40] + "N" + text[95:180] + "ACGT"
    scored = model.base_log_likelihoods([test])[0]
    for place in np.flatnonzero(~np.isnan(scored)):
        expected = probability_by_hand(counts, model.weights, test[:place], test[place])
        assert scored[place] == pytest.approx(math.log(expected), rel=1e-5)
    assert model.history[-1]["order"] == order


def test_both_strands_count_as_the_sequences_and_their_reverse_complements():
    sequences = ["ACGGTNCA", "TTTGC"]
    both = NgramModel(4, reverse_complement=True).fit(sequences)
    alone = NgramModel(4).fit([*sequences, "GCAAA", "TGNACCGT"])
    for text in ("TGCACC", "GGTTTACGATC"):
        assert both.base_log_likelihoods([text])[0].tolist() == alone.base_log_likelihoods([text])[0].tolist()
    assert both.end_probability == alone.end_probability
    # Without context, a sequence and its reverse complement are equally likely.
    single = NgramModel(1, reverse_complement=True).fit(sequences)
    assert np.diff(single.log_likelihood(["AACGT", "ACGTT"])) == pytest.approx([0], abs=1e-6)


def by_nltk(kind, order, train, test):
    """Perplexity and nats of `test` by NLTK, prepared as the human-genes paper did."""
    ready, vocabulary = padded_everygram_pipeline(order, [list(one) for one in train])
    model = {"mle": MLE, "laplace": Laplace}[kind](order)
    model.fit(ready, vocabulary)
    scored = []
    for one in test:
        padded = list(pad_both_ends(list(one), order))
        scored += ngrams(padded[: len(one) + order] if order > 1 else padded, order)
    return model.perplexity(scored), math.log(2) * sum(model.logscore(one[-1], one[:-1]) for one in scored)


@pytest.mark.parametrize("smoothing", ["mle", "laplace"])
@pytest.mark.parametrize("order", [1, 2, 3, 6, 8])
def test_the_same_as_nltk(smoothing, order):
    random = np.random.default_rng(order)
    train = ["".join(random.choice(list("ACGT"), length)) for length in (900, 40, 3, 1, 0)]
    model = NgramModel(order, smoothing).fit(train)
    unseen = "".join(random.choice(list("ACGT"), 300))
    for test in (train, train[1:], [unseen], [unseen, "AC", "G"], ["ACNGT"]):
        perplexity, nats = by_nltk(smoothing, order, train, test)
        assert model.perplexity(test, "nltk") == pytest.approx(perplexity, rel=1e-12)
        if "ACNGT" not in test:  # an unknown base is scored by NLTK's perplexity, but missing in a likelihood
            assert model.log_likelihood(test, include_end=True).sum() == pytest.approx(nats, rel=1e-12)


@settings(deadline=None)
@given(SEQUENCES, st.text("ACGTN", max_size=12), st.integers(1, 4))
def test_unknown_bases_are_a_symbol_as_in_nltk(train, test, order):
    vocabulary = Vocabulary(["A", "C", "G", "T", *(["<s>", "</s>"] if order > 1 else [])])
    nltk = Laplace(order, vocabulary=vocabulary)
    nltk.fit(padded_everygram_pipeline(order, [list(one) for one in train])[0])
    padded = list(pad_both_ends(list(test), order))
    scored = list(ngrams(padded[: len(test) + order] if order > 1 else padded, order))
    if scored and any(set(one) & set("ACGT") for one in train):
        model = NgramModel(order, "laplace").fit(train)
        assert model.perplexity([test], "nltk") == pytest.approx(nltk.perplexity(scored), rel=1e-12)


def test_unseen_without_smoothing_is_infinite():
    model = NgramModel(3, "mle").fit(["ACGACG"])
    assert model.perplexity(["ACT"], "nltk") == model.perplexity(["ACT"]) == math.inf
    # After <s> <s> always A, after <s> A always C; A C never went on with T.
    assert model.base_log_likelihoods(["ACTNA"])[0] == pytest.approx([0, 0, -np.inf, np.nan, -np.inf], nan_ok=True)
    assert model.log_likelihood(["ACG"])[0] == 0
    assert model.log_likelihood(["ACG"], include_end=True)[0] == pytest.approx(math.log(1 / 2))


def test_laplace_leaves_mass_to_the_other_symbols():
    model = NgramModel(2, "laplace").fit(["AA"])
    # <s> A once, A A once, A </s> once.
    assert np.exp(model.base_log_likelihoods(["AA"])[0]) == pytest.approx([2 / 8, 2 / 9])
    assert np.exp(model.begin(1, encode("A"))[0].numpy()[0]) == pytest.approx([2 / 5, 1 / 5, 1 / 5, 1 / 5])


def test_without_pads_there_is_no_end():
    model = NgramModel(1, "laplace").fit(["AACG"])
    assert np.exp(model.log_likelihood(["AT"], include_end=True)) == pytest.approx([3 / 9 * 1 / 9])


@pytest.mark.parametrize("smoothing", ["mle", "laplace"])
def test_generation_without_interpolation(smoothing):
    model = NgramModel(3, smoothing).fit(["ACGACGACG"])
    assert model.generate(1, 6, temperature=0) == ["ACGACG"]
    assert model.generate(1, 3, temperature=0, prompt="TTAC") == ["GAC"]
    never = model.begin(1, encode("TT"))[0].exp()
    assert never.tolist() == [[0.25] * 4]


@pytest.mark.parametrize(
    ("order", "smoothing", "strands"), [(16, "interpolated", True), (3, "mle", False), (4, "laplace", True)]
)
def test_saved_and_loaded(tmp_path, order, smoothing, strands):
    train, test = ["ACGTTNGCATGCAACGTTGCAATTGCA", "", "NACGTT"], ["ACGTTNGCATGCAACGTTGC", "TT"]
    model = NgramModel(order, smoothing, reverse_complement=strands).fit(train, validation=["ACGT"])
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.config == model.config
    assert again.size == model.size
    for end in (False, True):
        before, after = (one.log_likelihood(test, include_end=end).tolist() for one in (model, again))
        assert before == after


def test_damaged_counts_are_refused(tmp_path):
    NgramModel(3).fit(["ACGT"]).write_counts(tmp_path / "counts.npz")
    for order in (5, 16):
        with pytest.raises(InputError, match=rf"counts\.npz: no n-gram counts of order {order} .*; fit it again"):
            NgramModel(order).read_counts(tmp_path / "counts.npz")


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
        ({"order": 25}, "order 25; expected 1 to 24"),
        ({"order": 9, "smoothing": "mle"}, "order 9; expected 1 to 8 with smoothing 'mle'"),
        ({"order": 0}, "ngram: order = 0; expected a whole number, 1 or more"),
        ({"order": "6"}, "ngram: order = '6'; expected a whole number, 1 or more"),
        ({"order": 6.0}, "ngram: order = 6.0; expected a whole number, 1 or more"),
        ({"reverse_complement": 1}, "ngram: reverse_complement = 1; expected true or false"),
        ({"smoothing": "katz"}, "smoothing 'katz'; expected one of interpolated, mle, laplace"),
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


def test_a_long_sequence_is_summed_in_stretches_that_overlap_by_the_context(monkeypatch):
    assert [piece.tolist() for piece in stretches(np.array([[0, 5], [5, 6]]), 2, size=3)] == [
        [[0, 0, 3, 0]],
        [[0, 1, 5, 3]],
        [[1, 5, 6, 5]],
    ]
    text = "".join(np.random.default_rng(0).choice(list("ACGTN"), 500, p=[0.3, 0.2, 0.2, 0.25, 0.05]))
    model = NgramModel(4).fit([text])
    whole = model.log_likelihood([text, "", "ACG"], include_end=True)
    monkeypatch.setattr(stretches, "__defaults__", (7,))
    np.testing.assert_allclose(model.log_likelihood([text, "", "ACG"], include_end=True), whole, rtol=1e-7)


@pytest.mark.parametrize("order", [1, 4])
@pytest.mark.parametrize("smoothing", ["mle", "laplace"])
def test_stretches_change_nothing_without_interpolation(smoothing, order, monkeypatch):
    text = "".join(np.random.default_rng(0).choice(list("ACGTN"), 500, p=[0.3, 0.2, 0.2, 0.25, 0.05]))
    model = NgramModel(order, smoothing).fit([text, "", "ACG"])

    def scores():
        some = [text, "", "ACG"]
        ends = [model.log_likelihood(some, include_end=end) for end in (False, True)]
        return [*np.concatenate(ends), model.perplexity(some), model.perplexity(some, "nltk")]

    whole = scores()
    assert np.isfinite(whole).all()
    monkeypatch.setattr(stretches, "__defaults__", (7,))
    np.testing.assert_allclose(scores(), whole, rtol=1e-13)


@pytest.mark.parametrize("smoothing", ["mle", "laplace"])
def test_long_sequence_is_scored_in_bounded_memory_without_interpolation(smoothing, monkeypatch):
    monkeypatch.setattr(stretches, "__defaults__", (1 << 15,))
    codes = np.random.default_rng(0).integers(0, 4, 3_000_000).astype(np.uint8)
    long = codes, np.array([[0, len(codes)]])
    model = NgramModel(6, smoothing).fit(long)
    model.log_likelihood((codes, long[1] // 100))  # compiled
    tracemalloc.start()
    total, perplexity = model.log_likelihood(long)[0], model.perplexity(long, "nltk")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # less than a byte a base
    per_base = model.base_log_likelihoods(long)[0]
    assert total == pytest.approx(np.sum(per_base, dtype=float), rel=1e-7)
    assert perplexity == pytest.approx(4, rel=0.01)


def test_history_of_what_was_never_seen():
    model = NgramModel(3, "mle").fit(["ACGACG"], validation=["ACT"])
    assert model.history == [{"order": 3, "weight": 0.0, "validation_bits_per_base": math.inf}]
