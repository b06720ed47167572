"""Differences of chapter 09 from outcomes made up so that every figure is known."""

import pytest
from made_up_outcomes import HALF, RIGHT, WRONG, label_set, outcome, predictions, two_blocks, two_tasks

from dnastudy.chapters import label_report
from dnastudy.study import statistics
from dnastudy.study.statistics import Interval

HOW = {"resamples": 200, "seed": 0}


@pytest.fixture(scope="module")
def study():
    return two_tasks()


@pytest.fixture(scope="module")
def networks():
    """On one label set: a network that lost by pre-training, one that won, one undecided, and an n-gram."""
    parts = {
        "bert": {"fine-tuned": WRONG, "probe": RIGHT, "random start": RIGHT},
        "gpt": {"fine-tuned": RIGHT, "random start": WRONG},
        "lstm": {"fine-tuned": HALF, "random start": [0.4] * 8},
        "ngram": {"fine-tuned": RIGHT},
    }
    outcomes = {}
    for model, uses in parts.items():
        one = [predictions(model, use, found, ("one",)) for use, found in uses.items()]
        both = [predictions(model, use, RIGHT, ("both",)) for use in uses]
        outcomes["CTCF", model] = outcome(*one, *both, kind=model)
    outcomes["CTCF", "floors"] = outcome(predictions("majority", "floor", [0.4] * 8, ("one",)), kind=None)
    return {"CTCF": two_blocks(label_set("CTCF"))}, outcomes


def test_a_model_is_set_beside_the_best_floor(study):
    scores = label_report.scores_table(*study, **HOW)
    table = label_report.floors_table(scores, *study, **HOW)
    by_use = table.set_index(["task", "use"])
    row = by_use.loc[("PromScan", "fine-tuned")]
    # A forest that says 0.5 to one class and 0.6 to the other is all right by its likeliest class.
    assert row["floor"] == "TF-IDF + forest" and row["difference"] == 0.0 and row["verdict"] == "undecided"
    assert by_use.loc[("PromScan", "probe"), "verdict"] == "worse than the floor"
    none = label_report.pretraining_table(*study, **HOW)
    assert none.empty and none.columns.tolist() == table.columns.tolist()
    assert label_report.findings(table, scores, none).splitlines()[4:] == [
        "PromScan: the best floor is TF-IDF + forest with an MCC of 1.00",
        "  better: none",
        "  undecided: ours (fine-tuned)",
        "  worse: ours (probe)",
    ]


def test_of_floors_that_are_alike_the_best_ranks_best(study):
    sets = {"PromScan": study[0]["PromScan"]}
    ranked = [0.1, 0.4, 0.2, 0.3, 0.1, 0.4, 0.2, 0.3]  # all is called no start, and every start stands above
    floors = outcome(
        predictions("majority", "floor", [0.4] * 8, ("one",)), predictions("CNN", "floor", ranked, ("one",)), kind=None
    )
    outcomes = {("PromScan", "floors"): floors, ("PromScan", "ours"): study[1]["PromScan", "ours"]}
    scores = label_report.scores_table(sets, outcomes, **HOW)
    table = label_report.floors_table(scores, sets, outcomes, **HOW)
    assert set(table["floor"]) == {"CNN"}
    said = label_report.findings(table, scores, label_report.pretraining_table(sets, outcomes, **HOW))
    assert said.splitlines()[:2] == [
        "PromScan: the best floor is CNN with an MCC of 0.00 (2 floors have it; of these the highest AUROC, 1.00)",
        "  better: ours (fine-tuned)",
    ]
    assert list(label_report.scan_track(sets, outcomes, scores, 1)[1]) == [("ours", "fine-tuned"), ("CNN", "floor")]
    assert "CNN" in set(label_report.reliability_table(sets, outcomes, scores)["predictor"])


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.2, "better"), (-0.2, -0.1, "worse"), (-0.1, 0.1, "undecided")]
)
def test_verdicts(low, high, expected):
    assert statistics.verdict(Interval(0.0, low, high, 3)).split()[0] == expected


def test_a_network_is_set_beside_its_own_random_start(networks):
    table = label_report.pretraining_table(*networks, **HOW)
    assert table.drop(columns="task").to_numpy().tolist() == [
        ["bert", "fine-tuned", "random start", -1.0, -1.0, -1.0, "worse than the floor"],
        ["gpt", "fine-tuned", "random start", 1.0, 1.0, 1.0, "better than the floor"],
        # Its blocks are drawn whole, and one is right and one wrong.
        ["lstm", "fine-tuned", "random start", 0.0, -0.5, 0.5, "undecided"],
    ]


def test_a_random_start_is_a_floor_and_not_a_model_that_beats_one(networks):
    scores = label_report.scores_table(*networks, **HOW)
    floors = label_report.floors_table(scores, *networks, **HOW)
    assert set(floors["floor"]) == {"majority"} and (floors["use"] == "random start").sum() == 3
    pretraining = label_report.pretraining_table(*networks, **HOW)
    assert label_report.findings(floors, scores, pretraining).splitlines() == [
        "CTCF: the best floor is majority with an MCC of 0.00",
        "  better: bert (probe), gpt (fine-tuned), ngram (fine-tuned)",
        "  undecided: lstm (fine-tuned)",
        "  worse: bert (fine-tuned)",
        "  random starts that are better than the floor: bert",
        "  worse than from random weights, by AUROC: bert (fine-tuned)",
    ]
    alone = {key: one for key, one in networks[1].items() if key[1] in ("floors", "bert")}
    best = alone["CTCF", "bert"].predictions.query("use != 'probe'")
    alone["CTCF", "bert"] = alone["CTCF", "bert"]._replace(predictions=best)
    scores = label_report.scores_table(networks[0], alone, **HOW)
    floors = label_report.floors_table(scores, networks[0], alone, **HOW)
    said = label_report.findings(floors, scores, label_report.pretraining_table(networks[0], alone, **HOW))
    assert "  above it and all models: bert from random weights, 1.00" in said.splitlines()


def test_strands_are_compared_on_the_same_rows(networks):
    scores = label_report.scores_table(*networks, **HOW)
    table = label_report.strands_table(scores, *networks, **HOW).set_index(["predictor", "use"])
    assert len(table) == 8 and "floor" not in table.index.get_level_values("use")
    columns = ["one", "both", "difference", "low", "high"]
    assert table.loc[("lstm", "fine-tuned"), columns].tolist() == [0.0, 1.0, 1.0, 0.0, 2.0]
    assert table.loc[("ngram", "fine-tuned"), columns].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    floors = {key: one for key, one in networks[1].items() if key[1] == "floors"}
    assert label_report.strands_table(scores, networks[0], floors, **HOW).empty
