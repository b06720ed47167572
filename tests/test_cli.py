"""The command line: what it prints, where, and with which exit code."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from dnastudy import cli
from dnastudy.files import DiskFull, InputError
from dnastudy.models import Bert, NgramModel, RecurrentModel, TrainingConfig, Transformer, build, load
from dnastudy.models.base import KINDS


@pytest.fixture
def manifest(tmp_path):
    """A dataset of one small local table."""
    (tmp_path / "hello.txt").write_text("hello\n")
    path = tmp_path / "made.yaml"
    path.write_text(
        "name: made\ntitle: A table\ndescription: d\nlicence: l\nmembers:\n  a.txt:\n    kind: table\n"
        '    git_blob: "ce013625030ba8dba906f756967f9e9ca394464a"\n    sources: [{file: hello.txt}]\n'
    )
    return path


@pytest.fixture
def trained(monkeypatch):
    """The calls that reached training, which isn't run."""
    calls = []
    training = SimpleNamespace(train_from_config=lambda *arguments, **options: calls.append((*arguments, options)))
    monkeypatch.setitem(sys.modules, "dnastudy.models.training", training)
    return calls


def test_fetch_prints_each_verified_file_and_its_source(manifest, tmp_path, capsys):
    assert cli.main(["fetch", str(manifest), "--dest", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/data/a.txt  (verified; from file hello.txt)\n"
    assert (tmp_path / "data/a.txt").read_text() == "hello\n"


def test_fetch_only_refuses_a_member_that_is_not_there(manifest, tmp_path, capsys):
    assert cli.main(["fetch", str(manifest), "--dest", str(tmp_path), "--only", "b.txt"]) == 1
    error = capsys.readouterr().err
    assert error == "dnastudy: error: made: no member 'b.txt'; did you mean 'a.txt'? expected one of a.txt\n"


def test_fetch_list_names_the_datasets(capsys):
    assert cli.main(["fetch", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "chr19-chr22          Human chromosomes 19 and 22 (GRCh38) with their gene annotation" in lines


def test_fetch_answers_an_unknown_dataset_with_the_nearest(capsys):
    assert cli.main(["fetch", "grch83"]) == 1
    assert capsys.readouterr().err.startswith(
        "dnastudy: error: no manifest 'grch83'; did you mean 'grch38'? expected one of "
    )


@pytest.mark.parametrize(
    "name, text",
    [
        ("c.yaml", "model: {kind: lstm}\ntraining:\n  steps: 10\n"),
        ("c.json", '{"model": {"kind": "lstm"}, "training": {"steps": 10}}'),
    ],
)
def test_train_passes_the_configuration_on(tmp_path, trained, name, text):
    (tmp_path / name).write_text(text)
    command = [
        "train",
        "--config",
        str(tmp_path / name),
        "--corpus",
        "corpus",
        "--out",
        "model",
        "--device",
        "cpu",
    ]
    assert cli.main(command) == 0
    config = {"model": {"kind": "lstm"}, "training": {"steps": 10}}
    assert trained == [(config, Path("corpus"), Path("model"), "cpu", {"overwrite": False})]


def test_train_trains(tmp_path, corpus, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # no bar or lines in a notebook
    (tmp_path / "c.yaml").write_text(
        "model: {kind: lstm, layers: 1, width: 8}\ntraining: {steps: 2, batch: 2, window: 16, learning_rate: 4.0e-3}\n"
    )
    folders = ["--corpus", str(corpus.folder), "--out", str(tmp_path / "my_lstm")]
    assert cli.main(["train", "--config", str(tmp_path / "c.yaml"), *folders, "--device", "cpu"]) == 0
    assert capsys.readouterr().err.startswith("step 2/2  train ")
    assert len(load(tmp_path / "my_lstm").generate(1, 20)[0]) == 20
    command = ["train", "--config", str(tmp_path / "c.yaml"), *folders, "--device", "cpu"]
    assert cli.main(command) == 1
    assert capsys.readouterr().err == (
        f"dnastudy: error: {tmp_path}/my_lstm: a finished lstm model stands there; give another folder, or overwrite "
        "it (--overwrite, in Python overwrite=True)\n"
    )
    assert cli.main([*command, "--overwrite"]) == 0


def test_train_without_a_corpus(tmp_path, capsys):
    (tmp_path / "c.json").write_text('{"model": {"kind": "lstm"}}')
    for folder in (tmp_path / "nowhere", tmp_path):
        command = ["train", "--config", str(tmp_path / "c.json"), "--corpus", str(folder), "--out", str(tmp_path / "m")]
        assert cli.main(command) == 1
        assert capsys.readouterr().err == (
            f"dnastudy: error: {folder}: no corpus there; expected a folder as notebook 01_extract_genes makes one\n"
        )


def test_train_help_shows_a_configuration_that_trains(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("  model: ", "  training: "))]
    config = yaml.safe_load("\n".join(shown))
    assert build(config["model"], device="cpu").config["width"] == 256
    assert TrainingConfig.from_dict(config["training"]).steps == 1500


def test_train_help_lists_every_setting_with_its_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = capsys.readouterr().out.partition("Every setting of training")[2].splitlines()[2:]
    settings = dict(line.split()[:2] for line in shown[: shown.index("")])
    assert yaml.safe_load("\n".join(f"{name} {value}" for name, value in settings.items())) == asdict(TrainingConfig())


def test_train_help_lists_every_setting_of_each_kind_of_model(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = capsys.readouterr().out.partition("Every setting of a model")[2].partition("Every setting of training")[0]
    listed = {}
    for kinds, lines in re.findall(r"^  kind: (.*)\n((?:    .*\n)+)", shown, re.MULTILINE):
        settings = yaml.safe_load("\n".join(" ".join(line.split()[:2]) for line in lines.splitlines()))
        listed |= dict.fromkeys(kinds.split(", "), settings)
    models = {"ngram": NgramModel, "lstm": RecurrentModel, "gru": RecurrentModel, "gpt": Transformer, "bert": Bert}
    assert listed.keys() == set(KINDS)
    for kind, model in models.items():
        parameters = inspect.signature(model).parameters.values()
        assert listed[kind] == {one.name: one.default for one in parameters if one.name != "kind"}


def test_train_leaves_the_choice_of_device_open(tmp_path, trained):
    (tmp_path / "c.json").write_text("{}")
    assert cli.main(["train", "--config", str(tmp_path / "c.json"), "--corpus", "c", "--out", "m"]) == 0
    assert trained == [({}, Path("c"), Path("m"), None, {"overwrite": False})]


@pytest.mark.parametrize(
    "name, text, complaint",
    [
        ("c.yaml", "- lstm\n", 'expected names with values, such as model: {kind: lstm}, found ["lstm"]'),
        ("c.yaml", "kind: [", "not readable as YAML"),
        ("c.yaml", "model:\n  kind: [lstm\n", "line 3, column 1"),
        (
            "c.json",
            '{"model":\n  {kind: 3}}',
            "JSON: line 2, column 4: Expecting property name",
        ),
        ("c.json", b"\xff", "no text in UTF-8"),
        ("c.yaml", None, "no such file"),
        ("c.json", None, "no such file"),
    ],
)
def test_train_refuses_a_configuration_that_is_none(tmp_path, trained, capsys, name, text, complaint):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert cli.main(["train", "--config", str(tmp_path / name), "--corpus", "c", "--out", "m"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"dnastudy: error: {tmp_path / name}: ") and complaint in error
    assert error.count("\n") == 1
    assert trained == []


def test_yaml_without_its_reader(tmp_path, trained, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "c.yaml").write_text("model: {kind: lstm}")
    assert cli.main(["train", "--config", str(tmp_path / "c.yaml"), "--corpus", "c", "--out", "m"]) == 1
    assert "c.yaml: pyyaml, which reads YAML, is not installed; give the same as .json" in capsys.readouterr().err
    assert trained == []


@pytest.mark.parametrize(
    "raised, code, line",
    [
        (InputError("corpus: no such folder"), 1, "dnastudy: error: corpus: no such folder\n"),
        (DiskFull(28, "model: the disk is full"), 1, "dnastudy: error: model: the disk is full\n"),
        (PermissionError(13, "Permission denied", "m"), 1, "dnastudy: error: [Errno 13] Permission denied: 'm'\n"),
        (KeyboardInterrupt(), 130, "dnastudy: interrupted; the same command goes on from here\n"),
    ],
)
def test_every_stop_is_one_line_and_an_exit_code(tmp_path, monkeypatch, capsys, raised, code, line):
    def stop(*arguments, **options):
        raise raised

    monkeypatch.setitem(sys.modules, "dnastudy.models.training", SimpleNamespace(train_from_config=stop))
    (tmp_path / "c.json").write_text(json.dumps({"model": {"kind": "lstm"}}))
    assert cli.main(["train", "--config", str(tmp_path / "c.json"), "--corpus", "c", "--out", "m"]) == code
    assert capsys.readouterr().err == line


@pytest.fixture
def scored(monkeypatch):
    """The calls that reached scoring, which isn't run."""
    calls = []

    def score_vcf(**options):
        calls.append(options)
        refused = {"no such contig": 1200, "symbolic allele": 1}
        return {"counts": {"alleles": 4321, "scored": 3120, "refused": refused}, "warnings": ["it knows chr1"]}

    monkeypatch.setitem(sys.modules, "dnastudy.study.variant_file", SimpleNamespace(score_vcf=score_vcf))
    return calls


def test_variants_passes_everything_on_and_says_what_was_scored(scored, capsys):
    command = [
        "variants",
        "--model",
        "hf:a/b",
        "--vcf",
        "v.vcf",
        "--fasta",
        "1.fa",
        "--fasta",
        "2.fa",
        "--out",
        "o.tsv",
    ]
    assert cli.main(command) == 0
    told = capsys.readouterr()
    assert told.out == (
        "o.tsv: 3,120 of 4,321 alleles scored\nnot scored: 1,200 (no such contig)\nnot scored: 1 (symbolic allele)\n"
    )
    assert told.err == "dnastudy: warning: it knows chr1\n"
    defaults = {"dataset": None, "context": 512, "device": None, "overwrite": False}
    given = {"model": "hf:a/b", "vcf": Path("v.vcf"), "fasta": [Path("1.fa"), Path("2.fa")], "out": Path("o.tsv")}
    assert scored == [defaults | given]


def test_variants_takes_a_dataset_in_place_of_fasta(scored, capsys):
    command = ["variants", "--model", "m", "--vcf", "v.vcf", "--out", "o.tsv", "--context", "9", "--device", "cpu"]
    assert cli.main([*command, "--dataset", "chr19-chr22", "--overwrite"]) == 0
    (options,) = scored
    assert (options["dataset"], options["fasta"], options["context"]) == ("chr19-chr22", None, 9)
    assert (options["device"], options["overwrite"]) == ("cpu", True)
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "one of the arguments --fasta --dataset is required" in capsys.readouterr().err


def test_variants_says_that_it_begins_anew(monkeypatch, capsys):
    def stop(**options):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "dnastudy.study.variant_file", SimpleNamespace(score_vcf=stop))
    assert cli.main(["variants", "--model", "m", "--vcf", "v", "--fasta", "f", "--out", "o"]) == 130
    assert capsys.readouterr().err == "dnastudy: interrupted; the same command begins anew\n"


def test_the_module_is_the_command_and_helps():
    answer = subprocess.run(
        [sys.executable, "-m", "dnastudy", "fetch", "--help"], capture_output=True, text=True, check=True
    )
    assert "dnastudy fetch grch38 --only chr21.fa" in answer.stdout


def test_the_command_line_needs_nothing_heavy_to_start():
    program = "import sys, dnastudy.cli; print(sorted({'torch', 'pandas', 'yaml', 'pooch'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
