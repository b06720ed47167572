"""Recurrent models: state carried over any length, scores independent of the batch."""

import numpy as np
import pytest
import torch

from dnastudy.genes import encode
from dnastudy.models import neural
from dnastudy.models.recurrent import RecurrentModel


@pytest.fixture(params=["lstm", "gru"])
def model(request):
    torch.manual_seed(1)
    return RecurrentModel(request.param, layers=2, width=16, embedding=8, dropout=0.5)


def sequence(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def by_hand(model, text):
    """Log-probability of each base, one step at a time."""
    values = []
    with model.evaluating():
        logits, state = model.begin(1, encode(""))
        for code in encode(text):
            values.append(logits.log_softmax(-1)[0, code].item())
            logits, state = model.follow(torch.tensor([int(code)]), state)
    return values


def test_parameter_count():
    # LSTM 2x256 on an embedding of 64: 4 * 256 * (64 + 256 + 2) + 4 * 256 * (256 + 256 + 2) and the two ends.
    model = RecurrentModel("lstm")
    assert sum(one.numel() for one in model.parameters()) == 329_728 + 526_336 + 9 * 64 + 9 * 256 + 9


def published(**changes):
    torch.manual_seed(1)
    small = {"layers": 2, "width": 6, "embedding": 5}
    return RecurrentModel("lstm", form="as_published", **small | changes)


def test_published_parameter_count():
    assert published(layers=4, width=512, embedding=256).size == 8_140_552


def test_published_form_by_its_equations():
    model = published()
    weights = model.state_dict()
    # Eight symbols in place of nine: A C G T are 4-7 once MASK is left out.
    inputs, targets = [2, 4, 6, 5, 7], [4, 6, 5, 7, 7]
    hidden = weights["embedding.weight"][inputs] + weights["positions.weight"][: len(inputs)]
    for layer in range(2):
        into, within, bias = (weights[f"layers.{layer}.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih"))
        value, cell, outputs = torch.zeros(6), torch.zeros(6), []
        for vector in hidden:
            enter, forget, candidate, leave = (into @ vector + within @ value + bias).split(6)
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            value = leave.sigmoid() * cell.tanh()
            outputs.append(value)
        hidden = torch.stack(outputs)
    shares = (hidden @ weights["head.weight"].mT + weights["head.bias"]).log_softmax(-1)
    expected = shares[range(5), targets].numpy()
    assert model.base_log_likelihoods(["AGCTT"])[0] == pytest.approx(expected, abs=1e-6)


def test_keras_starts_with_open_forget_gates_and_no_second_bias():
    layer = published().layers[0]
    assert layer.bias_ih_l0.tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12
    assert torch.allclose(layer.weight_hh_l0.mT @ layer.weight_hh_l0, torch.eye(6), atol=1e-5)
    assert layer.weight_ih_l0.abs().max() <= (6 / (5 + 24)) ** 0.5


def test_second_bias_stays_zero_in_training():
    model = published().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    logits, _ = model(torch.tensor([[2, 5, 6, 7, 8]]))
    torch.nn.functional.cross_entropy(logits[0], torch.tensor([5, 6, 7, 8, 3])).backward()
    optimizer.step()
    for layer in model.layers:
        assert not layer.bias_hh_l0.any()
        assert layer.bias_ih_l0.any()


@pytest.mark.parametrize("form", ["tuned", "as_published"])
def test_scores_equal_one_step_at_a_time(model, form):
    if form == "as_published":
        # The published form normalises over symbols that are never drawn too: give those no chance.
        model = published()
        with torch.no_grad():
            model.head.bias[:4] = -torch.inf
    text = sequence(40)
    assert model.base_log_likelihoods([text])[0] == pytest.approx(by_hand(model, text), abs=1e-5)


def test_state_is_carried_over_chunks(model, monkeypatch):
    texts = [sequence(70, 1), sequence(33, 2), sequence(100, 3), ""]
    whole = model.log_likelihood(texts, include_end=True)
    monkeypatch.setattr(neural, "_CHUNK", 16)
    assert model.log_likelihood(texts, include_end=True) == pytest.approx(whole, abs=1e-4)


def test_batch_does_not_matter(model):
    texts = [sequence(length, length) for length in (5, 200, 1, 90)]
    together = model.log_likelihood(texts)
    alone = [model.log_likelihood([text])[0] for text in texts]
    assert together == pytest.approx(alone, rel=1e-5)


def test_unknown_bases_are_inputs_but_not_scored(model):
    scored = model.base_log_likelihoods(["ACNNGT"])[0]
    assert np.isnan(scored).tolist() == [False, False, True, True, False, False]
    assert model.log_likelihood(["ACNNGT"])[0] == pytest.approx(np.nansum(scored), rel=1e-6)
    assert scored[4] != model.base_log_likelihoods(["ACGT"])[0][2]


def test_probabilities_sum_to_one(model):
    assert np.exp(model.log_likelihood(list("ACGT"))).sum() == pytest.approx(1)
    assert np.exp(model.log_likelihood(list("acgt"))).sum() == pytest.approx(1)
    # Of all sequences of no or one base: those that end there, and those that go on.
    ended = np.exp(model.log_likelihood(["", *"ACGT"], include_end=True)).sum()
    assert 0 < ended < 1


def test_strings_and_codes_are_the_same(model):
    assert model.log_likelihood([encode("ACGGT")]).tolist() == model.log_likelihood(["ACGGT"]).tolist()


def test_nothing_to_score(model):
    assert model.log_likelihood([]).shape == (0,)
    assert model.log_likelihood([""]).tolist() == [0.0]


def test_scoring_leaves_the_mode_alone(model):
    model.train()
    first, second = model.log_likelihood(["ACGTACGT"] * 2)
    assert first == second  # no dropout
    assert model.training
