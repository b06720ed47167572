"""dnastudy.chapters.select_report: each draws what its table holds."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("agg")
from dnastudy.chapters import select_report

NONE = float("nan")


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


def accuracies(sizes):
    rows = [
        (protocol, k, name, merges, share / k, share / k - 0.1, share / k + 0.1)
        for protocol, better in (("mended", 0), ("published", 0.1))
        for k in sizes
        for name, merges, share in (("BPE 8", 8, 0.4 + better), ("6-mer", NONE, 0.3), ("BPE 2", 2, 0.5 + better))
    ]
    return pd.DataFrame(rows, columns=["protocol", "k", "vocabulary", "merges", "accuracy", "low", "high"])


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_accuracy_has_a_panel_a_k_and_a_line_a_protocol():
    floors = pd.DataFrame({"floor": ["uniform", "majority"], "k": [2, 2], "accuracy": [0.0625, 0.07]})
    axes = select_report.draw_accuracy(accuracies([2, 3, 4, 5, 6]), floors, chosen="BPE 2")
    panels = axes.figure.axes
    assert [panel.get_title() for panel in panels] == ["k = 2", "k = 3", "k = 4", "k = 5", "k = 6", ""]
    mended, published = line(axes, "mended"), line(axes, "published")
    assert mended.get_xdata().tolist() == [1, 3]  # the logarithms of 2 and 8 merges
    assert mended.get_ydata().tolist() == [25, 20]
    assert published.get_ydata().tolist() == [30, 25]
    assert (mended.get_linestyle(), published.get_linestyle()) == ("-", "--")
    assert [text.get_text() for text in panels[-1].get_legend().get_texts()] == ["mended", "published", "chosen"]


def test_rivals_stand_left_of_the_merges_and_the_chosen_one_is_ringed():
    axes = select_report.draw_accuracy(
        accuracies([2]), pd.DataFrame(columns=["floor", "k", "accuracy"]), chosen="6-mer"
    )
    order = np.argsort(axes.get_xticks())
    assert [ticks(axes)[number] for number in order] == ["6-mer", "2", "8"]
    ring = line(axes, "chosen")
    assert (ring.get_xdata().item(), ring.get_ydata().item()) == (min(axes.get_xticks()), 15)
    legend = axes.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["mended", "published", "chosen"]


def test_names_of_floors_that_are_alike_lie_above_each_other():
    floors = pd.DataFrame({"floor": ["majority", "uniform", "4-gram"], "k": 2, "accuracy": [0.101, 0.1, 0.2]})
    axes = select_report.draw_accuracy(accuracies([2]), floors)
    assert [text.get_text() for text in axes.texts] == ["uniform", "majority", "4-gram"]
    places = [text.get_position()[1] for text in axes.texts]
    lines = [text.xy[1] for text in axes.texts]
    assert lines == pytest.approx([10, 10.1, 20])
    axes.figure.draw_without_rendering()
    boxes = [matplotlib.text.Text.get_window_extent(text) for text in axes.texts]  # without the lines that lead to them
    assert not boxes[0].overlaps(boxes[1])
    assert places == sorted(places)


def test_bits_have_a_line_a_measure_and_floors():
    rows = [
        (measure, name, merges, bits + more, NONE, NONE)
        for measure, more in (("exact", 0), ("upper bound", 0.25))
        for name, merges, bits in (("1-mer", NONE, 1.5), ("BPE 2", 2, 1.25), ("BPE 4", 4, 1.0))
    ]
    table = pd.DataFrame(rows, columns=["measure", "vocabulary", "merges", "bits", "low", "high"])
    axes = select_report.draw_bits(table, {"uniform": 2.0}, chosen="BPE 4")
    assert line(axes, "exact").get_ydata().tolist() == [1.25, 1.0]
    assert line(axes, "upper bound").get_ydata().tolist() == [1.5, 1.25]
    assert line(axes, "chosen").get_ydata().tolist() == [1.0]
    assert [text.get_text() for text in axes.texts] == ["uniform"]
    assert ticks(axes) == ["1-mer", "2", "4"]


def test_scores_within_one_standard_error_are_filled():
    table = pd.DataFrame(
        {
            "vocabulary": ["1-mer", "BPE 2", "BPE 4", "BPE 8"],
            "merges": [NONE, 2, 4, 8],
            "score": [0.8, 0.9, 1.0, 1.1],
            "low": [0.7, 0.8, 0.9, 1.0],
            "high": [0.9, 1.0, 1.1, 1.2],
            "error": [0.1, 0.1, 0.15, 0.0],
            "within": [False, False, True, True],
            "chosen": [False, False, True, False],
        }
    )
    axes = select_report.draw_score(table)
    marks = [bars.lines[0] for bars in axes.containers]
    assert [mark.get_ydata().item() for mark in marks] == [0.8, 0.9, 1.0, 1.1]
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [True, True, False, False]
    assert line(axes, "chosen").get_xydata().tolist() == [[2, 1.0]]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[band[:, 0] == 2, 1].tolist() == pytest.approx([0.95, 1.1])
