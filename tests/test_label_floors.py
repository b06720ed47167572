"""dnastudy.tasks.floors: what simple means make of labelled sequences."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dnastudy.genes.codes import encode
from dnastudy.models import NgramModel
from dnastudy.tasks import discriminator, floors
from dnastudy.tasks.floors import class_ngrams, label_floors

SITE = encode("GGTAAGTG")
QUICK = {"trees": 20, "epochs": 3}


def draw(n, seed, lengths=(80, 81), shares=(0.25, 0.25, 0.25, 0.25)):
    rng = np.random.default_rng(seed)
    return [rng.choice(4, rng.integers(*lengths), p=shares).astype(np.uint8) for _ in range(n)]


def sites(n, seed):
    """Sequences of which every other one has a site in its middle, and their labels."""
    codes, labels = draw(n, seed), np.arange(n) % 2
    for one in codes[1::2]:
        one[36:44] = SITE
    return codes, labels


def right(found, labels):
    return {name: (runs.argmax(axis=2) == labels).mean() for name, runs in found.items()}


def test_floors_their_shapes_and_runs():
    (codes, labels), (test, _) = sites(60, 0), sites(30, 1)
    found = label_floors((codes, labels), test, centre=40, seeds=(3, 4, 5), **QUICK)
    assert {name: runs.shape for name, runs in found.items()} == {
        "majority": (1, 30, 2),
        "GC": (1, 30, 2),
        "composition": (1, 30, 2),
        "TF-IDF + linear": (1, 30, 2),
        "TF-IDF + forest": (3, 30, 2),
        "CNN": (3, 30, 2),
        "positional": (1, 30, 2),
    }
    for name, runs in found.items():
        assert runs.sum(axis=2) == pytest.approx(1, abs=1e-6), name
    for name in ("TF-IDF + forest", "CNN"):
        assert not np.array_equal(found[name][0], found[name][1])


def test_a_site_is_seen_by_words_and_places_but_not_by_shares():
    (codes, labels), (test, answers) = sites(200, 0), sites(200, 1)
    told = right(label_floors((codes, labels), test, centre=40, trees=50, epochs=20), answers)
    assert told["positional"] > 0.95 and told["TF-IDF + forest"] > 0.9 and told["TF-IDF + linear"] > 0.8
    assert told["CNN"] > 0.8
    assert told["majority"] == 0.5 and told["GC"] < 0.7


def test_three_classes_by_composition_and_lengths_that_differ():
    shares = [(0.4, 0.1, 0.1, 0.4), (0.25, 0.25, 0.25, 0.25), (0.1, 0.4, 0.4, 0.1)]

    def mixed(seed):
        parts = [draw(30, 3 * seed + number, (50, 120), share) for number, share in enumerate(shares)]
        return [one for part in parts for one in part], np.repeat([0, 1, 2], 30)

    (codes, labels), (test, answers) = mixed(0), mixed(1)
    found = label_floors((codes, labels), test, centre=25, trees=20, epochs=10)
    assert "positional" not in found
    told = right(found, answers)
    assert min(told[name] for name in ("GC", "composition", "TF-IDF + forest", "TF-IDF + linear", "CNN")) > 0.85


def test_majority_is_the_shares_of_training():
    codes, labels = draw(8, 0), np.array([0, 1, 1, 2, 1, 1, 0, 1])
    found = label_floors((codes, labels), draw(2, 1), trees=0, epochs=0)
    assert found["majority"].tolist() == [[[0.25, 0.625, 0.125]] * 2]
    assert not {"CNN", "TF-IDF + forest"} & set(found)


def test_a_length_is_told_where_composition_is_not():
    codes, labels = draw(40, 0, (100, 101)), np.arange(40) % 2
    codes = [one[: 60 if label else 100] for one, label in zip(codes, labels, strict=True)]
    found = label_floors((codes, labels), codes, trees=0, epochs=0)
    assert right(found, labels)["GC"] == 1


def test_gc_in_the_middle_of_a_range_is_told():
    def codes_of(shares):
        return [np.repeat([1, 0], [gc, 100 - gc]).astype(np.uint8) for gc in shares]

    labels = np.arange(60) % 2  # every other one has from 40 to 69 percent, the others less or more
    shares = [gc for pair in zip([*range(10, 25), *range(75, 90)], range(40, 70), strict=True) for gc in pair]
    found = label_floors((codes_of(shares), labels), codes_of([15, 50, 85]), trees=0, epochs=0)
    assert found["GC"][0].argmax(axis=1).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("centre", "first", "end"), [(100, 70, 130), (150, 120, 180), (190, 160, 200), (10, 0, 40)])
def test_places_are_those_about_the_centre(centre, first, end):
    codes, labels = draw(100, 0, (200, 201)), np.arange(100) % 2
    for one in codes[1::2]:
        one[np.linspace(first, end - 1, 7).astype(int)] = 2
    quick = {"trees": 0, "epochs": 0}
    found = label_floors((codes[:60], labels[:60]), codes[60:], centre=centre, **quick)
    assert right(found, labels[60:])["positional"] > 0.9
    for one in codes:
        one[first:end] = 0  # what is left is outside
    found = label_floors((codes, labels), codes, centre=centre, **quick)
    np.testing.assert_allclose(found["positional"], 0.5, atol=1e-6)
    assert "positional" not in label_floors((codes, labels), codes, **quick)


def test_scores_are_floors_of_their_own():
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 2
    scores = labels + rng.normal(size=50)
    found = label_floors(
        (draw(50, 0), labels), draw(3, 1), trees=0, epochs=0, scores={"PWM": (scores, [-3.0, 0.5, 9.0])}
    )
    scale = scores.std()
    reference = LogisticRegression().fit((scores[:, None] - scores.mean()) / scale, labels)
    expected = reference.predict_proba((np.array([[-3.0], [0.5], [9.0]]) - scores.mean()) / scale)
    np.testing.assert_allclose(found["PWM"][0], expected, atol=1e-6)
    assert found["PWM"][0, :, 1].tolist() == sorted(found["PWM"][0, :, 1])


def test_the_forest_takes_some_where_there_are_many(monkeypatch):
    codes, labels = draw(40, 0), np.arange(40) % 2
    whole = label_floors((codes, labels), codes, trees=10, epochs=0)["TF-IDF + forest"]
    monkeypatch.setattr(floors, "FOREST_EXAMPLES", 20)
    some = label_floors((codes, labels), codes, trees=10, epochs=0)["TF-IDF + forest"]
    assert right({"whole": whole}, labels)["whole"] > 0.95
    assert 0.5 < right({"some": some}, labels)["some"] < 0.95


def test_a_class_that_a_forest_has_not_seen_has_no_probability(monkeypatch):
    monkeypatch.setattr(floors, "FOREST_EXAMPLES", 20)
    codes = draw(30, 0, shares=(0.4, 0.1, 0.1, 0.4)) + draw(30, 1, shares=(0.1, 0.4, 0.4, 0.1))
    labels = np.repeat([0, 2, 1], [30, 29, 1])  # one sequence alone is of the middle class
    found = label_floors((codes, labels), codes, seeds=range(4), trees=10, epochs=0)["TF-IDF + forest"]
    assert found.shape == (4, 60, 3) and found.sum(axis=2) == pytest.approx(1)
    unseen = (found[..., 1] == 0).all(axis=1)
    assert unseen.any()
    for run in found[unseen]:
        assert right({"forest": run[None]}, labels)["forest"] > 0.9


def test_a_long_sequence_is_no_padding_of_the_others():
    (codes, labels), short = sites(40, 0), draw(6, 1, (50, 90))
    long = [one.repeat(300) for one in short[:1]]
    alone, beside = (
        label_floors((codes, labels), test, trees=0, epochs=3)["CNN"] for test in (short, short[:3] + long + short[3:])
    )
    np.testing.assert_allclose(np.delete(beside, 3, axis=1), alone, atol=1e-6)


def test_batches_are_as_long_as_their_own_sequences(monkeypatch):
    (codes, labels), sizes = sites(160, 0), []
    one_hot = discriminator.one_hot
    monkeypatch.setattr(
        discriminator, "one_hot", lambda *given: sizes.append(one_hot(*given).numel()) or one_hot(*given)
    )
    monkeypatch.setattr(discriminator, "_BASES", 16_000)
    codes[7] = draw(1, 2, (9000, 9001))[0]
    label_floors((codes, labels), codes, trees=0, epochs=1)
    assert sorted(sizes)[-3:] == [4 * 9000, 4 * 159 * 80, 4 * 16 * 9000]


def test_floors_are_repeatable_and_leave_the_random_state_alone():
    (codes, labels), (test, _) = sites(30, 0), sites(10, 1)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first = label_floors((codes, labels), test, **QUICK)
    assert torch.equal(torch.random.get_rng_state(), state)
    second = label_floors((codes, labels), test, **QUICK)
    for name, runs in first.items():
        np.testing.assert_array_equal(runs, second[name], err_msg=name)


def test_n_grams_of_the_classes_by_bayes_rule():
    poor, rich = draw(20, 0, shares=(0.4, 0.1, 0.1, 0.4)), draw(10, 1, shares=(0.1, 0.4, 0.4, 0.1))
    test = [*draw(2, 2, (6, 7)), encode("NNNNN")]
    train = poor + rich, np.repeat([0, 1], [20, 10])
    found = class_ngrams(train, test, order=2)
    logs = np.stack([NgramModel(2).fit(part).log_likelihood(test) for part in (poor, rich)], axis=1)
    joint = np.exp(logs) * [2 / 3, 1 / 3]
    np.testing.assert_allclose(found, joint / joint.sum(axis=1, keepdims=True), rtol=1e-6)
    assert found[2].tolist() == pytest.approx([2 / 3, 1 / 3])
    held_out = draw(5, 3) + draw(5, 4), np.repeat([0, 1], 5)
    fitted = class_ngrams(train, test, order=2, validation=held_out)
    assert not np.allclose(fitted[:2], found[:2])


def test_n_grams_of_the_classes_on_both_strands():
    codes, labels = [encode("AAAAAAAA"), encode("CCCCCCCC")], np.array([0, 1])
    one, both = (
        class_ngrams((codes, labels), [encode("TTTT")], order=2, reverse_complement=each) for each in (False, True)
    )
    assert one[0].tolist() == pytest.approx([0.5, 0.5]) and both[0, 0] > 0.9
