"""dnastudy.chapters.label_figures: each draws what its table holds."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("agg")
from dnastudy.chapters import grammar_figures, label_figures
from dnastudy.genes.codes import encode
from dnastudy.study.figures import FLOOR, colour

NONE = float("nan")


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture
def panel():
    return matplotlib.pyplot.subplots()[1]


def scores(first="task"):
    rows = [
        ("Prom300", "GC", "floor", 0.2, 0.1, 0.3, NONE),
        ("Prom300", "CNN", "floor", 0.4, 0.3, 0.5, NONE),
        ("Prom300", "lstm", "fine-tuned", 0.6, 0.5, 0.7, NONE),
        ("Prom300", "lstm", "random start", 0.5, 0.4, 0.6, NONE),
        ("CTCF", "lstm", "fine-tuned", 0.7, 0.6, 0.8, NONE),
        ("CTCF", "GC", "floor", 0.1, 0.0, 0.2, NONE),
        ("CTCF", "GROVER", "fine-tuned", NONE, NONE, NONE, 0.6),
    ]
    return pd.DataFrame(rows, columns=[first, "predictor", "use", "mcc", "low", "high", "paper"])


def points(axes, marker):
    """Places and colours of single marks."""
    lines = [line for line in axes.lines if line.get_marker() == marker and len(line.get_xdata()) == 1]
    return [(line.get_xdata()[0], line.get_ydata()[0], line.get_color()) for line in lines]


def boxes(axes):
    """Left, right, bottom, top and colour of each letter."""
    found = []
    for patch in axes.patches:
        (left, bottom), (right, top) = patch.get_path().get_extents().get_points()
        found.append(
            ((left + right) / 2, round(bottom, 6), round(top, 6), matplotlib.colors.to_hex(patch.get_facecolor()))
        )
    return found


def test_scores_have_a_panel_a_task_and_a_row_a_predictor():
    axes = label_figures.scores_figure(scores())
    first, second = axes.figure.axes
    assert (first.get_title(), second.get_title()) == ("Prom300", "CTCF")
    assert [label.get_text() for label in first.get_yticklabels()] == ["GC", "CNN", "lstm", "GROVER"]
    assert first.get_yticks().tolist() == [3, 2, 1, 0]
    assert points(first, "o") == [
        (0.2, 3, FLOOR),
        (0.4, 2, FLOOR),
        (0.6, pytest.approx(1.27), colour("lstm")),
    ]
    assert points(first, "s") == [(0.5, pytest.approx(0.73), colour("lstm"))]
    assert points(second, "|")[-1] == (0.6, 0, "black")
    intervals = [list(line.get_xdata()) for line in first.lines if len(line.get_xdata()) == 2]
    assert intervals[:4] == [[0.1, 0.3], [0.3, 0.5], [0.5, 0.7], [0.4, 0.6]]
    names = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert names == ["floor", "fine-tuned", "random start", "in the paper"]


@pytest.mark.parametrize(("tasks", "rows"), [(1, 1), (3, 1), (4, 2), (7, 2)])
def test_scores_of_many_tasks_stand_in_two_rows(tasks, rows):
    table = pd.concat([scores().assign(task=f"Prom300, {number}") for number in range(tasks)])
    figure = label_figures.scores_figure(table).figure
    assert len(figure.axes) == tasks and figure.axes[-1].get_title() == f"Prom300\n{tasks - 1}"
    assert len({panel.get_subplotspec().rowspan.start for panel in figure.axes}) == rows
    assert figure.get_size_inches()[0] < 9  # of a page's column of 7.8, so that text stays readable


def test_a_random_start_is_hollow_and_without_a_paper_there_is_no_tick():
    axes = label_figures.scores_figure(scores().assign(paper=NONE))
    fills = {line.get_label(): line.get_markerfacecolor() for line in axes.lines}
    assert fills["random start"] == "white" and fills["fine-tuned"] != "white"
    assert "in the paper" not in fills


def test_negatives_stand_side_by_side_with_a_line_a_predictor():
    axes = label_figures.negatives_figure(scores("negatives"))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Prom300", "CTCF"]
    lines = {bars.get_label(): bars.lines[0] for bars in axes.containers}
    assert list(lines) == ["GC", "CNN", "lstm, fine-tuned", "lstm, random start", "GROVER, fine-tuned"]
    assert lines["GC"].get_ydata().tolist() == [0.2, 0.1]
    assert lines["lstm, fine-tuned"].get_ydata().tolist() == [0.6, 0.7]
    assert lines["lstm, random start"].get_ydata().tolist() == pytest.approx([0.5, NONE], nan_ok=True)
    assert lines["GC"].get_marker() != lines["CNN"].get_marker()
    ticks = [line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "_"]
    assert ticks[4] == pytest.approx([NONE, 0.6], nan_ok=True)


def test_a_track_has_a_panel_a_region_with_its_starts():
    windows = pd.DataFrame(
        {
            "contig": ["chr22", "chr22", "chr19", "chr22"],
            "start": [1000, 1500, 1000, 2000],
            "end": [2000, 2500, 2000, 3000],
            "region": ["A", "A", "B", "A"],
        }
    )
    starts = pd.DataFrame(
        [("chr22", 1700, "+", "ABC1"), ("chr22", 3000, "-", "OUT"), ("chr19", 1200, "-", "XYZ")],
        columns=["contig", "position", "strand", "symbol"],
    )
    axes = label_figures.track_figure(
        windows, {("lstm", "probe"): [0.1, 0.2, 0.3, 0.4], ("GC", "floor"): [0, 0, 0, 0]}, starts
    )
    first, second = axes.figure.axes
    line = first.lines[0]
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1.5, 2.0, 2.5], [0.1, 0.2, 0.4])
    assert second.lines[0].get_ydata().tolist() == [0.3]
    assert [line.get_color() for line in first.lines[:2]] == [colour("lstm"), FLOOR]
    assert [text.get_text() for text in first.texts] == ["", "ABC1"]
    ahead, back = (panel.texts[0] for panel in (first, second))
    assert (ahead.get_position()[0], ahead.xy[0]) == pytest.approx((1.7, 1.78))  # of the panel's 2 kb
    assert (back.get_position()[0], back.xy[0]) == pytest.approx((1.2, 1.16))  # of 1 kb


def test_calibration_has_a_line_a_predictor():
    table = pd.DataFrame(
        {"confidence": [0.6, 0.9, 0.7], "accuracy": [0.55, 0.95, 0.4], "share": [0.25, 0.75, 1.0]}
    ).assign(predictor=["gpt", "gpt", "GC"], use=["probe", "probe", "floor"])
    axes = label_figures.calibration_figure(table)
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["gpt, probe"].get_ydata().tolist() == [0.55, 0.95]
    assert (lines["GC"].get_color(), lines["GC"].get_xdata().tolist()) == (FLOOR, [0.7])
    assert axes.lines[0].get_xdata().tolist() == [0.4, 1]
    assert axes.collections[0].get_sizes().tolist() == [48, 128]


def test_a_logo_is_as_high_as_its_information(panel):
    # All G: 2 bits. A and T alike: 1 bit, half each. All alike: none.
    grammar_figures.motif_logo(panel, [[0, 0, 30, 0], [5, 0, 0, 5], [1, 1, 1, 1]])
    bases = grammar_figures.BASES
    assert boxes(panel) == [
        (pytest.approx(0), 0, 2, bases["G"]),
        (pytest.approx(1), 0, 0.5, bases["A"]),
        (pytest.approx(1), 0.5, 1, bases["T"]),
    ]
    assert panel.get_ylim() == (0, 2) and panel.get_xlim() == (-0.5, 2.5)


def test_letters_of_importance_point_down_where_negative(panel):
    grammar_figures.importance_logo(panel, encode("CANT"), [0.5, -2.0, 3.0, 0.0], start=-2)
    assert boxes(panel) == [
        (pytest.approx(-2), 0, 0.5, grammar_figures.BASES["C"]),
        (pytest.approx(-1), -2, 0, grammar_figures.BASES["A"]),
    ]
    assert panel.get_ylim() == pytest.approx((-2.1, 0.525))
    flat = grammar_figures.importance_logo(matplotlib.pyplot.subplots()[1], encode("AC"), np.zeros(2))
    assert flat.get_ylim() == (-1, 1) and not flat.patches


def test_what_gives_negatives_away_has_a_row_a_statistic_and_a_mark_a_kind():
    table = pd.DataFrame({"statistic": ["tokens", "GC"], "learnt": [True, False], "a": [0.9, 0.5], "b": [0.4, 0.6]})
    for kind in "ab":
        table = table.assign(**{f"{kind}_low": table[kind] - 0.1, f"{kind}_high": table[kind] + 0.1})
    axes = label_figures.given_away_figure(table, ["a", "b"])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["tokens (learnt)", "GC"]
    marks = [line.get_xdata().tolist() for line in axes.get_lines() if line.get_marker() in "os"]
    assert marks == [[0.9, 0.5], [0.4, 0.6]]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["a", "b"]
