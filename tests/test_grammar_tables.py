"""Tables of notebook 10's tokens: floors, the strongest component, self-similarity by layer, the vocabulary."""

import numpy as np
import pandas as pd
import pytest
import torch

from dnastudy.chapters import grammar_report as tables
from dnastudy.models import Bert
from dnastudy.models.store import untrained
from dnastudy.tasks import embeddings
from dnastudy.tokens import KmerTokenizer

DRAWS = {"resamples": 100, "seed": 0}
RANDOM = np.random.default_rng(0)
CODES = RANDOM.integers(4, size=4000).astype(np.uint8)
TOKENIZER = KmerTokenizer(2)


@pytest.fixture
def models():
    torch.manual_seed(0)
    model = Bert(layers=2, width=8, heads=2, context=80, vocabulary=len(TOKENIZER)).eval()
    model.tokenizer = TOKENIZER
    return {"mine": model, "random start": untrained(model, 1)}


@pytest.fixture
def properties():
    ids = TOKENIZER.encode(CODES)
    return embeddings.token_properties(TOKENIZER, ids, np.arange(len(CODES)) % 3 == 0)


def test_the_floor_of_masked_tokens_is_their_frequency(models, properties):
    windows = [CODES[start : start + 100] for start in range(0, 1000, 100)]
    table = tables.masked_table(models, windows, properties, flank=20, **DRAWS).set_index("predictor")
    assert table.index.tolist() == ["mine", "random start", "frequency"] and (table["n"] == 10).all()
    # Sixteen tokens about equally often cost about four bits; small initial weights say so of all of 20.
    assert table["bits"].tolist() == pytest.approx([np.log2(20), np.log2(20), 4], abs=0.15)
    assert (table["low"] <= table["bits"]).all() and (table["bits"] <= table["high"]).all()
    assert table["saved"].tolist() == pytest.approx((table["bits"].iloc[2] - table["bits"]).tolist())
    assert table.loc["mine", "saved_high"] < 0 and table.loc["frequency", "saved_high"] == 0


@pytest.mark.parametrize(
    ("low", "verdict"),
    [(0.1, "mine reads more than frequencies"), (0.0, "mine has little more to show than frequencies")],
)
def test_what_restoring_masked_tokens_says_is_told(low, verdict):
    rows = [("mine", 7.5, 7, 8, 3, 0.25, low, 0.5), ("random start", 9, 8, 9, 3, -1.25, -1, -1.5)]
    columns = ["predictor", "bits", "low", "high", "n", "saved", "saved_low", "saved_high"]
    cost = pd.DataFrame([*rows, ("frequency", 7.75, 7, 8, 3, 0, 0, 0)], columns=columns)
    assert tables.masked_finding(cost) == (
        f"{verdict}: a masked token costs 7.50 bits, by frequency alone 7.75; saved +0.25 ({low:+.2f} to +0.50)"
    )


@pytest.mark.parametrize("context", [12, 50])
def test_the_middle_of_windows_is_what_the_context_takes(properties, context, monkeypatch):
    model = Bert(layers=1, width=8, heads=2, context=context, vocabulary=len(TOKENIZER)).eval()
    model.tokenizer = TOKENIZER
    asked = []

    def scored(model, sequences, cores):
        asked.append((sequences, cores))
        return np.array([0]), np.array([7]), np.array([-np.log(2)])

    monkeypatch.setattr(tables.zero_shot, "token_log_likelihoods", scored)
    windows = [CODES[:100]]
    table = tables.masked_table({"short": model}, windows, properties, flank=30, **DRAWS)
    assert table["bits"].iloc[0] == pytest.approx(1)
    ((sequence,), (core,)) = asked[0]
    middle = min(64, context - 2)
    assert len(sequence) == middle and core.tolist() == [0, middle]
    np.testing.assert_array_equal(sequence, CODES[50 - middle // 2 :][:middle])


def test_embeddings_are_of_the_tokens_that_all_have(models, properties):
    contexts = {name: embeddings.read_contexts(model, [CODES[:40]]) for name, model in models.items()}
    bags = RANDOM.normal(size=(len(TOKENIZER), 4))
    bags[properties.index[0]] = np.nan
    vectors, known = tables.gather_embeddings(models, contexts, properties, bags)
    seen = contexts["mine"].windows[properties.index] > 0
    assert known.index.tolist() == [number for number in properties.index[seen] if number != properties.index[0]]
    assert list(vectors) == ["embedding", "in context", "Word2Vec", "random start"]
    assert {its.shape[0] for its in vectors.values()} == {len(known)}
    weights = models["mine"].embedding.weight.detach().numpy()
    np.testing.assert_array_equal(vectors["embedding"], weights[known.index])
    assert list(tables.gather_embeddings(models, contexts, properties)[0]) == [
        "embedding",
        "in context",
        "random start",
    ]


def test_what_a_component_was_made_of_is_found_whatever_its_sign(properties):
    made = np.stack([-5 * properties["GC"], 2 * properties["AG"], RANDOM.normal(size=len(properties)) / 50], axis=1)
    components = tables.component_table({"made": made}, properties, **DRAWS)
    assert list(components.groupby("component").size()) == [5, 5, 5]
    best = tables.strongest(components).set_index("property")
    assert best.loc[["GC", "AG"], "component"].tolist() == [1, 2] and (best.loc[["GC", "AG"], "rho"] > 0.9).all()
    assert (best["low"] <= best["rho"] + 1e-12).all() and (best["rho"] <= best["high"] + 1e-12).all()
    assert best.loc["GC", "GROVER"] == "0.96 (PC2)"
    assert "length" not in best.index  # all tokens have two bases
    assert tables.variance_table({"made": made}).query("component == 1")["share"].item() > 0.5


def test_the_papers_two_components_of_length_are_both_named():
    rows = [("e", 1, "length", -0.5, -0.7, -0.2), ("e", 2, "length", 0.4, 0.3, 0.5)]
    components = pd.DataFrame(rows, columns=["embedding", "component", "property", "rho", "low", "high"])
    row = tables.strongest(components).iloc[0]
    assert (row["component"], row["rho"], row["low"], row["high"]) == (1, 0.5, 0.2, 0.7)
    assert row["GROVER"] == "0.39 (PC4), 0.43 (PC6)"


def test_tokens_on_the_first_two_components(properties):
    vectors = RANDOM.normal(size=(len(properties), 5))
    found = tables.token_map(vectors, properties)
    np.testing.assert_allclose(found[["PC1", "PC2"]], embeddings.principal_components(vectors, 2)[0])


def test_self_similarity_has_anisotropy_taken_off(models, properties):
    windows = [CODES[start : start + 60] for start in range(0, 1200, 60)]
    contexts = {name: embeddings.read_contexts(model, windows) for name, model in models.items()}
    table = tables.similarity_table(contexts, properties, 5)
    alike, anisotropy = embeddings.self_similarity(contexts["mine"], 5)
    layer = table.query("model == 'mine' and layer == 2")
    assert table["layer"].unique().tolist() == [0, 1, 2]
    assert layer["similarity"].tolist() == pytest.approx(alike[2, layer["id"]] - anisotropy[2])
    assert layer["token"].tolist() == [TOKENIZER.tokens[number] for number in layer["id"]]
    found = tables.similarity_correlations(table, **DRAWS)
    assert found.groupby(["model", "layer"])["property"].apply(list).iloc[0] == [
        "in_repeats",
        "log frequency",
        "length",
    ]
    vocabulary = tables.vocabulary_table(properties, table.query("model == 'mine'"), RANDOM.normal(size=(16, 3)))
    first = vocabulary.iloc[0]
    assert first["count"] == properties["count"].max() and len(first["nearest"].split()) == 4
    own = layer.set_index("token")["similarity"]
    assert first["self-similarity, last"] == pytest.approx(own[first["token"]])


def test_layers_with_one_state_for_all_are_named():
    table = pd.DataFrame({"model": ["a", "a", "a", "b"], "layer": [1, 2, 3, 1], "anisotropy": [0.5, 0.995, 1.0, 0.9]})
    assert tables.collapsed(table) == [
        "a: all tokens have nearly one state after layer 2, 3, which say little of any of them"
    ]
