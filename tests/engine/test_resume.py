"""The engine: a study that is interrupted, or killed, goes on from its last checkpoint with the same command."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from filelock import FileLock
from safetensors import safe_open

from dnastudy.files import read_json
from dnastudy.models import load
from dnastudy.models.checkpoint import FILE as CHECKPOINT
from dnastudy.study.parameters import PROJECT

STUDY = [sys.executable, str(PROJECT / "workflow" / "run_study.py"), "--cores", "1", "--no-book"]
LSTM = {"model": "lstm", "width": 16, "batch": 4, "window": 64, "validate_every": 100, "checkpoint_every": 20}


@pytest.fixture(autouse=True)
def _one_at_a_time():
    """The engine runs one study at a time in a project, and these tests may run side by side."""
    with FileLock(PROJECT / "results" / ".tests.lock"):
        yield


@pytest.fixture
def study(tmp_path):
    profile = tmp_path / "small.yaml"
    jobs = {"01_extract_genes": {}, "04_train_language_model/lstm": LSTM | {"steps": 3000, "validation_windows": 4}}
    profile.write_text(yaml.safe_dump(jobs))
    return [*STUDY, "--profile", str(profile), "--results", str(tmp_path / "run")], tmp_path / "run"


def start(command):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # A shell starts background jobs with Ctrl-C ignored, and children inherit that: here it must work whatever ran us.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, text=True, start_new_session=True, preexec_fn=heed, **pipes)


def wait_for(path, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def last_step(checkpoint):
    """Step of a checkpoint that nobody writes any more: a killed study's kernel soon notices that it is alone."""
    steps = [-1, 0]
    while steps[-1] != steps[-2]:
        time.sleep(2)
        with safe_open(checkpoint, framework="np") as file:
            steps.append(json.loads(file.metadata()["progress"])["step"])
    return steps[-1]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_an_interrupted_study_goes_on_from_its_checkpoint(study, how):
    command, results = study
    model = results / "04_train_language_model" / "lstm"
    process = start(command)
    wait_for(model / "checkpoint" / CHECKPOINT, process)
    os.killpg(process.pid, how)
    output = process.communicate(timeout=60)[0]
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; the same command goes on from the last checkpoint" in output
    before = last_step(model / "checkpoint" / CHECKPOINT)
    assert 0 < before < 3000
    assert not (model / "record.json").exists()

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "01_extract_genes ..." not in done.stderr  # what was done isn't done again
    history = read_json(model / "history.json")
    assert [row["step"] for row in history] == list(range(100, 3001, 100))
    assert load(model, device="cpu").kind == "lstm"

    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0
    assert "..." not in again.stderr  # nothing is executed when nothing has changed


def test_a_second_run_beside_the_first_is_refused(study):
    import fcntl

    (PROJECT / "results").mkdir(exist_ok=True)
    with open(PROJECT / "results" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(study[0], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "dnastudy: error: another run of the study is going on in this project" in done.stderr


def test_a_mistyped_parameter_is_refused_before_anything_runs(tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("01_extract_genes: {bio_types: protein_coding}\n")
    done = subprocess.run([*STUDY, "--profile", str(profile)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("dnastudy: error: mine.yaml, 01_extract_genes: there is no parameter 'bio_types'")
    assert "did you mean 'biotypes'?" in done.stderr


def test_a_failing_notebook_says_why_in_one_line(tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("01_extract_genes: {biotypes: no_such_type}\n")
    command = [*STUDY, "--profile", str(profile), "--results", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("dnastudy: error:")]
    assert "no gene is left after filtering" in line
    assert not (tmp_path / "run" / "01_extract_genes.ipynb").exists()
