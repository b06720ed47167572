"""The GPT: causal, its cache exact, long sequences scored in windows that begin every half context."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models.neural import POSSIBLE, VOCABULARY
from dnastudy.models.transformer import Rotate, Transformer, attend, rotate, rotation


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
    # 4 blocks of 12 w^2 and two norms of w = 256; embedding, last norm and head.
    model = Transformer()
    expected = 4 * (12 * 256**2 + 2 * 256) + 9 * 256 + 256 + 9 * 257
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
    queries, keys = torch.randn(2, 1, 1, 1, 1, 4)
    at = [
        (rotate(queries, *turned[:, place : place + 1]) * rotate(keys, *turned[:, place + 2 : place + 3])).sum()
        for place in (0, 5)
    ]
    assert at[0].item() == pytest.approx(at[1].item(), abs=1e-5)
    assert turned[:, 1].tolist() == [pytest.approx([0.5403023, 0.99995]), pytest.approx([0.8414710, 0.00999983])]
    # A quarter turn of the first pair, the first value and the third.
    values = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 1, 4)
    assert rotate(values, torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])).flatten().tolist() == [-3, 2, 1, 4]


def test_rotation_has_the_gradient_of_its_formula():
    values = torch.randn(2, 3, 2, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Rotate.apply, (values, rotation(3, 4).double()))


@pytest.mark.parametrize("positions", [1, 256, 600])
def test_bf16_attention_is_torchs_own_but_for_rounding(positions):
    torch.manual_seed(0)
    whole = torch.randn(3, 2, 2, positions, 16, requires_grad=True)
    half = whole.detach().bfloat16().requires_grad_()
    expected = functional.scaled_dot_product_attention(*whole, is_causal=True)
    found = attend(*half)
    wanted = torch.randn_like(expected)
    expected.backward(wanted)
    found.backward(wanted.bfloat16())
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    torch.testing.assert_close(half.grad.float(), whole.grad, atol=0.05, rtol=0.05)


def test_published_parameter_count():
    model = Transformer(heads=3, form="as_published")
    assert model.size == 1_844_988
    assert model.config["context"] == 1023


def test_published_form_by_its_equations():
    torch.manual_seed(1)
    width, heads, size = 8, 3, 2
    model = Transformer(layers=2, width=width, heads=heads, context=16, form="as_published")
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    weights = model.state_dict()
    # Eight symbols in place of nine: A C G T are 4-7 once MASK is left out.
    inputs, targets = [2, 4, 6, 5, 7], [4, 6, 5, 7, 7]
    hidden = weights["embedding.weight"][inputs] + weights["positions.weight"][: len(inputs)]

    def linear(name, values):
        return values @ weights[f"{name}.weight"].mT + weights[f"{name}.bias"]

    def norm(name, values):
        centred = values - values.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    for block in ("blocks.0", "blocks.1"):
        packed = linear(f"{block}.attention.queries_keys_values", hidden)
        mixed = []
        for head in range(heads):
            query, key, value = (packed[:, (part * heads + head) * size :][:, :size] for part in range(3))
            seen = (query @ key.mT / size**0.5).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
            mixed.append(seen.softmax(-1) @ value)
        hidden = norm(f"{block}.attention_norm", hidden + linear(f"{block}.attention.out", torch.cat(mixed, dim=1)))
        inner = linear(f"{block}.feed_forward.0", hidden).clamp(min=0)
        hidden = norm(f"{block}.feed_forward_norm", hidden + linear(f"{block}.feed_forward.2", inner))
    expected = linear("head", hidden).log_softmax(-1)[range(5), targets].numpy()
    assert model.base_log_likelihoods(["AGCTT"])[0] == pytest.approx(expected, abs=1e-5)


def test_published_attention_starts_as_in_keras():
    torch.manual_seed(0)
    attention = Transformer(layers=1, heads=3, form="as_published").blocks[0].attention
    # Kernels [256, 3, 85] and [3, 85, 256], of which Keras takes all axes but the last two into both fans.
    for layer, fans in ((attention.queries_keys_values, 3 * 256 + 85 * 256), (attention.out, 3 * 85 + 3 * 256)):
        assert layer.weight.abs().max().item() == pytest.approx((6 / fans) ** 0.5, rel=1e-3)


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


@pytest.mark.parametrize("form", ["tuned", "as_published"])
def test_compiles_as_one_graph_whatever_the_length(form):
    model = Transformer(layers=1, width=8, heads=2, context=16, form=form)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for length in (9, 5, 16):
        ids = torch.randint(5, 9, (2, length))
        assert torch.equal(compiled(ids)[0], model(ids)[0])
