"""dnastudy.study.figures: each draws what its table holds."""

import matplotlib
import pandas as pd
import pytest

matplotlib.use("agg")
from dnastudy.study import figures


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


def test_scores_are_drawn_in_order_with_their_values():
    table = pd.DataFrame({"model": ["uniform", "lstm"], "bits": [2.0, 1.7], "low": [2.0, 1.6], "high": [2.0, 1.8]})
    axes = figures.draw_scores(table)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["uniform", "lstm"]
    assert {text.get_text() for text in axes.texts} == {"2.000", "1.700"}


def test_a_model_has_its_own_colour_and_a_floor_is_grey():
    assert figures.colour("lstm") != figures.colour("gpt")
    assert figures.colour("4-gram") == figures.colour("uniform") == figures.FLOOR


def test_strata_stand_side_by_side():
    rows = [(s, m, 1.8, 1.7, 1.9) for s in ("all", "not shared") for m in ("ngram", "lstm")]
    axes = figures.draw_strata(pd.DataFrame(rows, columns=["stratum", "model", "bits", "low", "high"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["all", "not\nshared"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ngram", "lstm"]


def test_training_curve_has_both_lines_and_the_floor():
    history = pd.DataFrame({"bases": [1e6], "train_bits_per_base": [1.95], "validation_bits_per_base": [1.97]})
    axes = figures.draw_training(history, {"uniform": 2.0})
    assert [line.get_label() for line in axes.lines[:2]] == ["train", "validation"]
    assert (axes.lines[1].get_xdata().tolist(), axes.lines[1].get_ydata().tolist()) == ([1.0], [1.97])
    assert [text.get_text() for text in axes.texts] == ["uniform"]


def test_detection_marks_chance_and_each_number_of_edits():
    rows = [("lstm", e, a, a - 0.05, a + 0.05) for e, a in (("1", 0.6), ("unknown", 0.2))]
    axes = figures.draw_detection(pd.DataFrame(rows, columns=["model", "edits", "accuracy", "low", "high"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "unknown"]
    assert axes.get_ylim()[0] == 0


def test_sharing_is_sorted_from_most_to_least():
    axes = figures.draw_sharing(pd.DataFrame({"split": "test", "share": [0.1, 0.9, 0.5]}))
    assert axes.lines[0].get_ydata().tolist() == [0.9, 0.5, 0.1]
