"""BERT in transformers' folders: equal logits there and here, the same tokens, and what isn't read."""

import json
import sys

import numpy as np
import pytest
import torch
import transformers

from dnastudy.files import InputError
from dnastudy.models import Bert, build, export_to_transformers, load, save
from dnastudy.models.hub import ForeignTokenizer
from dnastudy.models.store import check
from dnastudy.tokens import KmerTokenizer, Tokenizer

SMALL = {"layers": 2, "width": 16, "heads": 2, "context": 12}
MERGES = [("A", "A"), ("T", "T"), ("AA", "G")]
TEXT = "AAGTTNACaaagGCT"


def larger(model):
    """The same with larger weights, of which no two are alike: biases and norms count too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.3 * torch.randn(weights.shape, generator=generator))
    return model.eval()


@pytest.fixture
def model(tmp_path):
    Tokenizer(MERGES).save(tmp_path / "tokenizer.json")
    config = {"kind": "bert", "tokenizer": str(tmp_path / "tokenizer.json"), "dropout": 0.1} | SMALL
    return larger(build(config, device="cpu"))


def theirs(folder, *, tokens, **changes):
    """A BERT that transformers made itself, and wrote."""
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=tokens, max_position_embeddings=12, **settings | changes)
    made = larger(transformers.BertForMaskedLM(config))
    made.save_pretrained(folder)
    return made


def some_ids(tokens, seed=0):
    ids = np.random.default_rng(seed).integers(4, tokens, size=(3, 12))
    ids[:, 0], ids[:, -1] = 2, 3
    ids[0, 7:] = [3, 0, 0, 0, 0]
    return torch.from_numpy(ids)


@torch.no_grad()
def logits(model, ids):
    if isinstance(model, Bert):
        return model(ids)[0]
    return model(ids, attention_mask=(ids != 0).long()).logits


def test_exported_model_has_equal_logits_and_tokens(model, tmp_path):
    export_to_transformers(model, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    other = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    ids = some_ids(12)
    seen = ids != 0
    torch.testing.assert_close(logits(other, ids)[seen], logits(model, ids)[seen], atol=1e-5, rtol=0)
    theirs = other.bert(ids, attention_mask=seen.long(), output_hidden_states=True).hidden_states
    assert len(theirs) == 3
    for expected, found in zip(theirs, model.states(ids), strict=True):
        torch.testing.assert_close(expected[seen], found[seen], atol=1e-5, rtol=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer(TEXT)["input_ids"] == [2, *model.tokenizer.encode(TEXT).tolist(), 3]
    assert tokenizer.mask_token_id == 4


def test_exported_and_imported_is_the_same(model, tmp_path):
    export_to_transformers(model, tmp_path / "out")
    again = load(f"hf:{tmp_path / 'out'}", device="cpu")
    assert again.config == model.config and not again.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    assert again.tokenizer.merges == MERGES
    save(again, tmp_path / "saved")
    assert torch.equal(logits(load(tmp_path / "saved"), some_ids(12)), logits(model, some_ids(12)))


def test_a_model_folder_goes_to_transformers_and_back_as_the_readme_says(model, tmp_path):
    save(model, tmp_path / "my_bert")
    export_to_transformers(load(tmp_path / "my_bert"), tmp_path / "for_transformers")
    again = load(f"hf:{tmp_path / 'for_transformers'}", device="cpu")
    assert torch.equal(logits(again, some_ids(12)), logits(model, some_ids(12)))
    assert again.tokenizer.encode(TEXT).tolist() == model.tokenizer.encode(TEXT).tolist()


def test_a_model_that_numbers_tokens_otherwise(tmp_path):
    made = theirs(tmp_path, tokens=14)  # two rows more than there are tokens
    Tokenizer(MERGES).save(tmp_path / "tokenizer.json")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    order = np.random.default_rng(1).permutation(12)
    tokens = list(content["model"]["vocab"])
    content["model"]["vocab"] = {tokens[place]: number for number, place in enumerate(order.tolist())}
    for token in content["added_tokens"]:
        token["id"] = content["model"]["vocab"][token["content"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    model = load(f"hf:{tmp_path}", device="cpu")
    assert model.config["vocabulary"] == 12 and model.tokenizer.merges == MERGES
    ids = some_ids(12)[1:]  # without padding
    number = torch.from_numpy(np.argsort(order))
    with torch.no_grad():
        expected = made(number[ids]).logits[..., number]
    torch.testing.assert_close(logits(model, ids), expected, atol=1e-5, rtol=0)


def test_types_of_token_are_added_to_the_positions(tmp_path):
    made = theirs(tmp_path, tokens=9)
    Tokenizer().save(tmp_path / "tokenizer.json")
    ids = some_ids(9)
    seen = ids != 0
    torch.testing.assert_close(logits(load(f"hf:{tmp_path}"), ids)[seen], logits(made, ids)[seen], atol=1e-5, rtol=0)


def test_a_tokenizer_that_is_none_of_ours(tmp_path):
    pieces = ["A", "C", "G", "T", "N", "AAG", "##TT", "##N", "##AC", "##A", "##G", "##C", "##T"]
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[MASK]", "[SEP]", "[CLS]", "[UNK]", "[PAD]", *pieces]))
    tokenizer = transformers.BertTokenizer(str(vocabulary), do_lower_case=False)
    tokenizer.save_pretrained(tmp_path / "model")
    made = theirs(tmp_path / "model", tokens=18)
    model = load(f"hf:{tmp_path / 'model'}", device="cpu")
    ids = model.tokenizer.encode("AAGTTNAC")
    assert [model.tokenizer.tokens[number] for number in ids] == ["AAG", "TT", "N", "AC"]
    assert model.tokenizer.decode(ids) == "AAGTTNAC"
    assert model.tokenizer.offsets(ids).tolist() == [0, 3, 5, 6, 8]
    assert model.tokenizer.tokens[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    given = torch.tensor([tokenizer("AAGTTNAC")["input_ids"]])
    mine = torch.tensor([[2, *ids, 3]])
    expected = logits(made, given)[..., model.tokenizer.numbers]
    torch.testing.assert_close(logits(model, mine), expected, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="tokenizer is of another library and can't be saved"):
        save(model, tmp_path / "saved")


def test_kmers_between_spaces_are_not_taken_for_ours_and_long_words_not_for_one(tmp_path):
    theirs(tmp_path, tokens=9 + 64)
    KmerTokenizer(3).save(tmp_path / "tokenizer.json")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    specials = {f"{name.strip('[]').lower()}_token": name for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **specials}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load(f"hf:{tmp_path}", device="cpu").tokenizer
    assert isinstance(tokenizer, ForeignTokenizer)
    with pytest.raises(InputError, match="spells 1 of 600 bases"):
        tokenizer.encode("ACGTAC" * 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act = 'relu' in its config.json; expected 'gelu'"),
        ({"intermediate_size": 32}, "intermediate_size = 32 in its config.json; expected 64"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps = 1e-05 in its config.json; expected 1e-12"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings = False"),
    ],
)
def test_another_form_of_bert_is_refused(changes, message, tmp_path):
    theirs(tmp_path, tokens=9, **changes)
    with pytest.raises(InputError, match=f"hf:.*{message}"):
        load(f"hf:{tmp_path}")


def test_another_architecture_is_refused_by_name(tmp_path):
    config = transformers.GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    for read in (load, check):
        with pytest.raises(InputError, match="a model of type 'gpt2'; expected 'bert'"):
            read(f"hf:{tmp_path}")


def test_no_code_of_its_own_is_run(tmp_path):
    theirs(tmp_path, tokens=9)
    Tokenizer().save(tmp_path / "tokenizer.json")
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\n")
    asked = {"AutoConfig": "own.Config", "AutoModelForMaskedLM": "own.Model", "AutoTokenizer": ["own.Tokens", None]}
    config = json.loads((tmp_path / "config.json").read_text())
    for kind in ("bert", "own"):
        (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": kind, "auto_map": asked}))
        with pytest.raises(
            InputError, match=r"hf:.*asks to run its own code \(auto_map .* names own\.Config, own\.Model"
        ):
            load(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match=r"hf:.*: its config.json holds no settings; expected a JSON object"):
        load(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ACGT"]))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["own.Tokens", None]}}))
    assert isinstance(load(f"hf:{tmp_path}").tokenizer, ForeignTokenizer)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_the_other_package_is_told_by_its_configuration(model, tmp_path):
    save(model, tmp_path / "ours")
    theirs(tmp_path / "theirs", tokens=9)
    check(f"hf:{tmp_path / 'theirs'}")
    for read in (load, check):
        with pytest.raises(InputError, match=r"hf:.*/ours: a model of this package, .*; give its folder without hf:"):
            read(f"hf:{tmp_path / 'ours'}")
        with pytest.raises(
            InputError, match=r"/theirs: a model of transformers \(.*'bert'\), .*; give it as hf:/.*theirs"
        ):
            read(tmp_path / "theirs")


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"hf:.*nowhere: can't be loaded \(.*expected the name of a model on the hub"):
        load(f"hf:{tmp_path / 'nowhere'}")
    made = theirs(tmp_path, tokens=9)
    with pytest.raises(InputError, match=r"no tokenizer; expected tokenizer\.json or vocab\.txt there"):
        load(f"hf:{tmp_path}")
    Tokenizer(MERGES).save(tmp_path / "tokenizer.json")
    with pytest.raises(InputError, match="its tokenizer has the id 11, but the model 9 tokens"):
        load(f"hf:{tmp_path}")
    made.bert.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"no weights for cls\.predictions.*expected a BERT with its head"):
        load(f"hf:{tmp_path}")
    (tmp_path / "model.safetensors").unlink()
    torch.save(made.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="can't be loaded"):
        load(f"hf:{tmp_path}")


def test_without_the_library(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    for use in (lambda: load("hf:some/model"), lambda: export_to_transformers(model, tmp_path / "out")):
        with pytest.raises(
            InputError, match=r"transformers isn't installed; install it with: pip install 'dnastudy\[hub\]'"
        ):
            use()


def test_only_a_bert_is_exported_and_over_no_model_of_ours(model, tmp_path):
    lstm = build({"kind": "lstm", "layers": 1, "width": 4, "embedding": 4}, device="cpu")
    with pytest.raises(InputError, match="a lstm model can't be written for transformers"):
        export_to_transformers(lstm, tmp_path)
    save(model, tmp_path / "model")
    with pytest.raises(InputError, match="a model of this package stands there"):
        export_to_transformers(model, tmp_path / "model")
