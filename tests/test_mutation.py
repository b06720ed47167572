import numpy as np
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.genes import decode, encode, reverse_complement
from dnastudy.models import NgramModel
from dnastudy.tasks.floors import Uniform
from dnastudy.tasks.mutation import (
    discriminate,
    judge,
    judge_pairs,
    make_pairs,
    make_published_pairs,
    score_pairs,
    strata_of_places,
)

GENE = "ACGTTGCAACGGTTCA" * 4


class Counting:
    """Likes A and counts what it is asked to score: -1 nat an A, -2 any other base."""

    def __init__(self):
        self.asked = []

    def log_likelihood(self, sequences):
        letters = [s if isinstance(s, str) else decode(s) for s in sequences]
        self.asked.extend(letters)
        return np.array([-2.0 * len(s) + s.count("A") for s in letters])


def test_right_wrong_and_tied():
    judged = discriminate(Counting(), ["AAAA", "CCCC", "ACCC"], ["AAAC", "CCCA", "CACC"])
    assert judged["correct"].tolist() == [1, 0, 0.5]
    assert judged["ll_real"].tolist() == [-4, -8, -7]
    assert judged["bases_mutated"].tolist() == [4, 4, 4]
    assert discriminate(Counting(), ["ACCC"], ["CACC"], ties=0)["correct"].tolist() == [0]


def test_probability_favours_the_shorter():
    real, mutated = ["AACC"], ["AAC"]
    # Total nats -6 against -4, nats a base -1.5 against -1.33.
    assert discriminate(Counting(), real, mutated, score="probability")["correct"].tolist() == [0]
    # -3 against -4, but -1.5 against -1.33 a base.
    assert discriminate(Counting(), ["AC"], ["AAC"], score="probability")["correct"].tolist() == [1]
    assert discriminate(Counting(), ["AC"], ["AAC"])["correct"].tolist() == [0]


def test_scored_pairs_are_judged_by_either_score():
    scored = discriminate(Counting(), ["AC", "AAC"], ["AAC", "AC"])
    assert judge(scored, score="perplexity").tolist() == [0, 1]
    assert judge(scored, score="probability").tolist() == [1, 0]


def test_a_model_that_knows_nothing_ties_by_perplexity_at_any_length():
    lengths = range(3, 60)
    judged = discriminate(Uniform(), ["A" * n for n in lengths], ["A" * (n + 1) for n in lengths])
    assert judged["correct"].tolist() == [0.5] * len(lengths)


def test_each_distinct_sequence_is_scored_once():
    model = Counting()
    discriminate(model, ["AA", "AA", "CC"], ["CC", "AC", "AC"])
    assert sorted(model.asked) == ["AA", "AC", "CC"]


def test_bad_pairs_are_refused():
    with pytest.raises(InputError, match="score 'likelihood'; expected 'perplexity' or"):
        discriminate(Uniform(), ["A"], ["C"], score="likelihood")
    with pytest.raises(InputError, match="1 real and 0 mutated"):
        discriminate(Uniform(), ["A"], [])
    with pytest.raises(InputError, match="pair 1: a sequence without A, C, G or T"):
        discriminate(Uniform(), ["A", "C"], ["C", "NN"])


def test_both_strands_are_averaged_and_kept_apart():
    # A C: -3 as given, -4 opposite (GT); T C: -4 as given, -3 opposite (GA): a tie on both strands.
    judged = discriminate(Counting(), ["AC", "AA"], ["TC", "CC"], both_strands=True)
    assert judged[["ll_real", "ll_mutated"]].to_numpy().tolist() == [[-3, -4], [-2, -4]]
    assert judged[["ll_real_opposite", "ll_mutated_opposite"]].to_numpy().tolist() == [[-4, -3], [-4, -4]]
    assert judged["correct"].tolist() == [0.5, 1]
    assert judge(judged, score="perplexity").tolist() == [1, 1]


def test_bases_after_a_models_last_position_do_not_count():
    model = Uniform()
    model.limit = 3
    assert discriminate(model, ["ACGTA"], ["AC"])[["bases_real", "bases_mutated"]].to_numpy().tolist() == [[3, 2]]


def test_by_probability_a_model_that_knows_nothing_wins_all_insertions_and_no_deletion():
    drawn = make_published_pairs([GENE, GENE[:50]], most=1, draws=300, seed=1)
    growth = drawn["mutated"].str.len() - drawn["real"].str.len()
    correct = discriminate(Uniform(), drawn["real"], drawn["mutated"], score="probability", ties=0)["correct"]
    assert correct.groupby(growth).mean().to_dict() == {-1: 0, 0: 0, 1: 1}
    by_perplexity = discriminate(Uniform(), drawn["real"], drawn["mutated"], ties=0)["correct"]
    assert by_perplexity.sum() == 0


def test_several_models_score_the_same_pairs_on_one_strand_or_both():
    pairs = pd.concat([make_pairs([GENE, GENE[5:]], edits=2, kinds=[kind]) for kind in ("substitution", "deletion")])
    pairs = pairs.assign(group=0).iloc[[2, 0, 3, 1]]
    models = {"uniform": Uniform(), "ngram": NgramModel(2, smoothing="laplace").fit([GENE])}
    scored = score_pairs(models, pairs, both_strands=True, include_end=["ngram"])
    assert scored[["model", "kind"]].to_numpy().tolist() == [
        [model, kind] for model in ("uniform", "ngram") for kind in ["deletion", "substitution"] * 2
    ]
    assert "real" not in scored and "correct" not in scored
    assert scored["bases_mutated"].tolist() == [62, 64, 57, 59, 63, 65, 58, 60]
    row = scored[(scored["model"] == "ngram") & (scored["kind"] == "substitution")].iloc[0]
    assert row["ll_real"] == pytest.approx(models["ngram"].log_likelihood([GENE], include_end=True)[0])
    judged = judge_pairs(scored)
    assert judged.groupby("score").size().to_dict() == {"both strands": 8, "perplexity": 8, "probability": 8}
    uniform = judged[judged["model"] == "uniform"].groupby(["score", "kind"])["correct"].mean().to_dict()
    assert uniform == {
        ("both strands", "deletion"): 0.5,
        ("both strands", "substitution"): 0.5,
        ("perplexity", "deletion"): 0.5,
        ("perplexity", "substitution"): 0.5,
        ("probability", "deletion"): 0,
        ("probability", "substitution"): 0.5,
    }
    opposite = [decode(reverse_complement(encode(sequence))) for sequence in pairs["real"]]
    backwards = models["ngram"].log_likelihood(opposite, include_end=True)
    assert scored["ll_real_opposite"][4:].tolist() == pytest.approx(backwards.tolist())
    one = score_pairs(models, pairs, include_end=["ngram"])
    pd.testing.assert_frame_equal(one, scored.drop(columns=["ll_real_opposite", "ll_mutated_opposite"]))
    assert set(judge_pairs(one, ties=0)["score"]) == {"perplexity", "probability"}


def test_a_pair_lies_inside_outside_or_partly_inside_each_kind_of_interval(corpus):
    first, last = corpus.intervals.query("kind == 'repeat'").iloc[7][["start", "end"]] - [0, 1]
    outside = np.flatnonzero(~corpus.inside("repeat"))[0]
    places = [f"{first},{last}", f"{first}", f"{outside}", f"{last},{outside}"]
    table = strata_of_places(corpus, places, ["repeat", "nothing"])
    assert table["places"].tolist() == places * 2
    assert table["stratum"].tolist() == ["all"] * 4 + ["repeat", "repeat", "not repeat", "partly repeat"]
    assert strata_of_places(corpus, []).empty
