"""dnastudy.chapters.grammar_figures: each draws what its table holds."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("agg")
from matplotlib.colors import to_hex

from dnastudy.chapters import grammar_figures
from dnastudy.study.figures import FLOOR
from dnastudy.tasks.embeddings import PROPERTIES


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_variance_stands_beside_the_papers():
    table = pd.DataFrame({"embedding": ["a", "a", "b"], "component": [1, 2, 1], "share": [0.5, 0.25, 0.1]})
    axes = grammar_figures.draw_variance(table)
    assert labels(axes) == ["a", "b"] and axes.lines[0].get_ydata().tolist() == [50, 25]
    assert [line.get_ydata()[0] for line in axes.lines[2:]] == pytest.approx([3.5, 15])


def test_correlations_that_are_sure_are_bold():
    rows = [("a", component, name, 0.5) for component in (1, 2) for name in PROPERTIES]
    table = pd.DataFrame(rows, columns=["embedding", "component", "property", "rho"]).assign(low=-0.1, high=0.7)
    table.loc[7, "low"] = 0.2  # AG of the second component
    table.loc[table["property"] == "length", ["rho", "low", "high"]] = np.nan
    axes = grammar_figures.draw_correlations(table)
    weights = {text.get_position(): text.get_fontweight() for text in axes.texts}
    assert len(weights) == 8 and [place for place, weight in weights.items() if weight == "bold"] == [(2.5, 1.5)]


def test_tokens_are_named_where_they_are_commonest():
    tokens = pd.DataFrame(
        {"PC1": range(10), "PC2": 0, "token": list("abcdefghij"), "log frequency": range(10), "GC": 0.5}
    )
    axes = grammar_figures.draw_tokens(tokens)
    assert [text.get_text() for text in axes.texts] == list("jihgfedc")
    heights = [text.get_position()[1] for text in axes.texts]
    assert np.diff(heights).min() > 0.05 and 0 < heights[0] and heights[-1] < 1  # in the panel, and none on another
    # They stand on the right, where these are, in a margin without ticks.
    assert {text.get_ha() for text in axes.texts} == {"right"} and axes.get_xlim()[1] > 9.6 > axes.get_xticks().max()
    assert axes.collections[0].get_offsets()[:, 0].tolist() == list(range(10))


@pytest.fixture
def similarity():
    table = pd.DataFrame({"model": "m", "layer": np.repeat([0, 1], 11), "similarity": np.tile(np.arange(11) / 10, 2)})
    columns = {"anisotropy": np.repeat([0.1, 0.6], 11), "in_repeats": 0.5, "length": 2}
    return table.assign(token=[f"T{number}" for number in range(22)], **columns)


def test_self_similarity_by_layer(similarity):
    axes = grammar_figures.draw_similarity(similarity)
    assert labels(axes) == ["m", "m: any two tokens"]
    assert axes.lines[0].get_ydata().tolist() == [0.5, 0.5] and axes.lines[1].get_ydata().tolist() == [0.1, 0.6]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.1, 0.9))


def test_tokens_at_home_are_those_of_the_last_layer(similarity):
    axes = grammar_figures.draw_at_home(similarity)
    assert len(axes.collections[0].get_offsets()) == 11
    assert [text.get_text() for text in axes.texts] == ["T16", "T17", "T18", "T19", "T20", "T21"]


def test_no_token_seen_often_enough_leaves_the_figure_empty(similarity):
    axes = grammar_figures.draw_at_home(similarity[:0])
    assert len(axes.collections[0].get_offsets()) == 0 and not axes.texts


def test_windows_are_coloured_by_what_lies_in_them():
    table = pd.DataFrame({"gc": [0.1, 0.5, 0.9], "repeat": pd.array(["SINE", None, "none"], dtype="string")})
    table = table.assign(alu=[0.5, 0, -0.5], tss=[True, False, False], island=[0.6, 0.6, 0], in_gene=[0, 1, 1])
    maps = {"PCA": np.arange(6.0).reshape(3, 2), "UMAP": np.zeros((3, 2))}
    axes = grammar_figures.draw_regions(table, maps)
    panels = np.array(axes.figure.axes[:8]).reshape(4, 2).T
    assert [panel.get_title() for panel in panels[0]] == ["repeat, mostly", "place", "strand of an Alu", "G + C"]
    assert [panel.get_ylabel() for panel in panels[:, 3]] == ["PCA", "UMAP"]
    assert [panel.get_legend() is None for panel in panels.flat] == [True] * 4 + [False] * 3 + [True]
    drawn = {its.get_label(): its.get_offsets().tolist() for its in panels[0, 0].collections}
    assert drawn == {"none": [[4, 5]], "LTR": [], "LINE": [], "SINE": [[0, 1]]}
    drawn = {its.get_label(): its.get_offsets().tolist() for its in panels[0, 1].collections}
    assert drawn == {"elsewhere": [], "gene body": [[4, 5]], "CpG island": [[2, 3]], "TSS": [[0, 1]]}
    drawn = {its.get_label(): its.get_offsets().tolist() for its in panels[0, 2].collections}
    assert drawn == {"neither": [[2, 3]], "Alu +": [[0, 1]], "Alu -": [[4, 5]]}


def test_windows_of_which_nothing_is_known_are_drawn_as_nothing():
    table = pd.DataFrame({"tss": [1, 0, np.nan], "island": [0, 0, np.nan], "in_gene": 0, "alu": [0.5, 0, np.nan]})
    kinds = {title: labels.fillna("").tolist() for title, (labels, _) in grammar_figures._kinds(table).items()}
    assert kinds == {"place": ["TSS", "elsewhere", ""], "strand of an Alu": ["Alu +", "neither", ""]}


def test_many_windows_make_a_small_file(tmp_path):
    rng = np.random.default_rng(0)
    maps = {name: rng.normal(size=(3000, 2)) for name in ("PCA", "UMAP")}
    table = pd.DataFrame({"gc": rng.integers(3, 8, 3000) / 10, "alu": rng.uniform(-1, 1, 3000)})
    axes = grammar_figures.draw_regions(table, maps)
    axes.figure.savefig(tmp_path / "regions.svg", dpi=200)
    text = (tmp_path / "regions.svg").read_text()
    assert len(text) < 200_000 and text.count("<image") == 4  # a map each and colouring


def test_windows_without_tracks_are_coloured_by_composition_alone():
    axes = grammar_figures.draw_regions(pd.DataFrame({"gc": [0.1, 0.2]}), {"PCA": np.zeros((2, 2))})
    assert axes.get_title() == "G + C"


@pytest.mark.parametrize(("metric", "level"), [("auroc", 0.5), ("mcc", 0)])
def test_probes_of_composition_are_grey(metric, level):
    rows = [(claim, seen, 0.7, 0.6, 0.9) for claim in ("one", "two") for seen in ("mine", "random start", "GC")]
    columns = ["claim", "seen", metric, f"{metric}_low", f"{metric}_high"]
    axes = grammar_figures.draw_probes(pd.DataFrame(rows, columns=columns), metric)
    points = {its.get_label(): its for its in axes.containers}
    assert labels(axes) == list(points) == ["mine", "random start", "GC"]
    shades = {name: to_hex(its.lines[0].get_color()) for name, its in points.items()}
    assert shades["GC"] == FLOOR and len(set(shades.values())) == 3
    ends = points["mine"].lines[2][0].get_segments()[0][:, 0]
    assert ends.tolist() == pytest.approx([0.6, 0.9])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["one", "two"] and axes.yaxis_inverted()
    assert axes.lines[-1].get_xdata()[0] == level


def test_sites_stand_under_their_motif():
    table = pd.DataFrame({"model": "m", "place": [-1, 0, 1, 2], "bits": 5, "bits_over_untrained": [0, 1, 2, 3]})
    table = table.assign(low_over_untrained=-1, high_over_untrained=4)
    table = pd.concat([table, table.assign(model="untrained", bits_over_untrained=0)])
    logo = grammar_figures.draw_sites(table, np.array([[10.0, 0, 0, 0], [0, 5, 5, 0]]))
    below = logo.figure.axes[1]
    assert below.lines[0].get_ydata().tolist() == [0, 1, 2, 3] and below.get_xlim() == logo.get_xlim() == (-1.5, 2.5)
    assert len(logo.patches) == 3 and len(below.lines) == 2  # the untrained model is the zero line


def test_a_locus_has_a_letter_for_each_base():
    locus = pd.DataFrame({"place": [-1, 0, 1], "code": np.array([0, 1, 2], np.uint8), "bits": [1, 2, -1], "cost": 0.5})
    logo = grammar_figures.draw_locus(locus, np.array([[10.0, 0, 0, 0]]), "chr1:5-5 (+)")
    panels = logo.figure.axes
    assert logo.get_title() == "chr1:5-5 (+)" and logo.get_xlim() == (-1.5, 1.5)
    # The motif's place is shaded, too.
    assert [len(panel.patches) for panel in panels] == [1, 4, 4]
