"""dnastudy.study.model_inputs: the models that a run names, which are refused, and what stands in for none."""

from pathlib import Path

import pytest
import torch

from dnastudy.files import InputError
from dnastudy.models import build, export_to_transformers
from dnastudy.models.base import KINDS
from dnastudy.models.store import digest_of, save
from dnastudy.study import load_record, start
from dnastudy.study.model_inputs import CAUSAL, causal_models, load_models, model_folders, smoke_models
from dnastudy.study.parameters import declared_parameters


def parameters(**changed):
    return {name: p.default for name, p in declared_parameters("05_compare_models").items()} | changed


def test_models_need_distinct_names(tmp_path):
    run = start("05_compare_models", parameters(models="a/lstm, b/lstm", corpus="c"))
    with pytest.raises(InputError, match="two folders have the same name"):
        causal_models(run, None)


def test_models_of_the_sample_are_never_scored_on_a_corpus_of_ones_own():
    run = start("05_compare_models", parameters(corpus="mine"))
    with pytest.raises(InputError, match=r"models is empty: name the model folders .* or none for the floors alone"):
        causal_models(run, None)
    assert model_folders(start("05_compare_models", parameters(corpus="mine", models="none"))) == {}


@pytest.mark.parametrize("name", ["copy", "uniform", "8-gram", "Laplace 8-gram"])
def test_models_named_like_a_floor_are_refused(name):
    run = start("05_compare_models", parameters(models=f"a/lstm,b/{name}"))
    with pytest.raises(InputError, match=f"^b/{name}: '{name}' is the name of a floor; rename the model's folder$"):
        causal_models(run, None)


@pytest.fixture
def bert(tmp_path):
    """A small BERT's folder, and the same as transformers has it."""
    torch.manual_seed(0)
    model = build({"kind": "bert", "layers": 1, "width": 8, "heads": 2, "context": 8}, device="cpu")
    save(model, tmp_path / "mine" / "bert")
    export_to_transformers(model, tmp_path / "theirs" / "grover")
    return tmp_path / "mine" / "bert", tmp_path / "theirs" / "grover"


def test_models_of_any_kind_and_of_transformers(bert, tmp_path):
    mine, theirs = bert
    run = start("05_compare_models", parameters(out=str(tmp_path / "run"), models=f"{mine}, hf:{theirs}"))
    assert list(model_folders(run).items()) == [("bert", mine), ("grover", Path(f"hf:{theirs}"))]
    loaded = load_models(run, model_folders(run), causal=False)
    assert {name: model.kind for name, model in loaded.items()} == {
        "bert": "bert",
        "grover": "bert",
    }
    said = run.finish()
    record = load_record(tmp_path / "run")
    assert record["data"]["models"] == {"bert": digest_of(mine), "grover": digest_of(f"hf:{theirs}")}
    assert record["parameters"]["models"] == "bert,hf:grover"
    assert str(tmp_path) not in (tmp_path / "run" / "record.json").read_text()
    assert f"model     grover: config sha256 {digest_of(f'hf:{theirs}')[:12]}" in said


def test_a_model_of_the_hub_is_known_by_its_name(tmp_path):
    run = start("05_compare_models", parameters(out=str(tmp_path), models="hf:some/model"))
    assert model_folders(run) == {"model": Path("hf:some/model")}
    assert run.finish().endswith("\nmodel     model: hf:some/model")
    assert load_record(tmp_path)["data"]["models"] == {"model": "hf:some/model"}


def test_where_likelihoods_are_asked_for_a_bert_is_refused(bert):
    for folder in (bert[0], f"hf:{bert[1]}"):
        run = start("05_compare_models", parameters(models=str(folder), published_models=str(folder)))
        for name in ("models", "published_models"):
            with pytest.raises(
                InputError,
                match=rf"^{folder}: a bert, which fills in masked tokens; 05_compare_models asks for the likelihood of "
                "whole sequences, expected ngram, lstm, gru, gpt: take it out$",
            ):
                load_models(run, run.folders(name))


def test_small_models_are_of_the_kinds_that_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("dnastudy.study.model_inputs.smoke_models", lambda kinds: [tmp_path / kind for kind in kinds])
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text("{}")
    run = start("05_compare_models", parameters())
    assert list(model_folders(run, CAUSAL)) == ["ngram", "lstm", "gru", "gpt"]
    assert list(model_folders(run)) == ["ngram", "lstm", "gru", "gpt", "bert"]
    assert model_folders(start("05_compare_models", parameters(models="none"))) == {}


def test_small_models_are_trained_once_and_only_those_asked_for(monkeypatch, tmp_path):
    defaults = {name: p.default for name, p in declared_parameters("04_train_language_model").items()}
    jobs = {f"04_train_language_model/{kind}": defaults | {"model": kind} for kind in ("ngram", "bert")}
    jobs["01_extract_genes"] = {}
    trained = []

    def train(config, corpus, folder, **_):
        trained.append(config["model"]["kind"])
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr("dnastudy.study.model_inputs.load_profile", lambda name: jobs)
    monkeypatch.setattr("dnastudy.study.model_inputs.smoke_corpus", lambda: tmp_path)
    monkeypatch.setattr("dnastudy.study.inputs.PROJECT", tmp_path)
    monkeypatch.setattr("dnastudy.study.model_inputs.train_from_config", train)
    assert [folder.name for folder in smoke_models(CAUSAL)] == ["ngram"] == trained
    assert [folder.name for folder in smoke_models(("bert", "ngram"))] == ["ngram", "bert"] == trained
    monkeypatch.setattr("torch.__version__", "of another release")
    assert [folder.name for folder in smoke_models(CAUSAL)] == ["ngram"] and trained == ["ngram", "bert", "ngram"]
