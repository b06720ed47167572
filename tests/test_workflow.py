"""workflow/: notebooks executed, archived and rendered, and what is refused on the way."""

import json
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.study.parameters import PROJECT, load_profile

sys.path.insert(0, str(PROJECT / "workflow"))
import archive_run
import render_book
import run_notebook
import run_study
from clean_notebook import clean


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of notebooks with one in it, ``99_try``, that divides ten by its parameter."""
    notebook = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell("divisor: int = 2  # what ten is divided by", metadata={"tags": ["parameters"]})
    notebook.cells = [cell, nbformat.v4.new_code_cell("print(10 / divisor)")]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "99_try.ipynb")
    monkeypatch.setattr(run_notebook, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr("dnastudy.study.parameters.NOTEBOOKS", tmp_path)
    return tmp_path


def run(output, parameters):
    return run_notebook.run_notebook("99_try", output, parameters, profile="smoke", threads=1, label="try")


def test_a_notebook_takes_its_name_when_every_cell_has_run(notebooks):
    output = notebooks / "out" / "99_try.ipynb"
    run(output, {"divisor": 5})
    assert [o["text"] for o in nbformat.read(output, 4).cells[-1].outputs] == ["2.0\n"]
    assert [path.name for path in output.parent.iterdir()] == ["99_try.ipynb"]


def test_a_failed_notebook_is_kept_as_a_log_and_its_last_result_stays(notebooks):
    output = notebooks / "out" / "99_try.ipynb"
    run(output, {})
    before = output.read_bytes()
    with pytest.raises(InputError, match=r"try: ZeroDivisionError: division by zero .*99_try\.failed\.ipynb"):
        run(output, {"divisor": 0})
    assert output.read_bytes() == before
    assert sorted(path.name for path in output.parent.iterdir()) == ["99_try.failed.ipynb", "99_try.ipynb"]


@pytest.mark.parametrize(
    ("parameters", "message"), [({"divsor": 1}, "did you mean 'divisor'"), ({"divisor": "1"}, "type int")]
)
def test_a_wrong_parameter_is_refused_before_a_kernel_starts(notebooks, parameters, message):
    with pytest.raises(InputError, match=message):
        run(notebooks / "99_out.ipynb", parameters)
    assert not (notebooks / "99_out.ipynb").exists()


def test_two_runs_of_a_notebook_are_the_same_file_once_cleaned(notebooks):
    paths = [notebooks / "a.ipynb", notebooks / "b.ipynb"]
    for path in paths:
        run(path, {})
    assert nbformat.writes(clean(paths[0])) == nbformat.writes(clean(paths[1]))


def test_the_graph_follows_the_parameters():
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--dry-run", "--forceall"]
    done = subprocess.run(
        [*command, "--cores", "2", "--config", "profile=smoke", "results=results/never"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rules = {}
    for block in done.stdout.split("\nrule ")[1:]:
        rule, rest = block.split(":", 1)
        rules[rule] = rest
    assert len(rules) == 14  # thirteen jobs and `all`
    assert "results/never/01_extract_genes/record.json" in rules["04_train_language_model_ngram"]
    assert "01_extract_genes" not in rules["02_train_tokenizers"]
    comparison = rules["05_compare_models"].split("output:")[0]
    assert [m for m in ("ngram", "lstm", "gpt") if f"04_train_language_model/{m}/record.json" in comparison] == [
        "ngram", "lstm", "gpt",
    ]  # fmt: skip


def test_each_dataset_that_a_notebook_reads_is_fetched_once_and_beforehand(monkeypatch):
    asked = []
    monkeypatch.setattr(run_study, "fetch", lambda name: asked.append(name) or {})
    run_study.fetch_data(load_profile("laptop"))
    assert asked == ["chr19-chr22", "repeats-hg38", "king-james", "regulation-hg38"]


def test_an_unfinished_run_is_neither_archived_nor_rendered(tmp_path):
    with pytest.raises(InputError, match="no finished run of 01_extract_genes"):
        render_book.render(["01_extract_genes"], tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no such profile"):
        archive_run.archive("never")


def test_what_is_large_is_not_archived(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(archive_run, "PROJECT", tmp_path)
    job = tmp_path / "job"
    job.mkdir()
    for name, size in {
        "record.json": 2,
        "small.tsv": 2,
        "figure.svg": 2,
        "codes.npy": 2,
        "large.tsv": 1_000_001,
    }.items():
        (job / name).write_bytes(b"x" * size)
    archive_run.copy(job, tmp_path / "kept")
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["figure.svg", "record.json", "small.tsv"]
    assert "left out, 1.0 MB: job/large.tsv" in capsys.readouterr().out


def numbers(tmp_path):
    folder = tmp_path / "05_compare_models"
    folder.mkdir()
    metric = {"value": 1.71234, "low": 1.7, "high": 1.75, "n": 3, "unit": "bits/base"}
    machine = {"accelerator": None, "processor": "CPU", "cores": 2, "memory_gb": 24.0, "torch": "2", "threads": 1}
    record = {
        "notebook": "05_compare_models",
        "parameters": {"length": 10},
        "metrics": {"lstm/all": metric},
        "data": {},
    }
    record |= {"code": {}, "machine": machine, "seconds": 2.0, "peak_memory_mb": 3}
    (folder / "record.json").write_text(json.dumps(record))
    return render_book.Numbers(tmp_path, ["05_compare_models"])


def test_prose_takes_numbers_from_records(tmp_path):
    page = numbers(tmp_path)
    assert page.number("05_compare_models", "lstm/all") == "1.712"
    assert page.interval("05_compare_models", "lstm/all", ".2f") == "1.71 (1.70 to 1.75)"
    assert page.machine() == "CPU, 2 cores, 24 GB, torch 2"
    with pytest.raises(Exception, match="no metric 'lstm/none'"):
        page.number("05_compare_models", "lstm/none")


def test_a_table_in_markdown():
    table = pd.DataFrame({"model": ["lstm"], "bits": [1.71234], "bases": [1234567]})
    assert render_book.markdown(table, 2).splitlines() == [
        "| model | bits | bases |",
        "|---|---:|---:|",
        "| lstm | 1.71 | 1,234,567 |",
    ]
