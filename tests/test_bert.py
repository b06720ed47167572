"""BERT: both sides are seen and padding isn't, what it can't do is said, and its folder holds its own tokenizer."""

import pytest
import torch
from torch.nn import functional

from dnastudy.files import InputError, read_json
from dnastudy.models import Bert, build, load, save
from dnastudy.models.transformer import attend
from dnastudy.tokens import KmerTokenizer, Tokenizer

SMALL = {"layers": 2, "width": 16, "heads": 2, "context": 16}
MERGES = [("A", "A"), ("T", "T"), ("AA", "G")]


@pytest.fixture
def model():
    torch.manual_seed(1)
    model = Bert(**SMALL, dropout=0.5).eval()
    with torch.no_grad():  # small initial weights would make all tokens near equally likely
        for one in model.parameters():
            one.mul_(4)
    return model


def test_parameter_count_of_grover():
    with torch.device("meta"):
        model = Bert(layers=12, width=768, heads=12, vocabulary=5 + 4 + 600)
    # 12 blocks of 12 w^2 + 13 w, embeddings of 609 tokens and 512 positions, two norms, the head's layer and bias.
    blocks = 12 * (12 * 768**2 + 13 * 768)
    assert model.size == blocks + (609 + 512) * 768 + 2 * 2 * 768 + 768**2 + 768 + 609 == 86_509_665


def test_both_sides_of_a_token_are_seen(model):
    ids = torch.tensor([[2, 5, 4, 7, 8, 3]])
    logits, state = model(ids)
    assert logits.shape == (1, 6, 9) and state is None
    for place in (1, 4):
        changed = ids.clone()
        changed[0, place] = 6
        assert not torch.allclose(model(changed)[0][0, 2], logits[0, 2], atol=1e-3)


def test_states_of_all_layers(model):
    ids = torch.tensor([[2, 5, 6, 3, 0], [2, 5, 6, 7, 3]])
    states = model.states(ids)
    assert [one.shape for one in states] == 3 * [(2, 5, 16)]
    assert torch.equal(states[0], model.norm(model.embedding(ids) + model.positions.weight[:5]))
    for number, block in enumerate(model.blocks):
        assert torch.equal(states[number + 1], block(states[number], ids == 0))
    assert torch.equal(model.hidden(ids), states[2])


def test_logits_of_some_positions_alone(model):
    ids = torch.randint(5, 9, (3, 16))
    wanted = torch.rand(3, 16) < 0.3
    torch.testing.assert_close(model(ids, wanted)[0], model(ids)[0][wanted], atol=1e-5, rtol=1e-5)
    assert model(ids, torch.zeros_like(wanted))[0].shape == (0, 9)


def test_padding_is_not_seen(model):
    ids = torch.tensor([[2, 5, 4, 3, 0, 0, 0], [2, 5, 4, 7, 8, 6, 3]])
    logits, _ = model(ids)
    alone, _ = model(ids[:1, :4])
    torch.testing.assert_close(logits[:1, :4], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", [3, 256, 600])
def test_bf16_attention_to_both_sides_is_torchs_own_but_for_rounding(positions):
    torch.manual_seed(0)
    whole = torch.randn(3, 2, 2, positions, 16, requires_grad=True)
    half = whole.detach().bfloat16().requires_grad_()
    padding = torch.arange(positions) >= torch.tensor([[positions], [positions - 2]])
    expected = functional.scaled_dot_product_attention(*whole, attn_mask=~padding[:, None, None])
    found = attend(*half, padding)
    wanted = torch.randn_like(expected)
    expected.backward(wanted)
    found.backward(wanted.bfloat16())
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    torch.testing.assert_close(half.grad.float(), whole.grad, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_weights_are_dropped_while_training_alone(dtype, model):
    torch.manual_seed(0)
    drawn = torch.randn(3, 1, 2, 50, 8).to(dtype)
    padding = torch.zeros(1, 50, dtype=torch.bool)
    assert not torch.allclose(attend(*drawn, padding, 0.5), attend(*drawn, padding), atol=0.1)
    attention, hidden = model.blocks[0].attention, torch.randn(1, 16, 16)
    first, second = (attention(hidden, padding=padding[:, :16]) for _ in range(2))
    assert torch.equal(first, second)
    attention.train()
    first, second = (attention(hidden, padding=padding[:, :16]) for _ in range(2))
    assert not torch.allclose(first, second)


def test_compiles_as_one_graph_whatever_the_length():
    model = Bert(**SMALL)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for length in (9, 5, 16):
        ids = torch.randint(5, 9, (2, length))
        assert torch.equal(compiled(ids)[0], model(ids)[0])


@pytest.mark.parametrize(
    ("use", "verb"),
    [
        (lambda model: model.log_likelihood(["ACGT"]), "score"),
        (lambda model: model.base_log_likelihoods(["ACGT"]), "score"),
        (lambda model: model.perplexity(["ACGT"], include_end=True), "score"),
        (lambda model: model.generate(1, 5), "generate"),
    ],
)
def test_neither_scores_nor_generates(use, verb, model):
    with pytest.raises(InputError, match=rf"a bert model fills in masked tokens and can't {verb} DNA .*give an n-gram"):
        use(model)


@pytest.mark.parametrize("tokenizer", [Tokenizer(MERGES), KmerTokenizer(2), None], ids=["merges", "k-mers", "bases"])
def test_the_folder_holds_its_own_tokenizer(tokenizer, tmp_path):
    config = {"kind": "bert"} | SMALL
    if tokenizer:
        tokenizer.save(tmp_path / "given.json")
        config["tokenizer"] = str(tmp_path / "given.json")
    model = build(config, device="cpu")
    tokens = len(tokenizer) if tokenizer else 9
    assert model.config == {"kind": "bert"} | SMALL | {"dropout": 0.0, "vocabulary": tokens}
    save(model, tmp_path / "model")
    assert sorted(read_json(tmp_path / "model" / "config.json")["files"]) == ["model.safetensors", "tokenizer.json"]
    again = load(tmp_path / "model", device="cpu")
    text = "AAGTTNACAAAG"
    assert again.tokenizer.encode(text).tolist() == (tokenizer or Tokenizer()).encode(text).tolist()
    ids = torch.randint(5, tokens, (3, 16), generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(ids)[0], model.eval()(ids)[0])
    assert again.config == model.config and not again.training


def test_a_tokenizer_of_another_model_is_noticed(tmp_path):
    save(build({"kind": "bert"} | SMALL, device="cpu"), tmp_path / "one")
    Tokenizer(MERGES).save(tmp_path / "one" / "tokenizer.json")
    with pytest.raises(InputError, match=r"tokenizer\.json: not the file saved"):
        load(tmp_path / "one")


def test_initial_weights():
    torch.manual_seed(0)
    weights = Bert(layers=1, width=256).state_dict()
    for name, value in weights.items():
        if value.ndim == 2:
            assert value.std().item() == pytest.approx(0.02, rel=0.02), name
        else:
            assert (value == name.endswith(("norm.weight", "transform.2.weight"))).all(), name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"context": 2}, "bert: context 2; expected 3 or more"),
        ({"width": 10, "heads": 4}, "bert: width 10 isn't a multiple of 4 heads"),
        ({"tokenizer": "nowhere.json"}, "nowhere.json: no such file"),
        ({"tokeniser": "a"}, "bert model: 'tokeniser' is no setting of it; did you mean 'tokenizer'"),
        ({"tokenizer": 3}, "bert model: tokenizer = 3; expected a word"),
    ],
)
def test_bad_configuration(config, message):
    with pytest.raises(InputError, match=message):
        build({"kind": "bert"} | config)


def test_a_full_length_window_is_the_longest(model):
    ids = torch.full((1, 17), 5)
    with pytest.raises(InputError, match="bert: 17 positions; its context is 16"):
        model(ids)
