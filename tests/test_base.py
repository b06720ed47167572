"""What all causal models share: perplexity, and that one sequence is no list of them."""

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models import build
from dnastudy.models.base import CausalModel

TEXTS = ["ACGTNACGGT", "", "T"]
SMALL = {
    "ngram": {"order": 3},
    "lstm": {"layers": 1, "width": 8, "embedding": 4},
    "gru": {"layers": 1, "width": 8, "embedding": 4},
    "gpt": {"layers": 1, "width": 8, "heads": 2, "context": 8},
}


class Fair(CausalModel):
    """A quarter to each base and a half to the end, as far as it reads."""

    def log_likelihood(self, sequences, *, include_end=False):
        read = [one[: self.limit].replace("N", "") for one in sequences]
        ends = [include_end and (self.limit is None or len(one) < self.limit) for one in sequences]
        return np.array([-len(bases) * np.log(4) - end * np.log(2) for bases, end in zip(read, ends, strict=True)])


def test_perplexity_counts_what_is_scored():
    assert Fair().perplexity(["ACGTN", "A"]) == pytest.approx(4)
    # Two bases at 1/4 and two ends at 1/2.
    assert Fair().perplexity(["AN", "C"], include_end=True) == pytest.approx(8**0.5)


def test_perplexity_as_far_as_a_model_reads():
    model = Fair()
    model.limit = 3
    assert model.perplexity(["ACNTTT", "A"]) == pytest.approx(4)
    assert model.perplexity(["ACTTTT", "A"], include_end=True) == pytest.approx((4**4 * 2) ** (1 / 5))


def test_nothing_to_score():
    for nothing in ([], ["", "NN"]):
        with pytest.raises(InputError, match="perplexity: no A, C, G or T to score"):
            Fair().perplexity(nothing)
    assert Fair().perplexity([""], include_end=True) == pytest.approx(2)


@pytest.fixture(params=SMALL)
def model(request):
    torch.manual_seed(0)
    model = build({"kind": request.param, **SMALL[request.param]}, device="cpu")
    return model.fit(TEXTS) if request.param == "ngram" else model


def test_every_model_has_a_perplexity(model):
    assert model.perplexity(TEXTS) == pytest.approx(np.exp(-model.log_likelihood(TEXTS).sum() / 10))
    with_ends = np.exp(-model.log_likelihood(TEXTS, include_end=True).sum() / 13)
    assert model.perplexity(TEXTS, include_end=True) == pytest.approx(with_ends)


@pytest.mark.parametrize("one", ["ACGT", encode("ACGT")], ids=["string", "codes"])
@pytest.mark.parametrize("method", ["log_likelihood", "base_log_likelihoods", "perplexity"])
def test_one_sequence_is_no_list_of_them(model, method, one):
    with pytest.raises(InputError, match=r"expected a list of sequences, found one (string|array.*); put it in a list"):
        getattr(model, method)(one)
