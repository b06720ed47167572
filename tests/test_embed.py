"""Vectors of whole sequences: means over the tokens alone, the pieces of long ones, and an n-gram model's bins."""

import math

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.genes.codes import encode, reverse_complement
from dnastudy.models import NgramModel, build
from dnastudy.models.pooled import batches, count_in_pieces, embed, padded, piece_ids, summed_states
from dnastudy.tokens import Tokenizer

LSTM = {"kind": "lstm", "layers": 2, "width": 16, "embedding": 8}
GPT = {"kind": "gpt", "layers": 2, "width": 16, "heads": 2, "context": 8}
BERT = {"kind": "bert", "layers": 2, "width": 16, "heads": 2, "context": 8}
PUBLISHED = [LSTM | {"form": "as_published"}, GPT | {"form": "as_published"}]
TEXTS = ["ACGTNA", "GG", "CGTACG", "T"]


def made(config):
    torch.manual_seed(1)
    return build(config, device="cpu").eval()


def states_of(model, text):
    """Last states of the tokens of a sequence that fits, [tokens, width]."""
    ids = [1 if base == "N" else 5 + "ACGT".index(base) for base in text]
    with model.evaluating():
        return model.hidden(torch.tensor([[2, *ids, *([] if model.causal else [3])]]))[0, 1 : len(ids) + 1]


@pytest.fixture
def merged(tmp_path):
    """A BERT of the tokens A, C, G, T, AA and TT."""
    Tokenizer([("A", "A"), ("T", "T")]).save(tmp_path / "tokenizer.json")
    return made(BERT | {"tokenizer": str(tmp_path / "tokenizer.json")})


def test_sum_over_tokens_alone():
    ids = torch.tensor([[2, 5, 1, 3, 0, 0], [2, 5, 6, 7, 4, 3]])
    states = torch.arange(12.0).view(2, 6, 1)
    total, tokens = summed_states(states, ids)
    assert total.tolist() == [[1 + 2], [7 + 8 + 9 + 10]] and tokens.tolist() == [[2], [4]]
    assert summed_states(states.bfloat16(), ids)[0].dtype == torch.float32


@pytest.mark.parametrize("config", [LSTM, LSTM | {"kind": "gru"}, GPT, BERT, *PUBLISHED])
def test_it_is_the_mean_of_the_states_whatever_is_beside_it(config):
    model = made(config)
    found = embed(model, [encode(text) for text in TEXTS])
    assert found.shape == (4, 16) and found.dtype == np.float32
    for vector, text in zip(found, TEXTS, strict=True):
        states = states_of(model, text)
        torch.testing.assert_close(torch.from_numpy(vector), states.mean(0), atol=1e-5, rtol=1e-4)
    ids = padded([one[0] for one in piece_ids(model, [encode(text) for text in TEXTS])])[[0, 2, 1, 3]]
    token = (ids != 2) & (ids != 3) & (ids != 0)
    with model.evaluating():
        means = (model.hidden(ids) * token[..., None]).sum(1) / token.sum(1, keepdim=True)
    assert found[[0, 2, 1, 3]].tolist() == means.tolist()


@pytest.mark.parametrize("config", [GPT, BERT, PUBLISHED[1]])
def test_of_pieces_it_is_the_mean_over_all_their_tokens(config):
    model = made(config)
    room = 7 if model.causal else 6
    text = "ACGTTGCAGACTTAGCATG"[: 5 * room // 2]
    parts = ["ACGTTG", "CAGACT", "TAGCA"] if model.causal else ["ACGTT", "GCAGA", "CTTAG"]
    assert "".join(parts) == text
    states = torch.cat([states_of(model, part) for part in parts])
    found = embed(model, [encode(one) for one in ("GG", text, "T")])
    assert found[1] == pytest.approx((states.sum(0) / len(text)).numpy(), abs=1e-6)
    assert found[2] == pytest.approx(states_of(model, "T")[0].numpy(), abs=1e-6)
    if config is BERT:
        first = [model.states(torch.tensor([ids]))[1] for ids in piece_ids(model, [encode(text)])[0].tolist()]
        expected = torch.cat([one[0, 1:-1] for one in first]).mean(0).detach().numpy()
        assert embed(model, [encode(text)], layer=1)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("config", [LSTM, BERT, {"kind": "ngram", "order": 3}])
def test_both_strands(config):
    model, codes = made(config) if config["kind"] != "ngram" else counted(), [encode(text) for text in TEXTS]
    turned = [reverse_complement(one) for one in codes]
    both = embed(model, codes, reverse_complement=True)
    assert both == pytest.approx((embed(model, codes) + embed(model, turned)) / 2, abs=1e-6)
    assert both.dtype == np.float32
    assert not np.allclose(both, embed(model, codes), atol=1e-3)


@pytest.mark.parametrize("config", [LSTM, GPT, BERT])
def test_in_bf16_it_is_nearly_the_same(config):
    model, codes = made(config), [encode(text) for text in TEXTS]
    exact, rounded = (embed(model, codes, precision=precision) for precision in ("fp32", "bf16"))
    assert rounded == pytest.approx(exact, abs=0.03) and rounded.dtype == np.float32 and (rounded != exact).any()


def test_layers_of_a_bert(merged):
    codes = [encode("AAGTT"), encode("C")]
    states = merged.states(torch.tensor([[2, 9, 7, 10, 3]]))
    assert len(states) == 3 and torch.equal(states[-1], merged.hidden(torch.tensor([[2, 9, 7, 10, 3]])))
    for layer in range(3):
        found = embed(merged, codes, layer=layer)
        assert found[0] == pytest.approx(states[layer][0, 1:4].mean(0).detach().numpy(), abs=1e-5)
    assert embed(merged, codes).tolist() == found.tolist()
    first = merged.norm(merged.embedding.weight[9] + merged.positions.weight[1])
    assert states[0][0, 1].tolist() == pytest.approx(first.tolist(), abs=1e-6)


def test_a_long_sequence_is_given_in_pieces_of_equal_length(merged):
    codes = [encode("AAAACGTTTTCCGG"), encode("ACG"), encode("ACGTACGTACGTA")]
    # Ten tokens, AA AA C G TT TT C C G G; six fit between CLS and SEP.
    assert [one.tolist() for one in piece_ids(merged, codes)] == [
        [[2, 9, 9, 6, 7, 10, 3], [2, 10, 6, 6, 7, 7, 3]],
        [[2, 5, 6, 7, 3]],
        [[2, 5, 6, 7, 8, 5, 3], [2, 6, 7, 8, 5, 3, 0], [2, 6, 7, 8, 5, 3, 0]],
    ]
    assert count_in_pieces(merged, codes) == {"in_pieces": 2, "longest": 13, "seen": 6}
    (ids,) = piece_ids(made(GPT), [encode("ACGTACGT")])
    assert ids.tolist() == [[2, 5, 6, 7, 8], [2, 5, 6, 7, 8]] and ids.dtype == np.int64
    assert count_in_pieces(made(GPT), codes) == {"in_pieces": 2, "longest": 14, "seen": 7}
    (ids,) = piece_ids(made(LSTM), [encode("ACGTACGTA")])
    assert ids.tolist() == [[2, 5, 6, 7, 8, 5, 6, 7, 8, 5]]
    assert count_in_pieces(made(LSTM), codes) == {"in_pieces": 0, "longest": 14, "seen": None}
    long = np.arange(2000, dtype=np.uint8) % 3
    assert count_in_pieces(made(PUBLISHED[0]), [long]) == {"in_pieces": 1, "longest": 2000, "seen": 1022}
    (ids,) = piece_ids(made(PUBLISHED[0]), [long])
    assert ids.shape == (2, 1001) and ids[:, 1:].ravel().tolist() == (long + 5).tolist()
    assert embed(made(PUBLISHED[0]), [long]).shape == (1, 16)


def test_batches_hold_each_row_once_and_rows_of_like_length_together(monkeypatch):
    monkeypatch.setattr("dnastudy.models.neural._RECURRENT_POSITIONS", 12)
    rows = [np.full(length, 5) for length in (2, 6, 3, 5, 40, 1)]
    found = [(chosen.tolist(), tuple(ids.shape)) for chosen, ids in batches(made(LSTM), rows)]
    assert found == [([4], (1, 40)), ([1, 3], (2, 6)), ([2, 0, 5], (3, 3))]
    assert padded([np.array([2, 5, 6]), np.array([2])]).tolist() == [[2, 5, 6], [2, 0, 0]]
    assert padded([np.array([[2, 5, 6]]), np.array([[2, 5], [2, 6]])]).tolist() == [
        [[2, 5, 6], [0, 0, 0]],
        [[2, 5, 0], [2, 6, 0]],
    ]
    assert embed(made(LSTM), []).shape == (0, 16)


def counted():
    return NgramModel(order=3).fit(["ACGTTGCAAC" * 5], validation=["ACGTT"])


def test_an_n_gram_models_likelihood_in_eight_parts():
    model, codes = counted(), encode("ACGTNCGTACGTTGCA")
    forward = model.base_log_likelihoods([codes])[0]
    backward = model.base_log_likelihoods([reverse_complement(codes)])[0][::-1]
    (found,) = embed(model, [codes])
    expected = [np.nanmean(part) for nats in (forward, backward) for part in nats.reshape(8, 2)]
    assert found == pytest.approx(expected, abs=1e-6) and found.dtype == np.float32
    # Six bases fill six of the parts, and nothing is known of the others.
    (found,) = embed(model, [encode("ACGTTN")])
    unknown = [place for place, value in enumerate(found) if value == np.float32(-math.log(4))]
    assert unknown == [3, 6, 7, 11, 14, 15]


@pytest.mark.parametrize(
    ("config", "codes", "layer", "message"),
    [
        (LSTM, ["ACG", ""], None, r"sequence 2 of 2 has no base; expected one or more"),
        (LSTM, ["ACG"], 1, "layer 1 of a lstm model; expected 0 to the number of layers, of a bert alone"),
        (BERT, ["ACG"], 3, "layer 3 of a bert model"),
        (BERT, ["ACG"], -1, "layer -1 of a bert model"),
        (LSTM | {"vocabulary": 30}, ["ACG"], None, "a lstm model of 30 tokens can't be given DNA"),
    ],
)
def test_what_is_refused(config, codes, layer, message):
    with pytest.raises(InputError, match=message):
        embed(made(config), [encode(text) for text in codes], layer=layer)


def test_an_n_gram_model_is_given_no_empty_sequence():
    with pytest.raises(InputError, match="sequence 1 of 1 has no base"):
        embed(counted(), [encode("")])
