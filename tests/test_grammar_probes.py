"""Tables of notebook 10's windows and sites: a planted signal is found, noise isn't, and small classes aren't asked."""

import numpy as np
import pandas as pd
import pytest
import torch

from dnastudy.chapters import grammar_report
from dnastudy.chapters import read_the_grammar as probes
from dnastudy.chapters.read_the_grammar import Sites
from dnastudy.genes import encode
from dnastudy.models import Bert
from dnastudy.models.pooled import embed
from dnastudy.study.statistics import mean_bootstrap
from dnastudy.tasks import zero_shot
from dnastudy.tasks.probe_windows import Claim

DRAWS = {"resamples": 100, "seed": 0}
RANDOM = np.random.default_rng(0)


@pytest.fixture
def model():
    torch.manual_seed(1)
    return Bert(layers=1, width=8, heads=2, context=80).eval()


def test_probes_are_given_states_and_composition(model):
    codes = RANDOM.integers(4, size=200).astype(np.uint8)
    drawn = pd.DataFrame({"start": [0, 100], "end": [50, 150], "gc": [0.5, 0.25]})
    vectors = probes.read_vectors({"mine": model}, codes, drawn)
    assert {name: its.shape for name, its in vectors.items()} == {
        "mine": (2, 8),
        "GC": (2, 2),
        "dinucleotides": (2, 16),
        "4-mers": (2, 256),
    }
    np.testing.assert_array_equal(vectors["mine"], embed(model, [codes[:50], codes[100:150]]))
    assert vectors["GC"].tolist() == [[0.5, 0.25], [0.25, 0.0625]]
    assert vectors["4-mers"].sum(axis=1).tolist() == pytest.approx([1, 1])


@pytest.fixture
def judged():
    """Probes of 200 windows: of two classes that the model alone tells, of three with a small one, and of too few."""
    labels = np.tile([0, 1], 100)
    three = np.where(np.arange(200) < 10, 1, 2 * labels)
    claims = {"told": Claim(("no", "yes"), labels), "three": Claim(("a", "b", "c"), three)}
    claims["rare"] = Claim(("no", "yes"), np.where(np.arange(200) < 15, 1, 0))
    claims["not asked"] = Claim(("no", "yes"), np.full(200, -1))
    vectors = {
        split: {"mine": labels[:, None] + RANDOM.normal(size=(200, 2)) / 3, "GC": RANDOM.normal(size=(200, 2))}
        for split in ("train", "test")
    }
    splits = dict.fromkeys(("train", "test"), claims)
    return probes.probe_table(splits, vectors, np.arange(200) * 10, block=50, **DRAWS)


def test_what_the_model_alone_has_is_told_by_it_alone(judged):
    table = judged[0].set_index(["claim", "seen"])
    assert table.loc[("told", "mine"), "auroc"] > 0.95 and table.loc[("told", "mine"), "ahead"] == 0
    noise = table.loc[("told", "GC")]
    assert noise["auroc_low"] < 0.5 < noise["auroc_high"] and noise["ahead_low"] > 0.3
    assert noise["ahead"] == pytest.approx(table.loc[("told", "mine"), "auroc"] - noise["auroc"])
    assert (noise["learnt"], noise["judged"], noise["classes"]) == (200, 200, "no, yes")


def test_small_classes_are_not_asked(judged):
    table, left_out = judged
    row = table.query("claim == 'three'").iloc[0]
    assert (row["classes"], row["learnt"], row["judged"]) == ("a, c", 190, 190)
    assert left_out == [
        "rare: left out, since fewer than two of its classes have 20 windows to learn from and 20 to judge",
        "not asked: left out, since fewer than two of its classes have 20 windows to learn from and 20 to judge",
    ]


def test_findings_say_which_is_clearly_better(judged):
    assert probes.findings(judged[0])[0].startswith("told (no, yes): mine tells more than GC (AUROC ")
    row = {
        "claim": "c",
        "seen": "mine",
        "classes": "a, b",
        "auroc": 0.6,
        "ahead": 0.0,
        "ahead_low": 0.0,
        "ahead_high": 0.0,
    }
    other = row | {"seen": "GC", "auroc": 0.7, "ahead": -0.1, "ahead_low": -0.2, "ahead_high": 0.01}
    weaker = other | {"seen": "4-mers", "auroc": 0.5}
    line = "c (a, b): mine tells not clearly more than GC (AUROC 0.60 and 0.70, difference -0.10, -0.20 to +0.01)"
    assert probes.findings(pd.DataFrame([row, other, weaker])) == [line]
    clear = pd.DataFrame([row, other | {"ahead_high": -0.05}])
    assert probes.findings(clear) == [line.replace("not clearly more", "less").replace("+0.01", "-0.05")]


def test_counts_of_claims():
    claims = {
        "train": {"c": Claim(("a", "b"), np.array([0, 0, 1, -1]))},
        "test": {"c": Claim(("a", "b"), np.array([1]))},
    }
    assert probes.claim_counts(claims).to_numpy().tolist() == [["c", "a", 2, 0], ["c", "b", 1, 1]]


def test_maps_of_windows():
    vectors = RANDOM.normal(size=(30, 5))
    assert {name: its.shape for name, its in probes.project(vectors, umap=False, seed=0).items()} == {"PCA": (30, 2)}


@pytest.mark.slow
def test_umap_keeps_two_heaps_apart_and_is_of_its_seed():
    vectors = np.concatenate([RANDOM.normal(size=(40, 5)), 20 + RANDOM.normal(size=(40, 5))])
    first, again = (probes.project(vectors, umap=True, seed=3)["UMAP"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    centres = first[:40].mean(axis=0), first[40:].mean(axis=0)
    spread = np.linalg.norm(first[:40] - centres[0], axis=1).max()
    assert np.linalg.norm(centres[0] - centres[1]) > spread


@pytest.fixture
def sites():
    """Four sites of a motif of three bases, of which the middle one is always G."""
    codes = RANDOM.integers(4, size=(4, 23)).astype(np.uint8)
    codes[:, 10:13] = encode("AGA")
    return Sites(np.array([[5.0, 0, 0, 5], [0, 0, 10, 0], [4, 2, 2, 2]]), codes, list("abcd"))


def test_what_is_expected_at_sites(model, sites):
    table = grammar_report.site_table({"mine": model}, sites, 4, **DRAWS)
    assert table["place"].tolist() == list(range(-4, 7))
    inside = table.set_index("place").loc[0:2, "motif"]
    assert inside.tolist() == pytest.approx([1, 2, 2 + np.log2(0.4) * 0.4 + 3 * 0.2 * np.log2(0.2)])
    assert (table.query("place < 0 or place > 2")["motif"] == 0).all()
    flanks = np.delete(sites.codes, [10, 11, 12], axis=1)
    told = zero_shot.base_probabilities(model, sites.codes, np.tile([6, 17], (4, 1)))
    bits = zero_shot.bits_gained(told, sites.codes[:, 6:17], np.bincount(flanks.ravel(), minlength=4) / flanks.size)
    assert table["bits"].tolist() == pytest.approx(bits.mean(axis=0))
    third = mean_bootstrap(bits[:, 2], **DRAWS)
    assert table.loc[2, ["bits", "low", "high"]].tolist() == pytest.approx(third[:3])
    locus = grammar_report.locus_table(model, sites, 4)
    assert locus["bits"].tolist() == pytest.approx(bits[0]) and locus["code"].tolist() == sites.codes[0, 6:17].tolist()
    effects = zero_shot.substitution_effects(model, sites.codes[0], 6, 17)
    assert locus["cost"].tolist() == pytest.approx(effects.sum(axis=1) / 3)


def test_what_training_adds_is_a_column(model, sites):
    torch.manual_seed(2)
    other = Bert(layers=1, width=8, heads=2, context=80).eval()
    table = grammar_report.site_table({"mine": model, "random start": other}, sites, 4, **DRAWS).set_index(
        ["model", "place"]
    )
    added = table.loc["mine", "bits"] - table.loc["random start", "bits"]
    assert table.loc["mine", "bits_over_untrained"].tolist() == pytest.approx(added.tolist())
    assert (table.loc["random start", "bits_over_untrained"] == 0).all()


def test_no_more_is_looked_at_than_the_flanks(model, sites):
    assert grammar_report.site_table({"mine": model}, sites, 99, **DRAWS)["place"].tolist() == list(range(-10, 13))
    assert len(grammar_report.locus_table(model, sites, 99)) == 23


def test_bits_that_follow_the_motif_are_beyond_shuffled_ones():
    places = np.arange(-3, 13)
    motif = np.where((places >= 0) & (places < 10), places / 10 + 0.1, 0)
    tables = [
        pd.DataFrame({"model": name, "place": places, "motif": motif, "bits": bits})
        for name, bits in {"follows": motif * 2 + 1, "against": -motif}.items()
    ]
    found = grammar_report.motif_correlations(pd.concat(tables)).set_index("model")
    assert found["rho"].tolist() == pytest.approx([1, -1])
    assert found.loc["follows", "p"] < 0.01 and found.loc["against", "p"] == 1
    assert found.loc["follows", "low"] < -0.4 and found.loc["follows", "high"] > 0.4
    assert found.loc["follows", ["mean_bits", "mean_bits_outside"]].tolist() == pytest.approx([2.1, 1])
