"""The GPT: causal, its cache exact, long sequences scored in windows that begin every half context."""

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models.neural import POSSIBLE, VOCABULARY
from dnastudy.models.transformer import Transformer, rotate, rotation


@pytest.fixture
def model():
    torch.manual_seed(1)
    model = Transformer(layers=2, width=16, heads=2, context=16, dropout=0.5)
    with torch.no_grad():  # the small initial weights would make all bases near equally likely
        for one in model.parameters():
            one.mul_(4)
    return model


def sequence(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def test_parameter_count():
    # 4 blocks of 12 w^2 + 13 w at w = 256; embedding, last norm and head.
    model = Transformer()
    expected = 4 * (12 * 256**2 + 13 * 256) + 9 * 256 + 2 * 256 + 9 * 257
    assert sum(one.numel() for one in model.parameters()) == expected


def test_no_position_sees_a_later_one(model):
    model.eval()
    ids = torch.tensor([[2, 5, 6, 7, 8, 5]])
    changed = ids.clone()
    changed[0, 4] = 6
    (before, _), (after, _) = model(ids), model(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4], after[:, 4])


def test_only_bases_and_the_end_are_possible(model):
    logits, _ = model(torch.tensor([[2, 5]]))
    assert torch.isfinite(logits[0, 0]).nonzero().flatten().tolist() == sorted(POSSIBLE)
    assert logits.shape == (1, 2, VOCABULARY)


def test_rotation_turns_by_relative_position():
    turned = rotation(8, 4)
    queries, keys = torch.randn(2, 1, 1, 1, 4)
    at = [rotate(queries, turned[:, p : p + 1]) @ rotate(keys, turned[:, p + 2 : p + 3]).mT for p in (0, 5)]
    assert at[0].item() == pytest.approx(at[1].item(), abs=1e-5)
    assert turned[:, 1].tolist() == [
        pytest.approx([0.5403023, 0.99995]),
        pytest.approx([0.8414710, 0.00999983]),
    ]


def test_cache_equals_scoring(model):
    text = sequence(14)
    values = []
    with model.evaluating():
        logits, state = model.begin(1, encode(""))
        for code in encode(text):
            values.append(logits.log_softmax(-1)[0, code].item())
            logits, state = model.follow(torch.tensor([int(code)]), state)
    assert model.base_log_likelihoods([text])[0] == pytest.approx(values, abs=1e-5)


def test_long_sequence_is_scored_in_half_overlapping_windows(model):
    text = sequence(37)
    scored = model.base_log_likelihoods([text])[0]
    # 16 targets, then 8 new ones from a window that begins 8 later, the last ending at the end.
    for start, new, stop in ((0, 0, 16), (8, 16, 24), (16, 24, 32), (21, 32, 37)):
        window = model.base_log_likelihoods([text[start:stop]])[0]
        assert scored[new:stop] == pytest.approx(window[new - start :], abs=1e-5)


def test_batch_does_not_matter(model):
    texts = [sequence(length, length) for length in (5, 40, 0, 16, 17)]
    together = model.log_likelihood(texts, include_end=True)
    alone = [model.log_likelihood([text], include_end=True)[0] for text in texts]
    assert together == pytest.approx(alone, rel=1e-5)


def test_generation_goes_on_past_the_context(model):
    longer = model.generate(3, 60, seed=2)
    assert [len(one) for one in longer] == [60] * 3
    # 15 bases and the start symbol fill the context of 16; the next base sees the last half alone.
    primed = model.generate(1, 1, seed=2, prompt=longer[0][7:15], temperature=0)
    assert model.generate(1, 1, seed=2, prompt=longer[0][:15], temperature=0) != [""]
    assert primed == model.generate(1, 1, seed=2, prompt="A" * 20 + longer[0][7:15], temperature=0)


def test_width_that_heads_do_not_divide():
    with pytest.raises(InputError, match="width 10 over 4 heads"):
        Transformer(width=10, heads=4)
