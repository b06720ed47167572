"""Drawing bases: temperature, top-k, nucleus, seeds, prompts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.models.base import draw
from dnastudy.models.recurrent import RecurrentModel
from dnastudy.models.transformer import Transformer

# Probabilities of A C G T: 0.1, 0.4, 0.3, 0.2.
LOGITS = torch.tensor([[0.1, 0.4, 0.3, 0.2]]).log()


def share(**settings):
    """How often each base is drawn over a fine grid of uniform numbers."""
    grid = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    drawn = draw(LOGITS.expand(1000, 4), grid, **settings)
    return (torch.bincount(drawn, minlength=4) / 1000).tolist()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.1, 0.4, 0.3, 0.2]),
        ({"temperature": 0}, [0, 1, 0, 0]),
        ({"temperature": 0.5}, [0.033, 0.533, 0.3, 0.133]),
        ({"top_k": 1}, [0, 1, 0, 0]),
        ({"top_k": 2}, [0, 4 / 7, 3 / 7, 0]),
        ({"top_p": 0.4}, [0, 1, 0, 0]),
        ({"top_p": 0.6}, [0, 4 / 7, 3 / 7, 0]),
        ({"top_p": 1.0}, [0.1, 0.4, 0.3, 0.2]),
        ({"top_k": 3, "top_p": 0.5}, [0, 4 / 7, 3 / 7, 0]),
    ],
)
def test_shares(settings, expected):
    assert share(**settings) == pytest.approx(expected, abs=2e-3)


@given(
    st.lists(st.floats(-50, 50), min_size=4, max_size=4),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 4),
    st.floats(0.01, 1),
)
def test_only_the_likeliest_are_drawn(logits, uniform, top_k, top_p):
    drawn = draw(torch.tensor([logits]), torch.tensor([uniform], dtype=torch.float64), 1.0, top_k, top_p)
    likelier = (torch.tensor(logits) > torch.tensor(logits)[drawn]).sum().item()
    assert 0 <= drawn.item() < 4
    assert likelier < top_k


@pytest.fixture(params=[RecurrentModel, Transformer])
def model(request):
    torch.manual_seed(3)
    small = {"heads": 2, "context": 32} if request.param is Transformer else {"embedding": 8}
    return request.param(layers=1, width=16, **small)


def test_same_seed_same_output(model):
    first = model.generate(5, 40, seed=7)
    assert first == model.generate(5, 40, seed=7)
    assert first != model.generate(5, 40, seed=8)
    assert [len(one) for one in first] == [40] * 5
    assert set("".join(first)) == set("ACGT")


def test_more_sequences_leave_the_first_as_they_were(model):
    assert model.generate(130, 8, seed=7)[:3] == model.generate(3, 8, seed=7)


def test_prompt_is_continued_and_left_out(model):
    likeliest = model.generate(1, 12, temperature=0, prompt="ACGTTGCA")
    first, rest = likeliest[0][:4], likeliest[0][4:]
    assert model.generate(1, 8, temperature=0, prompt="ACGTTGCA" + first) == [rest]


def test_every_base_drawn_is_the_likeliest_by_the_models_own_scores(model):
    text = model.generate(1, 10, temperature=0)[0]
    for place in range(10):
        scores = model.log_likelihood([text[:place] + base for base in "ACGT"])
        assert "ACGT"[int(np.argmax(scores))] == text[place]


def test_nothing_to_generate(model):
    assert model.generate(0, 5) == []
    assert model.generate(2, 0) == ["", ""]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature=-1; expected 0 or more"),
        ({"top_k": 0}, "top_k=0; expected 1 to 4"),
        ({"top_k": 5}, "top_k=5; expected 1 to 4"),
        ({"top_p": 0.0}, "top_p=0.0; expected more than 0"),
        ({"top_p": 1.5}, "top_p=1.5; expected more than 0"),
        ({"seed": -1}, "seed=-1; expected 0 or more"),
    ],
)
def test_settings_out_of_range(model, settings, message):
    with pytest.raises(InputError, match=message):
        model.generate(1, 1, **settings)


def test_negative_length(model):
    with pytest.raises(InputError, match="length=-1"):
        model.generate(1, -1)
