"""dnastudy.study.parameters: what notebooks declare, and what is refused before anything runs."""

import json

import pytest

from dnastudy.files import InputError
from dnastudy.models import TrainingConfig, build
from dnastudy.study.parameters import (
    MODEL_FIELDS,
    NOTEBOOKS,
    PROFILES,
    RENAMED,
    check_parameters,
    declared_parameters,
    language_model,
    load_profile,
    located,
    upstream,
)


def notebook(folder, source, tags=("parameters",)):
    path = folder / "99_try.ipynb"
    cell = {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}, "outputs": []}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_declared_parameters_have_name_type_default_and_help(tmp_path):
    path = notebook(tmp_path, 'rate: float = 1e-3  # learning rate\nname: str = ""  # a name')
    declared = declared_parameters(path)
    assert list(declared) == ["rate", "name"]
    assert (declared["rate"].type, declared["rate"].default, declared["rate"].help) == (
        "float",
        0.001,
        "learning rate",
    )


@pytest.mark.parametrize("line", ["steps = 3", "steps: int", "steps: list = []", "steps: int = n"])
def test_a_line_of_another_form_is_refused(tmp_path, line):
    with pytest.raises(InputError, match="parameters cell, line 1: expected 'name: int"):
        declared_parameters(notebook(tmp_path, line))


def test_a_notebook_without_parameters_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected one cell tagged 'parameters', found 0"):
        declared_parameters(notebook(tmp_path, "steps: int = 3", tags=()))


def test_an_unknown_notebook_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean '05_compare_models'"):
        declared_parameters("05_compare_model")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_notebook_takes_out_seed_and_device_and_explains_each_parameter(path):
    declared = declared_parameters(path)
    assert {"out", "seed", "device"} <= declared.keys()
    assert all(parameter.help for parameter in declared.values())


def test_values_go_on_top_of_defaults_and_an_int_is_a_float(tmp_path):
    declared = declared_parameters(notebook(tmp_path, "rate: float = 0.5  # r\nsteps: int = 3  # s"))
    assert check_parameters({"rate": 1}, declared, "here") == {"rate": 1.0, "steps": 3}


def test_papermills_int_is_taken_for_text(tmp_path):
    declared = declared_parameters(notebook(tmp_path, 'contigs: str = ""  # c'))
    assert check_parameters({"contigs": 22}, declared, "here") == {"contigs": "22"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "here: there is no parameter 'stepz'; did you mean 'steps'"),
        ({"steps": "3"}, "parameter 'steps' must be of type int, found '3'"),
        ({"steps": True}, "must be of type int, found True"),
        ({"rate": "1e-4"}, "needs a point: 1.0e-4"),
        ({"name": 1.5}, "-r NAME VALUE"),
        ({"flag": 1}, "must be of type bool"),
    ],
)
def test_unknown_names_and_wrong_types_are_refused(tmp_path, values, message):
    source = 'rate: float = 0.5  # r\nsteps: int = 3  # s\nname: str = ""  # n\nflag: bool = True  # f'
    declared = declared_parameters(notebook(tmp_path, source))
    with pytest.raises(InputError, match=message):
        check_parameters(values, declared, "here")


@pytest.mark.parametrize("name", ["smoke", "laptop", "paper"])
def test_profiles_hold_only_what_the_notebooks_declare(name):
    jobs = load_profile(name)
    assert {job.split("/")[0] for job in jobs} == {path.stem for path in NOTEBOOKS.glob("*.ipynb")}


def test_a_larger_profile_runs_what_a_smaller_one_does_and_every_notebook_runs_in_each():
    smoke, laptop, paper = (list(load_profile(name)) for name in ("smoke", "laptop", "paper"))
    assert set(smoke) < set(laptop) < set(paper)
    assert {job.split("/")[0] for job in smoke} == {path.stem for path in NOTEBOOKS.glob("*.ipynb")}


JOBS = {
    "01_extract_genes": {},
    "01_extract_genes/short": {},
    "04_train_language_model/ngram": {"corpus": "", "model": "ngram"},
    "04_train_language_model/lstm": {"corpus": "", "model": "lstm"},
    "04_train_language_model/short_lstm": {"corpus": "01_extract_genes/short", "model": "lstm"},
    "05_compare_models": {"corpus": "", "models": "", "published": "01_extract_genes/short, 01_extract_genes"},
    "07_generate_genes": {"corpus": "", "models": "04_train_language_model/lstm"},
}


def test_what_a_job_reads_is_named_or_follows_from_the_corpus():
    main, short = "01_extract_genes", "01_extract_genes/short"
    assert upstream(JOBS, main) == {}
    assert upstream(JOBS, "04_train_language_model/short_lstm") == {"corpus": [short]}
    assert upstream(JOBS, "05_compare_models") == {
        "corpus": [main],
        "models": ["04_train_language_model/ngram", "04_train_language_model/lstm"],
        "published": [short, main],
    }
    assert upstream(JOBS, "07_generate_genes") == {"corpus": [main], "models": ["04_train_language_model/lstm"]}


def test_a_job_may_read_a_file_of_another_and_no_masked_model_is_taken_for_a_causal_one():
    bert = {"corpus": "", "model": "bert", "tokenizer": "02_train_tokenizers/BPE-8.tokenizer.json"}
    jobs = JOBS | {"02_train_tokenizers": {}, "04_train_language_model/bert": bert}
    found = upstream(jobs, "04_train_language_model/bert")
    assert found == {"corpus": ["01_extract_genes"], "tokenizer": ["02_train_tokenizers"]}
    assert upstream(jobs, "05_compare_models") == upstream(JOBS, "05_compare_models")
    assert located(jobs, "04_train_language_model/bert", "results/mine") == {
        "corpus": "results/mine/01_extract_genes",
        "tokenizer": "results/mine/02_train_tokenizers/BPE-8.tokenizer.json",
    }
    assert located(jobs, "05_compare_models", "r")["published"] == "r/01_extract_genes/short,r/01_extract_genes"
    bert["tokenizer"] = "/my/own.tokenizer.json"
    assert upstream(jobs, "04_train_language_model/bert") == {"corpus": ["01_extract_genes"]}
    bert["tokenizer"] = "02_train_tokenizer/BPE-8.tokenizer.json"
    assert located(jobs, "04_train_language_model/bert", "r").keys() == {"corpus"}
    bert["tokenizer"] = "02_train_tokenizers/more/BPE-8.tokenizer.json"
    with pytest.raises(InputError, match=r"tokenizer names 02_train_tokenizers/more, which isn't in the profile"):
        upstream(jobs, "04_train_language_model/bert")


def test_a_model_of_the_hub_stands_beside_those_of_jobs():
    models = "04_train_language_model/lstm, hf:PoetschLab/GROVER"
    jobs = JOBS | {"09_label_regulatory_sequence": {"models": models}}
    name = "09_label_regulatory_sequence"
    assert upstream(jobs, name) == {"models": ["04_train_language_model/lstm"]}
    assert located(jobs, name, "r") == {"models": "r/04_train_language_model/lstm,hf:PoetschLab/GROVER"}


def test_grovers_model_waits_for_its_tokens():
    jobs = load_profile("paper")
    name = "04_train_language_model/bert"
    assert upstream(jobs, name) == {"corpus": ["01_extract_genes"], "tokenizer": ["03_select_tokenizer/bert"]}
    assert set(upstream(jobs, "03_select_tokenizer/bert")["tokenizers"]) == {"02_train_tokenizers"}
    assert "02_train_tokenizers/BPE-600.tokenizer.json" in jobs["03_select_tokenizer/bert"]["tokenizers"]
    assert "600" in jobs["02_train_tokenizers"]["merges"].split(",")
    config = language_model(jobs[name])
    assert config["model"] == {
        "kind": "bert", "tokenizer": "03_select_tokenizer/bert/chosen.tokenizer.json",
        "layers": 12, "width": 768, "heads": 12, "dropout": 0.1, "context": 512,
    }  # fmt: skip
    assert (config["training"]["masked"], config["training"]["batch"]) == (0.022, 64)


def test_a_job_that_is_named_and_not_there_is_refused():
    jobs = JOBS | {"07_generate_genes": {"models": "04_train_language_model/lstn"}}
    with pytest.raises(InputError, match=r"models names 04_train_language_model/lstn, .*did you mean"):
        upstream(jobs, "07_generate_genes")
    jobs = JOBS | {"07_generate_genes": {"models": "04_train_language_model/lstm,my_model"}}
    with pytest.raises(InputError, match="names jobs and other folders"):
        upstream(jobs, "07_generate_genes")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping"),
        ("- a", "expected a mapping"),
        ("a: [", "not readable as YAML"),
        ("05_compare_models: 3", "expected parameters as 'name: value' lines"),
        ("3: {}", "expected parameters as"),
        ("05_compare_modles: {}", "did you mean '05_compare_models'"),
        ("05_compare_models: {window: 3}", "did you mean 'windows'"),
        ("05_compare_models: {windows: many}", "must be of type int, found 'many'"),
    ],
)
def test_a_bad_profile_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_profile(path)


def test_an_unknown_profile_is_refused():
    with pytest.raises(InputError, match="did you mean 'laptop'"):
        load_profile("labtop")


def test_smoke_profile_is_the_notebooks_own_defaults():
    assert PROFILES.joinpath("smoke.yaml").is_file()
    jobs = load_profile("smoke")
    assert jobs["05_compare_models"] == {n: p.default for n, p in declared_parameters("05_compare_models").items()}


def test_language_model_gives_each_kind_its_own_fields():
    parameters = load_profile("laptop")["04_train_language_model/lstm"]
    config = language_model(parameters)
    assert config["model"].keys() == {"kind", "form", "layers", "width", "embedding", "dropout"}
    assert config["training"]["steps"] == parameters["steps"]
    assert TrainingConfig.from_dict(config["training"]).compile is False
    counted = {"order": 5, "smoothing": "laplace", "reverse_complement": True}
    settings = {"validation_windows": 7, "window": 9, "train_bases": 11, "seed": 1}
    ngram = language_model(parameters | {"model": "ngram"} | counted | settings)
    assert ngram == {"model": {"kind": "ngram"} | counted, "training": settings}
    assert language_model(parameters | {"model": "gpt", "window": 9})["model"]["context"] == 9
    with pytest.raises(InputError, match="did you mean 'lstm'"):
        language_model(parameters | {"model": "lsmt"})


def test_the_training_chapter_declares_what_a_configuration_takes():
    declared = declared_parameters("04_train_language_model")
    settings = TrainingConfig()
    for name in (
        "weight_decay",
        "clip",
        "patience",
        "keep",
        "schedule",
        "sampling",
        "epochs",
        "end",
        "masked",
        "accumulate",
    ):
        assert declared[name].default == getattr(settings, name)
    for kind in MODEL_FIELDS:
        config = language_model({name: one.default for name, one in declared.items()} | {"model": kind})
        assert build(config["model"], device="cpu").kind == kind


def test_a_renamed_parameter_is_refused_with_its_new_name(monkeypatch):
    monkeypatch.setitem(RENAMED, "count", "windows")
    declared = declared_parameters("05_compare_models")
    with pytest.raises(InputError, match="mine: parameter 'count' is called 'windows' now"):
        check_parameters({"count": 3}, declared, "mine")
