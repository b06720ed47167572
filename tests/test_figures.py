"""dnastudy.study.figures: each draws what its table holds."""

import matplotlib
import pandas as pd
import pytest

matplotlib.use("agg")
from dnastudy.chapters import (
    compare_models,
    detect_mutations,
    extract_genes,
    generate_genes,
    measure_data_hunger,
    train_language_model,
)
from dnastudy.study import figures


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


def test_scores_are_drawn_in_order_with_their_values():
    table = pd.DataFrame({"model": ["uniform", "lstm"], "bits": [2.0, 1.7], "low": [2.0, 1.6], "high": [2.0, 1.8]})
    axes = compare_models.draw_scores(table)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["uniform", "lstm"]
    assert {text.get_text() for text in axes.texts} == {"2.000", "1.700"}


def test_a_model_has_its_own_colour_and_a_floor_is_grey():
    assert len({figures.colour(kind) for kind in ("ngram", "lstm", "gpt", "gru", "bert")}) == 5
    assert figures.colour("4-gram") == figures.colour("uniform") == figures.FLOOR


def test_every_floor_of_a_figure_has_its_own_mark():
    floors = ["uniform", "copy", "4-gram", "8-gram", "24-gram", "Laplace 8-gram"]
    rows = [(model, edits, 0.6, 0.5, 0.7) for model in [*floors, "lstm"] for edits in ("1", "5")]
    axes = detect_mutations.draw_detection(pd.DataFrame(rows, columns=["model", "edits", "accuracy", "low", "high"]))
    marks = {bars.get_label(): bars.lines[0].get_marker() for bars in axes.containers}
    assert len({marks[floor] for floor in floors}) == 6
    assert (marks["lstm"], marks["uniform"], marks["copy"]) == ("o", "x", "s")


def test_strata_stand_side_by_side():
    rows = [(s, m, 1.8, 1.7, 1.9) for s in ("all", "not shared") for m in ("ngram", "lstm")]
    axes = figures.draw_strata(pd.DataFrame(rows, columns=["stratum", "model", "bits", "low", "high"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["all", "not\nshared"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ngram", "lstm"]


def test_strata_have_a_panel_a_number_of_edits_with_gaps_where_no_pair_lies():
    rows = [("1", "shared", 0.7), ("1", "not shared", 0.6), ("5", "not shared", 0.9)]
    table = pd.DataFrame(rows, columns=["edits", "stratum", "bits"]).assign(model="copy", low=0.5, high=1)
    first, second = figures.draw_strata(table, label="share").figure.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("share\nedits: 1", "share\nedits: 5")
    assert first.lines[0].get_marker() == "s"
    assert second.lines[0].get_ydata().tolist() == pytest.approx([float("nan"), 0.9], nan_ok=True)


def test_training_curve_has_both_lines_and_the_floor():
    history = pd.DataFrame({"bases": [1e6], "train_bits_per_base": [1.95], "validation_bits_per_base": [1.97]})
    axes = train_language_model.draw_history(history)
    assert [line.get_label() for line in axes.lines[:2]] == ["train", "validation"]
    assert (axes.lines[1].get_xdata().tolist(), axes.lines[1].get_ydata().tolist()) == ([1.0], [1.97])
    assert [text.get_text() for text in axes.texts] == ["uniform"]


def test_detection_marks_chance_and_each_number_of_edits():
    rows = [("lstm", e, a, a - 0.05, a + 0.05) for e, a in (("1", 0.6), ("unknown", 0.2))]
    axes = detect_mutations.draw_detection(pd.DataFrame(rows, columns=["model", "edits", "accuracy", "low", "high"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "unknown"]
    assert axes.get_ylim()[0] == 0


def test_another_score_stands_beside_dashed():
    table = pd.DataFrame({"model": "lstm", "edits": ["1", "5"], "accuracy": [0.6, 0.8], "low": 0.5, "high": 0.9})
    axes = detect_mutations.draw_detection(table, beside=table.assign(accuracy=[0.55, 0.7]))
    assert (axes.lines[0].get_linestyle(), axes.lines[0].get_ydata().tolist()) == ("--", [0.55, 0.7])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lstm"]


def test_strata_of_accuracy_have_their_own_label_and_chance():
    table = pd.DataFrame({"stratum": "all", "model": ["lstm"], "accuracy": [0.7], "low": [0.6], "high": [0.8]})
    axes = figures.draw_strata(table, value="accuracy", label="share", reference=0.5)
    assert axes.get_ylabel() == "share"
    assert axes.lines[0].get_ydata().tolist() == [0.7] and axes.lines[-1].get_ydata() == [0.5, 0.5]


def test_the_published_task_has_a_panel_a_score_and_an_open_mark_where_the_paper_has_a_figure():
    table = pd.DataFrame(
        {
            "score": ["perplexity", "perplexity", "probability", "probability"],
            "model": ["Laplace 8-gram", "ngram"] * 2,
            "most": 1,
            "accuracy": 0.6,
            "low": 0.5,
            "high": 0.7,
            "published": [0.65, None] * 2,
            "published_low": [0.64, None] * 2,
            "published_high": [0.66, None] * 2,
        }
    ).astype({name: float for name in ("published", "published_low", "published_high")})
    first, second = detect_mutations.draw_published_accuracy(table).get_figure().axes
    assert (first.get_title(), second.get_title()) == ("by perplexity", "by probability")
    open_marks = [line.get_ydata().tolist() for line in first.lines if line.get_markerfacecolor() == "white"]
    assert open_marks[0] == [0.65] and len(open_marks) == 3  # the n-gram's is missing; the last is the legend's
    assert [text.get_text() for text in second.get_legend().get_texts()] == ["Laplace 8-gram", "ngram", "in the paper"]


def test_sharing_is_sorted_from_most_to_least():
    axes = extract_genes.draw_sharing(pd.DataFrame({"split": "test", "share": [0.1, 0.9, 0.5]}))
    assert axes.lines[0].get_ydata().tolist() == [0.9, 0.5, 0.1]


def test_hunger_is_filled_where_the_data_set_the_limit_and_open_elsewhere():
    rows = [("bases", "lstm", 1e3, 1.9, 1.8, 2.0, 0), ("bases", "lstm", 1e4, 1.8, 1.7, 1.9, 1)]
    curves = pd.DataFrame(rows, columns=["unit", "kind", "size", "bits", "low", "high", "limited"])
    laws = pd.DataFrame({"unit": "bases", "kind": "lstm", "size": [1e3, 1e4], "bits": [1.9, 1.8]})
    axes = measure_data_hunger.draw_hunger(curves, laws)
    marks = {line.get_xdata()[0]: line.get_markerfacecolor() for line in axes.lines if len(line.get_xdata()) == 1}
    assert marks == {1e3: figures.colour("lstm"), 1e4: "white"}
    assert axes.lines[0].get_xdata().tolist() == [1e3, 1e4]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lstm, bases"]
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "bits per base, held out"


def test_gains_have_a_line_for_each_unit():
    gains = pd.DataFrame({"unit": ["bases", "words"], "kind": "ngram", "size": 1e3, "share": [0.4, 0.8]})
    axes = measure_data_hunger.draw_gains(gains)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ngram, bases", "ngram, words"]
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()


def test_composition_has_a_panel_a_known_property():
    table = pd.DataFrame({"set": ["lstm", "held out"], "gc": [0.4, 0.5], "cpg": [0.2, 0.3]})
    axes = generate_genes.draw_composition(table, {"gc": "GC content", "donor_sites": "sites", "cpg": "CpG"})
    assert [panel.get_xlabel() for panel in axes.figure.axes] == ["GC content", "CpG"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lstm", "held out"]


def test_spectra_are_relative_and_shade_the_training_samples():
    rows = [("lstm", 1, 3.0, None, None), ("train", 1, 1.0, 0.5, 2.0), ("lstm", 2, 2.0, None, None)]
    table = pd.DataFrame([*rows, ("train", 2, 1.0, 0.8, 1.5)], columns=["set", "k", "relative", "low", "high"])
    axes = generate_genes.draw_spectra(table)
    assert [line.get_ydata().tolist() for line in axes.lines] == [[3, 2], [1, 1]]
    shaded = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (shaded.min(), shaded.max()) == (0.5, 2)


def test_dinucleotides_are_written_into_their_cells():
    rows = [("lstm", "AA", 1.1), ("lstm", "CG", 0.3), ("held out", "AA", 1.0), ("held out", "CG", 0.25)]
    axes = generate_genes.draw_dinucleotides(pd.DataFrame(rows, columns=["set", "dinucleotide", "odds"]))
    assert [text.get_text() for text in axes.texts] == ["1.10", "0.30", "1.00", "0.25"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lstm", "held out"]


def test_runs_have_a_panel_a_base_and_leave_out_what_does_not_occur():
    rows = [("lstm", base, length, rate) for base in "AC" for length, rate in ((1, 200.0), (2, 50.0), (3, 0.0))]
    axes = generate_genes.draw_runs(pd.DataFrame(rows, columns=["set", "base", "length", "per_kb"]))
    assert [panel.get_title() for panel in axes.figure.axes] == ["A", "C"]
    assert axes.lines[0].get_xdata().tolist() == [1, 2]


def test_discriminators_stand_side_by_side():
    rows = [(s, c, 0.7, 0.6, 0.8) for s in ("lstm", "train") for c in ("k-mers", "CNN")]
    axes = generate_genes.draw_discriminators(pd.DataFrame(rows, columns=["set", "classifier", "auroc", "low", "high"]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lstm", "train"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["k-mers", "CNN"]


def test_distances_say_the_range_of_the_training_samples():
    rows = [("GC content", "lstm", 2.04, None, None), ("GC content", "train", 1.0, 0.75, 1.3)]
    table = pd.DataFrame(rows, columns=["property", "set", "relative", "low", "high"])
    axes = generate_genes.draw_distances(table)
    assert [text.get_text() for text in axes.texts] == ["2.0", "0.8–1.3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["GC content"]
