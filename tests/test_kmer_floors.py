"""dnastudy.tasks.floors: what simple means make of the next k-mer."""

import numpy as np
import pytest

from dnastudy.genes.codes import encode
from dnastudy.models import NgramModel
from dnastudy.tasks import floors
from dnastudy.tasks.floors import fit_ngrams, score_floors, tfidf
from dnastudy.tasks.next_kmer import draw_examples

PERIODIC = encode("AACGT" * 300)


def periodic(**options):
    learn, test = (draw_examples(PERIODIC, 60, context=10, seed=seed) for seed in (0, 1))
    given = {"context": 10, "trees": 10, "ngrams": fit_ngrams(PERIODIC, [4])} | options
    table = score_floors((PERIODIC, learn), (PERIODIC, test), **given)
    return table.set_index(["floor", "k"]).sort_index()


def test_floors_by_k():
    table = periodic(sizes=(2, 5))
    assert sorted(set(table.index)) == [
        ("4-gram", 2),
        ("4-gram", 5),
        ("TF-IDF + forest", 2),
        ("TF-IDF + linear", 2),
        ("TF-IDF + linear", 5),
        ("majority", 2),
        ("majority", 5),
        ("uniform", 2),
        ("uniform", 5),
    ]
    assert (table.groupby(level=[0, 1])["example"].agg(list).map(len) == 60).all()
    assert table.loc[("uniform", 5), "right"].unique() == pytest.approx([1 / 1024])
    assert table.loc[("uniform", 5), "bits"].unique().tolist() == [10]


def test_context_foretells_what_is_periodic():
    table = periodic(sizes=(3,))
    for floor in ("4-gram", "TF-IDF + linear", "TF-IDF + forest"):
        assert table.loc[(floor, 3), "right"].mean() == 1
    assert table.loc[("4-gram", 3), "bits"].max() < 0.2
    assert table.loc[("TF-IDF + linear", 3), "bits"].isna().all()


def test_the_commonest_k_mer_of_the_contigs():
    train = encode("GGGGGGGGACNGACN" * 2)  # GG 14 times, GA and AC 4 times each
    table = score_floors((train, np.array([2])), (encode("TTACTTGG"), np.array([2, 6])), sizes=(2,), context=2, trees=0)
    majority = table[table["floor"] == "majority"]
    assert majority["right"].tolist() == [0, 1]
    assert majority["bits"].tolist() == pytest.approx([np.log2(38 / 5), np.log2(38 / 15)])


def test_the_n_gram_is_fitted_on_the_contigs_and_sees_the_context():
    codes = np.random.default_rng(0).choice(4, 4000, p=[0.4, 0.1, 0.2, 0.3]).astype(np.uint8)
    model = NgramModel(3).fit((codes, np.array([[0, 3800]])), validation=(codes, np.array([[3800, 4000]])))
    test = np.array([50, 500])
    given = {"sizes": (1, 2), "context": 9, "trees": 0, "ngrams": fit_ngrams(codes, [3])}
    table = score_floors((codes, np.arange(100, 200)), (codes, test), **given)
    bits = table[table["floor"] == "3-gram"].set_index("k")["bits"]
    for k in (1, 2):
        nats = [model.base_log_likelihoods([codes[place - 9 : place + k]])[0][9:].sum() for place in test]
        assert bits[k].tolist() == pytest.approx([-value / np.log(2) for value in nats], rel=1e-5)


def test_the_commonest_words_of_the_lengths_asked_for():
    learn, test = tfidf([encode("AACAA"), encode("AAG")], [encode("CAAG"), encode("TT")], (2, 2), most=1)
    assert learn.shape == test.shape == (2, 1)  # AA, three times
    assert learn.toarray().tolist() == [[1], [1]] and test.toarray().tolist() == [[1], [0]]
    assert tfidf([encode("ACGT")], [encode("ACGT")], (2, 3))[0].shape == (1, 5)  # AC CG GT ACG CGT


def test_parts_make_no_difference(monkeypatch):
    whole = periodic(sizes=(3, 4))
    monkeypatch.setattr(floors, "_WINDOWS_AT_ONCE", 7)
    assert whole.equals(periodic(sizes=(3, 4)))
