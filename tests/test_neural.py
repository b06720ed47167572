"""Ids and targets, windows to score by, the two forms, models of other text, bounded memory, the device."""

import tracemalloc

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.models import build, load, neural, save
from dnastudy.models.neural import Linear, _pieces, pick_device
from dnastudy.models.recurrent import RecurrentModel

CONFIGS = {
    "lstm": {"kind": "lstm", "layers": 2, "width": 16, "embedding": 8},
    "gru": {"kind": "gru", "layers": 1, "width": 16, "embedding": 8},
    "gpt": {"kind": "gpt", "layers": 2, "width": 16, "heads": 2, "context": 32},
    "published lstm": {"kind": "lstm", "layers": 2, "width": 16, "embedding": 8, "form": "as_published"},
    "published gpt": {"kind": "gpt", "layers": 2, "width": 16, "heads": 3, "context": 32, "form": "as_published"},
}


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    model = build(CONFIGS[request.param], device="cpu")
    with torch.no_grad():  # small initial weights would make all bases near equally likely
        for weights in model.parameters():
            weights.mul_(3)
    return model


@pytest.mark.parametrize("context", [2, 3, 16, 17])
@pytest.mark.parametrize("length", [0, 1, 16, 17, 18, 100])
def test_pieces_cover_every_target_once(length, context):
    pieces = list(_pieces(length, context))
    new = [place for _, stop, first in pieces for place in range(first, stop)]
    assert new == list(range(length))
    for start, stop, first in pieces:
        assert stop - start <= context
        assert first == 0 or first - start >= context - context // 2 or start == 0


def test_recurrent_models_take_a_sequence_as_one_piece():
    assert list(_pieces(10**6, None)) == [(0, 10**6, 0)]


def test_device():
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="device 'gpu': unknown; expected cpu, cuda"):
        pick_device("gpu")
    assert pick_device(None).type in ("cpu", "cuda")


def test_every_form_survives_saving(model, tmp_path):
    save(model, tmp_path)
    again = load(tmp_path, device="cpu")
    assert (again.config, again.size) == (model.config, model.size)
    texts = ["ACGTNACGGT", "", "T"]
    assert again.log_likelihood(texts).tolist() == model.log_likelihood(texts).tolist()
    assert again.generate(3, 12) == model.generate(3, 12)


def test_a_later_base_changes_no_earlier_probability(model):
    before, after = model.base_log_likelihoods(["ACGTACGTACGT", "ACGTACGTCCGT"])
    assert before[:8].tolist() == after[:8].tolist()
    assert (before[8:] != after[8:]).all()


def test_probabilities_of_all_that_is_scored_sum_to_one(model):
    model.eval()
    logits, _ = model(torch.tensor([[2, 5, 8]]))
    assert logits.shape == (1, 3, 9)
    assert torch.isneginf(logits[..., 4]).all()  # MASK
    shares = (logits[0, -1, list(model.scored)].log_softmax(-1)).detach().numpy()
    bases = [model.base_log_likelihoods(["AT" + base])[0][2] for base in "ACGT"]
    assert bases == pytest.approx(shares[[model.scored.index(base) for base in (5, 6, 7, 8)]], abs=1e-5)
    assert (np.exp(bases).sum() < 0.999) == model.published  # the rest went to symbols that never come


def test_generation_follows_the_models_own_scores(model):
    for text in model.generate(2, 30, temperature=0, prompt="AC")[:1]:
        for place in (0, 7, 29):
            scores = model.log_likelihood(["AC" + text[:place] + base for base in "ACGT"])
            assert "ACGT"[int(np.argmax(scores))] == text[place]


def test_published_forms_score_and_generate_as_far_as_their_positions_reach(model):
    if not model.published:
        assert model.limit is None
        return
    text = "".join(np.random.default_rng(0).choice(list("ACGT"), model.limit + 10))
    scored = model.base_log_likelihoods([text])[0]
    assert np.isnan(scored).tolist() == [False] * model.limit + [True] * 10
    assert model.log_likelihood([text]) == pytest.approx(model.log_likelihood([text[: model.limit]]))
    end = model.log_likelihood([text[: model.limit - 1]], include_end=True)
    assert end < model.log_likelihood([text[: model.limit - 1]])
    assert len(model.generate(1, model.limit - 2, prompt="AC")[0]) == model.limit - 2
    with pytest.raises(InputError, match=f"2 bases of prompt and {model.limit - 1} new ones; .* for {model.limit} in"):
        model.generate(1, model.limit - 1, prompt="AC")


@pytest.mark.parametrize("kind", ["lstm", "gru", "gpt"])
def test_models_of_other_text(kind):
    small = {"heads": 2, "context": 16} if kind == "gpt" else {"embedding": 8}
    model = build({"kind": kind, "layers": 1, "width": 8, "vocabulary": 50, **small}, device="cpu")
    logits, _ = model(torch.tensor([[0, 49, 3]]))
    assert logits.shape == (1, 3, 50)
    assert torch.isfinite(logits).all()
    assert model.scored == tuple(range(50))
    with pytest.raises(InputError, match="a model of 50 symbols of other text; it can't score DNA"):
        model.log_likelihood(["ACGT"])
    with pytest.raises(InputError, match="it can't generate DNA"):
        model.generate(1, 4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "gru", "form": "as_published"}, "gru model: form 'as_published'; only lstm and gpt were published"),
        ({"kind": "lstm", "form": "published"}, "lstm model: form 'published'; did you mean 'as_published'"),
        ({"kind": "gpt", "form": "as_published", "vocabulary": 30}, "with vocabulary 30; it reads DNA"),
    ],
)
def test_forms_that_do_not_exist(config, message):
    with pytest.raises(InputError, match=message):
        build(config)


def test_linear_layer_is_the_same_through_either_library(monkeypatch):
    torch.manual_seed(0)
    layer, values = Linear(24, 40), torch.randn(3, 50, 24)
    expected = values @ layer.weight.mT + layer.bias
    monkeypatch.setattr(neural, "_ONEDNN", True)
    with torch.inference_mode():
        assert torch.allclose(layer(values), expected, atol=1e-5)
        assert layer(values).shape == (3, 50, 40)


@pytest.mark.parametrize("kind", ["lstm", "gpt"])
def test_long_sequence_is_scored_in_bounded_memory(kind):
    small = {"heads": 1, "context": 1024} if kind == "gpt" else {"embedding": 2}
    model = build({"kind": kind, "layers": 1, "width": 2, **small}, device="cpu")
    codes = np.random.default_rng(0).integers(0, 4, 300_000).astype(np.uint8)
    positions = []
    model.register_forward_pre_hook(lambda _, inputs: positions.append(inputs[0].numel()))
    tracemalloc.start()
    total = model.log_likelihood([codes])[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000  # numpy's, less than a byte a base
    assert max(positions) <= 4096  # torch's
    assert total == pytest.approx(np.sum(model.base_log_likelihoods([codes])[0], dtype=float), rel=1e-9)


@pytest.mark.slow
def test_five_megabases_equal_their_pieces():
    torch.manual_seed(0)
    model = RecurrentModel("lstm", layers=1, width=4, embedding=2)
    codes = np.random.default_rng(0).integers(0, 4, 5_000_000).astype(np.uint8)
    tracemalloc.start()
    total = model.log_likelihood([codes])[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    pieces = model.base_log_likelihoods([codes[start : start + 100_000] for start in range(0, 5_000_000, 100_000)])
    # Each piece starts anew, which costs or gains no more than its first few bases.
    assert total == pytest.approx(sum(np.sum(piece, dtype=float) for piece in pieces), rel=1e-4)
