"""Tables of chapter 09 from outcomes made up so that every figure is known."""

import numpy as np
import pandas as pd
import pytest
from made_up_outcomes import EMPTY, HALF, RIGHT, label_set, outcome, predictions, two_blocks, two_tasks

from dnastudy.chapters import label_inputs, label_report
from dnastudy.tokens import Tokenizer


@pytest.fixture(scope="module")
def study():
    return two_tasks()


@pytest.fixture(scope="module")
def scores(study):
    return label_report.scores_table(*study, resamples=200, seed=0)


def test_scores_are_of_all_runs_and_strands(scores):
    table = scores.set_index(["task", "predictor", "use", "strands"])
    assert len(table) == 2 * (2 + 2 + 2)
    ours = table.loc[("PromScan", "ours", "fine-tuned", "both")]
    assert ours["mcc"] == ours["auroc"] == 1.0 and ours["runs"] == 2 and ours["n"] == 8
    assert table.loc[("PromScan", "ours", "probe", "one"), "mcc"] == 0.0
    assert table.loc[("PromScan", "ours", "probe", "one"), "mcc_unshared"] == pytest.approx(-1 / 6)


def test_how_seeds_differ_is_no_interval(study):
    sets = {"PromScan": two_blocks(study[0]["PromScan"])}
    runs = predictions("ours", "fine-tuned", RIGHT, seeds=(0,)), predictions("ours", "fine-tuned", HALF, seeds=(1,))
    outcomes = {("PromScan", "ours"): outcome(*runs, predictions("ours", "probe", HALF))}
    table = label_report.scores_table(sets, outcomes, resamples=200, seed=0).set_index(["use", "strands"])
    tuned, probed = table.loc[("fine-tuned", "one")], table.loc[("probe", "one")]
    assert (tuned["mcc"], tuned["mcc_sd"]) == (0.5, pytest.approx(0.5**0.5)) and np.isnan(probed["mcc_sd"])
    # Without the first row, which stands in training, either block is still all right or all wrong.
    ends = probed[["mcc_unshared", "mcc_unshared_low", "mcc_unshared_high"]].tolist()
    assert ends == [pytest.approx(-1 / 6), -1.0, 1.0]


def test_the_papers_figures_stand_beside_their_like(scores):
    paper = scores.set_index(["task", "predictor", "use", "strands"])["paper"]
    assert paper["Prom300, tokens", "ours", "fine-tuned", "both"] == 0.996
    assert paper["PromScan", "TF-IDF + forest", "floor", "one"] == 0.39
    assert np.isnan(paper["PromScan", "ours", "probe", "both"]) and np.isnan(paper["PromScan", "GC", "floor", "one"])
    assert np.isnan(
        label_report.published(label_set("Prom300")._replace(negatives="genomic"), "ours", "fine-tuned", "bert")
    )


def test_the_one_table_has_the_paper_below(study, scores):
    table = label_report.mcc_table(scores, study[0]).set_index(["predictor", "use"])
    assert table.loc[("ours", "fine-tuned"), "PromScan"] == "1.00 [1.00, 1.00]"
    assert table.loc[("GROVER", "in the paper")].tolist() == ["0.996", "0.63"]
    assert table.loc[("4-mer BERT", "in the paper")].tolist() == ["0.79", ""]
    assert table.index.tolist()[:3] == [("GC", "floor"), ("TF-IDF + forest", "floor"), ("ours", "fine-tuned")]


def test_values_stand_with_their_intervals_across_tasks():
    rows = [("A", "bert", "probe", -0.196, -0.31, -0.094), ("B", "bert", "probe", 0.5, 0.25, 1.0)]
    rows += [("B", "GC", "floor", float("nan"), float("nan"), float("nan"))]
    table = pd.DataFrame(rows, columns=["task", "predictor", "use", "difference", "low", "high"])
    found = label_report.across_tasks(table, "difference")
    assert found.columns.tolist() == ["A", "B"] and found.index.tolist() == [("bert", "probe"), ("GC", "floor")]
    assert found.to_numpy().tolist() == [["-0.20 [-0.31, -0.09]", "0.50 [0.25, 1.00]"], ["", ""]]
    assert label_report.across_tasks(table[:0], "difference").empty


def test_what_gives_negatives_away_has_an_interval_over_blocks():
    labels = two_blocks(label_set("Prom300"))
    strong, weak = np.array([1, 2] * 4, np.uint8), np.array([0, 3] * 4, np.uint8)
    # In the first block promoters are rich in G and C, in the second the others.
    codes = [weak, strong] + [weak, strong] * 2 + [strong, weak] * 2
    sets = {"Prom300, tokens": labels._replace(codes=codes, negatives="tokens"), "PromScan": labels}
    table = label_inputs.given_away(sets, Tokenizer(), resamples=200, seed=0)
    assert table.columns.tolist() == ["statistic", "learnt", "tokens", "tokens_low", "tokens_high"]
    by_name = table.set_index("statistic")
    assert by_name.loc["GC share"].tolist() == [False, 0.5, 0.0, 1.0]
    assert by_name.loc["6-mers"].tolist() == [True, 0.5, 0.0, 1.0]
    empty = label_inputs.given_away({"PromScan": labels}, Tokenizer(), resamples=200, seed=0)
    assert empty.empty


def test_zero_shot_scores_are_ranked_beside_floors(study):
    table = label_report.zero_shot_table(*study, resamples=200, seed=0).set_index(["predictor", "use"])
    # 4, 5, 6 and 1 against 1, 2, 3 and 0: 13 of 16 pairs, and a tie
    assert table.loc[("ours", "occlusion"), "auroc"].tolist() == [pytest.approx(13.5 / 16)] * 2
    assert table.loc[("GC", "floor"), "auroc"].tolist() == [0.5] * 2
    assert len(table) == 4 and set(table["against"]) == {"yes"}


def test_sites_are_compared_with_what_is_like_them():
    like = ["donor", "donor", "donor", "acceptor"] * 2 + ["donor"]
    labels = label_set("splice", ("neither", "donor", "acceptor"), [0, 1, 0, 2, 0, 1, 0, 0])
    table = labels.table.assign(like=["donor"] * 3 + like[:8])
    found = pd.DataFrame({"predictor": "ours", "use": "occlusion", "example": range(8)})
    found["score"] = [1.0, 5.0, 6.0, 3.0, 2.0, 7.0, 0.0, 4.0]
    shares = np.tile([0.5, 0.4, 0.1], (8, 1))
    shares[[1, 3, 5, 7]] = [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.5, 0.1, 0.4]
    floor = found[["example"]].assign(predictor="positional", use="floor", seed=0, strands="one")
    floor[["p0", "p1", "p2"]] = shares
    outcomes = {("splice", "ours"): outcome(EMPTY, scores=found), ("splice", "floors"): outcome(floor, kind=None)}
    sets = {"splice": labels._replace(table=table)}
    rows = label_report.zero_shot_table(sets, outcomes, resamples=50, seed=0)
    assert rows[["predictor", "use", "against", "auroc"]].to_numpy().tolist() == [
        ["ours", "occlusion", "donor", 7 / 8],  # 5 and 7 against 1, 6, 2 and 0
        ["ours", "occlusion", "acceptor", 0.0],  # 3 against 4
        # What is given to the class that a row isn't compared with doesn't count: 2/3 and 1/3 against 4/9; 3/5 of 4/9.
        ["positional", "floor", "donor", 0.5],
        ["positional", "floor", "acceptor", 1.0],
    ]
    # Where no model was asked for scores there is nothing to be beside.
    del outcomes["splice", "ours"]
    assert label_report.zero_shot_table(sets, outcomes, resamples=50, seed=0).empty


def test_floors_alone_have_a_table(study, scores):
    assert len(label_report.mcc_table(scores[scores["use"] == "floor"], study[0])) == 2 + 4


def test_a_random_start_is_not_a_models_best_use(study):
    sets = {"PromScan": study[0]["PromScan"]}
    model = outcome(predictions("ours", "fine-tuned", HALF), predictions("ours", "random start", RIGHT))
    outcomes = {("PromScan", "ours"): model, ("PromScan", "floors"): study[1]["PromScan", "floors"]}
    scores = label_report.scores_table(sets, outcomes, resamples=50, seed=0)
    assert list(label_report.scan_track(sets, outcomes, scores, 1)[1]) == [
        ("ours", "fine-tuned"),
        ("TF-IDF + forest", "floor"),
    ]
    assert set(label_report.reliability_table(sets, outcomes, scores)["use"]) == {"fine-tuned", "floor"}


def test_what_is_calibrated_lies_on_the_diagonal(study, scores):
    table = label_report.reliability_table(*study, scores)
    assert set(zip(table["predictor"], table["use"], strict=True)) == {
        ("ours", "fine-tuned"),
        ("TF-IDF + forest", "floor"),
    }
    assert (table[table["predictor"] == "ours"]["accuracy"] == 1).all()


def test_stretches_of_the_scan_that_hold_a_start(study, scores):
    windows, chances = label_report.scan_track(*study, scores, 2)
    assert windows["region"].unique().tolist() == ["chr22:1-2,000", "chr22:9,001-11,000"]
    assert list(chances) == [("ours", "fine-tuned"), ("TF-IDF + forest", "floor")] and len(windows) == 6
    assert chances["ours", "fine-tuned"].tolist() == pytest.approx([0.1, 0.9, 0.2, 0.9, 0.2, 0.8])
    sets = {name: one for name, one in study[0].items() if name != "PromScan"}
    empty, nothing = label_report.scan_track(sets, study[1], scores, 2)
    assert empty.empty and nothing == {}


def test_promoters_against_their_negatives_leave_out_the_floors_that_know_least(study, scores):
    table = label_report.against_negatives(scores, study[0])
    assert set(table["negatives"]) == {"tokens"} and "GC" not in set(table["predictor"])
    assert label_report.against_negatives(scores[scores["task"] == "PromScan"], study[0]).empty


def test_labelled_sequences_are_listed_with_their_place(study):
    table = label_inputs.labels_table(study[0])
    assert list(table) == ["task", "split", "row", "label", "contig", "start", "end", "strand"]
    test = table.query("task == 'PromScan' and split == 'test'")
    labels = study[0]["PromScan"]
    truth = labels.table.loc[labels.table["split"] == "test", "label"]
    assert test["row"].tolist() == list(range(8)) and test["label"].tolist() == [labels.classes[each] for each in truth]


def test_a_class_that_no_decoy_is_like_has_no_zero_shot_score():
    labels = label_set("splice", ("none", "donor", "acceptor"), [0, 1, 0, 2, 0, 1, 0, 2])
    labels.table["like"] = ["donor" if label < 2 else "acceptor" for label in labels.table["label"]]
    scores = pd.DataFrame({"predictor": "ours", "use": "occlusion", "example": range(8), "score": np.arange(8.0)})
    empty = pd.DataFrame(columns=["predictor", "use", "seed", "strands", "example", "p0", "p1", "p2"])
    outcomes = {("splice", "ours"): outcome(empty, scores=scores)}
    table = label_report.zero_shot_table({"splice": labels}, outcomes, resamples=50, seed=0).set_index("against")
    assert np.isfinite(table.loc["donor", "auroc"]) and table.loc["acceptor", ["auroc", "n"]].isna().tolist() == [
        True,
        False,
    ]


def test_sizes_and_costs(study):
    sizes = label_inputs.sizes_table(study[0]).set_index("task").loc["PromScan"]
    assert (sizes["train"], sizes["test"], sizes["blocks"]) == (2, 8, 8)
    assert (sizes["commonest"], sizes["shared"]) == (1 / 2, 1 / 8)
    costs = label_report.costs_table(study[1])
    assert costs["model"].tolist() == ["ours", "ours"] and str(costs["parameters"].dtype) == "Int64"


def test_a_variant_above_its_control_counts_and_a_tie_a_half():
    scored = pd.DataFrame({"model": "ours", "llr": [1.0, 0.0, -1.0, np.nan], "control": [0.0, 0.0, 0.0, 0.0]})
    row = label_report.variants_table(scored.assign(group=[0, 1, 2, 3]), resamples=200, seed=0).iloc[0]
    assert (row["above"], row["n"], row["variants"]) == (0.5, 3, 0.0)
    assert label_report.variants_table(pd.DataFrame(), resamples=200, seed=0).empty
