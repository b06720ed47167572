"""What a masked model expects of bases: by single bases its own answer, by longer tokens a sum over those that fit."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dnastudy.files import InputError
from dnastudy.genes import encode
from dnastudy.models import Bert
from dnastudy.tasks import zero_shot
from dnastudy.tokens import KmerTokenizer, Tokenizer


def bert(tokenizer: Tokenizer, context: int = 32) -> Bert:
    torch.manual_seed(3)
    model = Bert(layers=1, width=16, heads=2, context=context, vocabulary=len(tokenizer)).eval()
    model.tokenizer = tokenizer
    with torch.no_grad():  # small initial weights would make all tokens near equally likely
        for one in model.parameters():
            one.mul_(5)
    return model


def masked(model: Bert, ids: list[int], place: int) -> np.ndarray:
    """Probabilities of the tokens that spell bases, at a place of ids between CLS and SEP that is masked."""
    ids = [2, *ids[:place], 4, *ids[place + 1 :], 3]
    with model.evaluating():
        return model(torch.tensor([ids]))[0][0, 1 + place, 5:].softmax(0).double().numpy()


def test_single_bases_are_the_masked_models_own_answer():
    model = bert(Tokenizer())
    told = zero_shot.base_probabilities(model, [encode("ACGTA"), encode("TTNTG")], np.array([[1, 4], [2, 5]]))
    assert told.shape == (2, 3, 4)
    assert_allclose(told[0], [masked(model, [5, 6, 7, 8, 5], place) for place in (1, 2, 3)], atol=1e-5)
    assert np.isnan(told[1, 0]).all()
    assert_allclose(told[1, 2], masked(model, [8, 8, 1, 8, 7], 4), atol=1e-5)


def test_a_longer_token_is_told_among_those_of_its_length():
    tokenizer = Tokenizer([("A", "C"), ("G", "T"), ("AC", "GT")])
    model = bert(tokenizer)
    codes = encode("TACAC")  # T AC AC; AC and GT have two bases
    told = zero_shot.base_probabilities(model, [codes], np.array([[0, 4]]))[0]
    ac, gt = masked(model, [8, 9, 9], 1)[4:6]
    share = ac / (ac + gt)
    assert_allclose(told[1:3], [[share, 0, 1 - share, 0], [0, share, 0, 1 - share]], atol=1e-5)
    assert_allclose(told[0], masked(model, [8, 9, 9], 0)[:4] / masked(model, [8, 9, 9], 0)[:4].sum(), atol=1e-5)
    ac, gt = masked(model, [8, 9, 9], 2)[4:6]
    assert_allclose(told[3], [ac / (ac + gt), 0, gt / (ac + gt), 0], atol=1e-5)


def test_tokens_are_scored_one_by_one():
    model = bert(KmerTokenizer(2))
    ids = model.tokenizer.encode("ACGTTA").tolist()
    codes = [encode("NNACGTTA"), encode("ACGTTA")]
    sequence, token, nats = zero_shot.token_log_likelihoods(model, codes, np.array([[0, 2], [3, 5]]))
    assert sequence.tolist() == [1, 1] and token.tolist() == ids[1:]
    expected = [np.log(masked(model, ids, place)[ids[place] - 5]) for place in (1, 2)]
    assert_allclose(nats, expected, atol=1e-4)


def test_substitutions_are_as_if_one_did_each_by_hand(monkeypatch):
    monkeypatch.setattr(zero_shot, "SURROUNDINGS", 1)
    model = bert(KmerTokenizer(2))
    effects = zero_shot.substitution_effects(model, encode("ACGTTACC"), 2, 4)
    assert effects.shape == (2, 4) and effects[0, 2] == effects[1, 3] == 0
    whole, other = (
        zero_shot.token_log_likelihoods(model, [encode(one)], np.array([[1, 4]]))[2].sum()
        for one in ("ACGTTACC", "ACATTACC")
    )
    assert effects[0, 0] == pytest.approx(whole - other, abs=1e-5)


def test_information_and_bits():
    shares = np.array([[0.25, 0.25, 0.25, 0.25], [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert zero_shot.information(shares).tolist() == [0, 2, 1]
    background = np.array([0.5, 0.25, 0.125, 0.125])
    bits = zero_shot.bits_gained(shares[None], np.array([[0, 0, 1]], dtype=np.uint8), background)
    assert bits.tolist() == [[-1, 1, 1]]


def test_a_site_that_is_longer_than_the_context():
    with pytest.raises(InputError, match="12 tokens, CLS and SEP included, and the model's context is 8"):
        zero_shot.base_probabilities(bert(Tokenizer(), context=8), [encode("ACGTACGTAC")], np.array([[4, 6]]))
