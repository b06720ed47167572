"""Tables of chapter 09 from outcomes made up so that every figure is known."""

import numpy as np
import pandas as pd
import pytest

from dnastudy.study import label_tables
from dnastudy.study.statistics import Interval
from dnastudy.tasks.labelling import Outcome
from dnastudy.tasks.labels import LabelSet

LABELS = [0, 1, 0, 1, 0, 1, 0, 1]
EMPTY = pd.DataFrame(columns=["predictor", "use", "example", "score"])


def label_set(name, classes=("no", "yes"), labels=LABELS):
    train = pd.DataFrame({"label": range(len(classes)), "split": "train", "group": 0, "shared": False})
    test = pd.DataFrame({"label": labels, "split": "test", "group": np.arange(len(labels)), "shared": False})
    test.loc[0, "shared"] = True
    table = pd.concat([train, test], ignore_index=True).assign(contig="chr22", strand="+")
    starts = [0] * len(classes) + [0, 500, 1000, 5000, 5500, 9000, 9500, 10_000][: len(labels)]
    table = table.assign(start=starts, end=np.array(starts) + 1000)
    return LabelSet(name, table, [np.zeros(4, np.uint8)] * len(table), classes, {})


def predictions(predictor, use, chances, strands=("one", "both"), seeds=(0,)):
    return pd.concat(
        pd.DataFrame(
            {
                "predictor": predictor,
                "use": use,
                "seed": seed,
                "strands": each,
                "example": np.arange(len(chances)),
                "p0": 1 - np.array(chances),
                "p1": chances,
            }
        )
        for each in strands
        for seed in seeds
    )


def outcome(*tables, kind="bert", scores=EMPTY):
    return Outcome({"kind": kind, "seconds": 1.0}, pd.concat(tables, ignore_index=True), scores)


RIGHT = [0.1, 0.9, 0.2, 0.8, 0.1, 0.9, 0.2, 0.8]
HALF = [0.1, 0.9, 0.2, 0.8, 0.9, 0.1, 0.8, 0.2]


@pytest.fixture(scope="module")
def study():
    sets = {"Prom300, tokens": label_set("Prom300"), "PromScan": label_set("PromScan")}
    scores = pd.DataFrame(
        {"predictor": "ours", "use": "occlusion", "example": range(8), "score": [1, 4, 2, 5, 3, 6, 0, 1]}
    )
    model = outcome(
        predictions("ours", "fine-tuned", RIGHT, seeds=(0, 1)), predictions("ours", "probe", HALF), scores=scores
    )
    floor = outcome(
        predictions("GC", "floor", HALF, ("one",)),
        predictions("TF-IDF + forest", "floor", [0.5, 0.6] * 4, ("one",)),
        kind=None,
    )
    return sets, {(task, name): one for task in sets for name, one in (("floors", floor), ("ours", model))}


@pytest.fixture(scope="module")
def scores(study):
    return label_tables.scores_table(*study, resamples=200, seed=0)


def test_scores_are_of_all_runs_and_strands(scores):
    table = scores.set_index(["task", "predictor", "use", "strands"])
    assert len(table) == 2 * (2 + 2 + 2)
    ours = table.loc[("PromScan", "ours", "fine-tuned", "both")]
    assert ours["mcc"] == ours["auroc"] == 1.0 and ours["runs"] == 2 and ours["n"] == 8
    assert table.loc[("PromScan", "ours", "probe", "one"), "mcc"] == 0.0
    assert table.loc[("PromScan", "ours", "probe", "one"), "mcc_unshared"] == pytest.approx(-1 / 6)


def test_the_papers_figures_stand_beside_their_like(scores):
    paper = scores.set_index(["task", "predictor", "use", "strands"])["paper"]
    assert paper["Prom300, tokens", "ours", "fine-tuned", "both"] == 0.996
    assert paper["PromScan", "TF-IDF + forest", "floor", "one"] == 0.39
    assert np.isnan(paper["PromScan", "ours", "probe", "both"]) and np.isnan(paper["PromScan", "GC", "floor", "one"])
    assert np.isnan(label_tables.published("Prom300, genomic", "ours", "fine-tuned", "bert"))


def test_the_one_table_has_the_paper_below(scores):
    table = label_tables.mcc_table(scores).set_index(["predictor", "use"])
    assert table.loc[("ours", "fine-tuned"), "PromScan"] == "1.00 [1.00, 1.00]"
    assert table.loc[("GROVER", "in the paper")].tolist() == ["1.00", "0.63"]
    assert table.loc[("4-mer BERT", "in the paper")].tolist() == ["0.79", ""]


def test_a_model_is_set_beside_the_best_floor(study, scores):
    table = label_tables.floors_table(scores, *study, resamples=200, seed=0).set_index(["task", "use"])
    row = table.loc[("PromScan", "fine-tuned")]
    # A forest that says 0.5 to one class and 0.6 to the other is all right by its likeliest class.
    assert row["floor"] == "TF-IDF + forest" and row["difference"] == 0.0 and row["verdict"] == "undecided"
    assert table.loc[("PromScan", "probe"), "verdict"] == "worse than the floor"
    said = label_tables.findings(table.reset_index(), scores).splitlines()
    assert said[1] == (
        "PromScan: the best floor is TF-IDF + forest with an MCC of 1.00; better: none; undecided: 1; worse: 1"
    )


def test_of_floors_that_are_alike_the_best_ranks_best(study):
    sets = {"PromScan": study[0]["PromScan"]}
    ranked = [0.1, 0.4, 0.2, 0.3, 0.1, 0.4, 0.2, 0.3]  # all is called no start, and every start stands above
    floors = outcome(
        predictions("majority", "floor", [0.4] * 8, ("one",)), predictions("CNN", "floor", ranked, ("one",)), kind=None
    )
    outcomes = {("PromScan", "floors"): floors, ("PromScan", "ours"): study[1]["PromScan", "ours"]}
    scores = label_tables.scores_table(sets, outcomes, resamples=200, seed=0)
    table = label_tables.floors_table(scores, sets, outcomes, resamples=200, seed=0)
    assert set(table["floor"]) == {"CNN"}
    assert label_tables.findings(table, scores) == (
        "PromScan: the best floor is CNN with an MCC of 0.00 (2 floors have it; of these the highest AUROC, 1.00); "
        "better: ours (fine-tuned); undecided: 1; worse: 0"
    )
    assert list(label_tables.scan_track(sets, outcomes, scores, 1)[1]) == ["ours, fine-tuned", "CNN"]
    assert "CNN" in set(label_tables.reliability_table(sets, outcomes, scores)["predictor"])


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.2, "better"), (-0.2, -0.1, "worse"), (-0.1, 0.1, "undecided")]
)
def test_verdicts(low, high, expected):
    assert label_tables.verdict(Interval(0.0, low, high, 3)).split()[0] == expected


def test_strands_are_compared(scores):
    table = label_tables.strands_table(scores)
    assert len(table) == 4 and (table["difference"] == 0).all()


def test_zero_shot_scores_are_ranked(study):
    table = label_tables.zero_shot_table(*study, resamples=200, seed=0)
    # 4, 5, 6 and 1 against 1, 2, 3 and 0: 13 of 16 pairs, and a tie
    assert table["auroc"].tolist() == [pytest.approx(13.5 / 16)] * 2 and set(table["against"]) == {"yes"}


def test_sites_are_compared_with_what_is_like_them():
    like = ["donor", "donor", "donor", "acceptor"] * 2 + ["donor"]
    labels = label_set("splice", ("neither", "donor", "acceptor"), [0, 1, 0, 2, 0, 1, 0, 0])
    table = labels.table.assign(like=["donor"] * 3 + like[:8])
    found = pd.DataFrame({"predictor": "ours", "use": "occlusion", "example": range(8)})
    found["score"] = [1.0, 5.0, 6.0, 3.0, 2.0, 7.0, 0.0, 4.0]
    sets = {"splice": labels._replace(table=table)}
    rows = label_tables.zero_shot_table(sets, {("splice", "ours"): outcome(EMPTY, scores=found)}, resamples=50, seed=0)
    # Donors 5 and 7 against 1, 6, 2 and 0; the acceptor 3 against 4.
    assert dict(zip(rows["against"], rows["auroc"], strict=True)) == {"donor": 7 / 8, "acceptor": 0.0}


def test_floors_alone_leave_the_models_tables_empty(scores):
    floors = scores[scores["use"] == "floor"]
    assert label_tables.strands_table(floors).empty and len(label_tables.mcc_table(floors)) == 2 + 4


def test_what_is_calibrated_lies_on_the_diagonal(study, scores):
    table = label_tables.reliability_table(*study, scores)
    assert set(zip(table["predictor"], table["use"], strict=True)) == {
        ("ours", "fine-tuned"),
        ("TF-IDF + forest", "floor"),
    }
    assert (table[table["predictor"] == "ours"]["accuracy"] == 1).all()


def test_stretches_of_the_scan_that_hold_a_start(study, scores):
    windows, chances = label_tables.scan_track(*study, scores, 2)
    assert windows["region"].unique().tolist() == ["chr22:1-2,000", "chr22:9,001-11,000"]
    assert list(chances) == ["ours, fine-tuned", "TF-IDF + forest"] and len(windows) == 6
    assert chances["ours, fine-tuned"].tolist() == pytest.approx([0.1, 0.9, 0.2, 0.9, 0.2, 0.8])
    sets = {name: one for name, one in study[0].items() if name != "PromScan"}
    empty, nothing = label_tables.scan_track(sets, study[1], scores, 2)
    assert empty.empty and nothing == {}


def test_promoters_against_their_negatives_leave_random_starts_out(scores):
    table = label_tables.against_negatives(scores)
    assert set(table["negatives"]) == {"tokens"} and "GC" not in set(table["predictor"])
    assert label_tables.against_negatives(scores[scores["task"] == "PromScan"]).empty


def test_sizes_and_costs(study):
    sizes = label_tables.sizes_table(study[0]).set_index("task").loc["PromScan"]
    assert (sizes["train"], sizes["test"], sizes["blocks"]) == (2, 8, 8)
    assert (sizes["commonest"], sizes["shared"]) == (1 / 2, 1 / 8)
    costs = label_tables.costs_table(study[1])
    assert costs["model"].tolist() == ["ours", "ours"] and str(costs["parameters"].dtype) == "Int64"


def test_a_variant_above_its_control_counts_and_a_tie_a_half():
    scored = pd.DataFrame({"model": "ours", "llr": [1.0, 0.0, -1.0, np.nan], "control": [0.0, 0.0, 0.0, 0.0]})
    row = label_tables.variants_table(scored.assign(group=[0, 1, 2, 3]), resamples=200, seed=0).iloc[0]
    assert (row["above"], row["n"], row["variants"]) == (0.5, 3, 0.0)
    assert label_tables.variants_table(pd.DataFrame(), resamples=200, seed=0).empty
