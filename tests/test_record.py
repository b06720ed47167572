"""dnastudy.study.record: a run checks its parameters and leaves a record that says what its numbers rest on."""

import json

import pandas as pd
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.study import load_record, start
from dnastudy.study.parameters import PROJECT, declared_parameters, package_hash
from dnastudy.study.statistics import Interval


def parameters(**changed):
    return {name: p.default for name, p in declared_parameters("05_compare_models").items()} | changed


def test_a_run_leaves_parameters_metrics_and_identities(tmp_path):
    run = start("05_compare_models", parameters(out=str(tmp_path / "run"), seed=3))
    run.metric("lstm/all/bits_per_base", Interval(1.7, 1.6, 1.8, 40), unit="bits/base")
    run.metric("windows", 12, unit="windows")
    run.table(pd.DataFrame({"a": [1], "b": [0.25]}), "scores")
    run.finish()
    record = load_record(tmp_path / "run")
    assert record["metrics"]["lstm/all/bits_per_base"] == {
        "value": 1.7,
        "low": 1.6,
        "high": 1.8,
        "n": 40,
        "unit": "bits/base",
    }
    assert record["metrics"]["windows"] == {
        "value": 12.0,
        "low": None,
        "high": None,
        "n": None,
        "unit": "windows",
    }
    assert record["seed"] == 3
    assert record["code"]["package_sha256"] == package_hash()
    assert {"processor", "cores", "memory_gb", "torch", "threads"} <= record["machine"].keys()
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 10
    assert (tmp_path / "run" / "scores.tsv").read_text() == "a\tb\n1\t0.25\n"


def test_metrics_of_a_table_are_one_a_row_named_after_its_columns(tmp_path):
    run = start("05_compare_models", parameters(out=str(tmp_path / "run")))
    table = pd.DataFrame(
        {"model": ["lstm", "gpt"], "G + C": [0.4, 1], "bits": [1.5, 1.25], "low": [1.0, 1.125], "n": 7}
    )
    run.metrics(table, "{model}/{G + C}/bits", value="bits", unit="bits/base")
    run.metrics(table, "{model}/bare", value="bits", unit="{model}", low=None, n=None)
    run.metrics(table.assign(both=[Interval(2, 1, 3, 4)] * 2), "{model}/both", value="both", unit="bits")
    run.finish()
    found = load_record(tmp_path / "run")["metrics"]
    assert found["lstm/0.4/bits"] == {"value": 1.5, "low": 1.0, "high": None, "n": 7, "unit": "bits/base"}
    assert found["gpt/1.0/bits"] == {"value": 1.25, "low": 1.125, "high": None, "n": 7, "unit": "bits/base"}
    assert found["gpt/bare"] == {"value": 1.25, "low": None, "high": None, "n": None, "unit": "gpt"}
    assert found["gpt/both"] == {"value": 2.0, "low": 1.0, "high": 3.0, "n": 4, "unit": "bits"}
    assert len(found) == 6


@pytest.mark.parametrize(("given", "threads"), [("3,2", 3), (" 2 ", 2), ("many", 5), ("0", 5), ("", 5)])
def test_threads_are_the_first_number_of_omp_num_threads_or_torchs_own(monkeypatch, tmp_path, given, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        start("05_compare_models", parameters(out=str(tmp_path)))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_record_names_no_folder_of_this_machine(tmp_path):
    run = start("05_compare_models", parameters(out=str(tmp_path / "run"), corpus=str(tmp_path / "mine")))
    run.finish()
    assert load_record(tmp_path / "run")["parameters"]["corpus"] == "mine"
    assert str(tmp_path) not in (tmp_path / "run" / "record.json").read_text()
    inside = start("05_compare_models", parameters(corpus=str(PROJECT / "results" / "laptop"), out=str(tmp_path)))
    inside.finish()
    assert load_record(tmp_path)["parameters"]["corpus"] == "results/laptop"


def test_a_variable_that_is_no_parameter_is_a_mistyped_parameter():
    with pytest.raises(InputError, match="there is no parameter 'windos'; did you mean 'windows'"):
        start("05_compare_models", parameters(windos=3))


@pytest.mark.parametrize(("name", "value"), [("SEED", 3), ("seed", None), ("length", [1])])
def test_no_mistyped_parameter_passes(name, value):
    with pytest.raises(InputError):
        start("05_compare_models", parameters(**{name: value}))


def test_what_a_kernel_adds_to_the_namespace_is_no_parameter():
    run = start("05_compare_models", parameters(In=["x"], Out={}, _i1="x", __name__="__main__", PUBLISHED={"a": 1}))
    assert run.windows == parameters()["windows"]


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match=r"can't be written, since .*file is no writable folder"):
        start("05_compare_models", parameters(out=str(tmp_path / "file" / "out")))


def test_a_folder_that_holds_another_chapters_results_is_refused(tmp_path):
    start("05_compare_models", parameters(out=str(tmp_path))).finish()
    start("05_compare_models", parameters(out=str(tmp_path))).finish()
    others = {name: p.default for name, p in declared_parameters("07_generate_genes").items()}
    with pytest.raises(InputError, match="the results of 05_compare_models stand there; give another folder"):
        start("07_generate_genes", others | {"out": str(tmp_path)})


def test_a_note_is_said_and_recorded(tmp_path, capsys):
    run = start("05_compare_models", parameters(out=str(tmp_path / "run"), windows=1000))
    run.note_fewer("windows", 1000)
    run.note_fewer("windows", 12)
    run.finish()
    assert load_record(tmp_path / "run")["notes"] == [
        "asked for 1,000 windows; the test genes hold 12 that don't overlap"
    ]
    assert capsys.readouterr().out.startswith("note: asked for 1,000 windows")


def test_lists_come_between_commas():
    run = start("05_compare_models", parameters(floors="1, 4,8"))
    assert run.listed("floors", int) == [1, 4, 8]
    run.parameters["floors"] = "1,four"
    with pytest.raises(InputError, match="floors='1,four': expected int values between commas"):
        run.listed("floors", int)


def test_intervals_need_a_resample():
    with pytest.raises(InputError, match="resamples=0: expected at least 1"):
        start("05_compare_models", parameters(resamples=0)).bootstrap  # noqa: B018 -- the look-up is the test


def test_a_record_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_record(tmp_path)
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        load_record(tmp_path)
    (tmp_path / "record.json").write_text(json.dumps({"notebook": "05"}))
    with pytest.raises(InputError, match="it lacks code, data, machine, metrics, parameters"):
        load_record(tmp_path)


def test_the_package_hash_follows_the_rooms_asked_for():
    assert package_hash("genes") != package_hash("genes", "tokens") != package_hash()
