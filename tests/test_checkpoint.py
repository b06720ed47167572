"""Checkpoints: all that the next step depends on comes back; a folder has one writer."""

import errno

import pytest
import torch

from dnastudy.files import InputError
from dnastudy.models.checkpoint import Run, check_out, differences, locked
from dnastudy.models.recurrent import RecurrentModel
from dnastudy.models.store import save


def new_run(seed):
    torch.manual_seed(seed)
    model = RecurrentModel("lstm", layers=1, width=8, embedding=4)
    return Run(model, torch.optim.AdamW(model.parameters()))


def take_a_step(run):
    ids = torch.arange(12).view(2, 6) % 4 + 5
    logits, _ = run.model(ids.roll(run.step))
    loss = logits.logsumexp(-1).mean()
    loss.backward()
    run.optimizer.step()
    run.optimizer.zero_grad()
    run.count(loss.item(), 12)


def test_a_resumed_run_takes_the_same_steps(tmp_path):
    first = new_run(1)
    take_a_step(first)
    first.note(1.9, 0.01, 100.0)
    take_a_step(first)
    first.save(tmp_path, {"seed": 1})
    take_a_step(first)
    first.note(1.8, 0.01, 100.0)

    second = new_run(2)
    second.resume(tmp_path, {"seed": 1})
    assert (second.step, second.bases, len(second.history)) == (2, 24, 1)
    take_a_step(second)
    second.note(1.8, 0.01, 100.0)
    assert second.history == first.history
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])
        assert torch.equal(first.best[name], second.best[name])


def test_best_weights_are_those_of_the_lowest_validation():
    run = new_run(1)
    take_a_step(run)
    run.note(1.8, 0.01, 100.0)
    best = run.best
    take_a_step(run)
    run.note(1.9, 0.01, 100.0)
    assert run.best is best


def test_looks_since_the_best():
    run = new_run(1)
    assert run.stale == 0
    for cost, stale in ((1.9, 0), (1.8, 0), (1.8, 1), (1.85, 2), (1.7, 0)):
        take_a_step(run)
        run.note(cost, 0.01, 100.0)
        assert run.stale == stale


def test_last_weights_need_no_copy(tmp_path):
    torch.manual_seed(1)
    model = RecurrentModel("lstm", layers=1, width=8, embedding=4)
    run = Run(model, torch.optim.AdamW(model.parameters()), keep="last")
    take_a_step(run)
    run.note(1.8, 0.01, 100.0)
    assert run.best == {}
    run.save(tmp_path, {})
    new_run(2).resume(tmp_path, {})


def test_no_checkpoint_is_a_new_run(tmp_path):
    run = new_run(1)
    run.resume(tmp_path, {})
    assert (run.step, run.history) == (0, [])


def test_unreadable_checkpoint(tmp_path):
    (tmp_path / "state.safetensors").write_bytes(b"not this")
    with pytest.raises(InputError, match=r"state.safetensors: not readable .* remove"):
        new_run(1).resume(tmp_path, {})


def test_another_configuration(tmp_path):
    run = new_run(1)
    take_a_step(run)
    run.save(tmp_path, {"training": {"steps": 3}})
    with pytest.raises(InputError, match=r"another configuration \(training.steps: 3 there, 4 here\)"):
        new_run(1).resume(tmp_path, {"training": {"steps": 4}})


def test_differences():
    old = {"a": 1, "b": {"c": 2, "d": [1]}, "e": 0}
    assert differences(old, {"a": 1, "b": {"c": 3, "d": [1]}}) == [
        "b.c: 2 there, 3 here",
        "e: 0 there, None here",
    ]
    assert differences(old, old) == []


def test_a_folder_without_a_model_is_free(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        check_out(folder, overwrite=False)
        check_out(folder, overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_model_is_overwritten_only_when_asked_to(tmp_path):
    save(RecurrentModel("gru", layers=1, width=8, embedding=4), tmp_path)
    check_out(tmp_path, overwrite=True)
    line = rf"^{tmp_path}: a finished gru model stands there; give another folder, or overwrite it \(--overwrite, in"
    with pytest.raises(InputError, match=line):
        check_out(tmp_path, overwrite=False)
    # A run that is overwriting it just then speaks first.
    with locked(tmp_path / "checkpoint"), pytest.raises(InputError, match="another run is training there"):
        check_out(tmp_path, overwrite=False)
    with pytest.raises(InputError, match=line):
        check_out(tmp_path, overwrite=False)


@pytest.mark.parametrize("number", [0, 1])
def test_every_process_refuses_alike(number, tmp_path, monkeypatch):
    monkeypatch.setattr("dnastudy.models.checkpoint.rank", lambda: number)
    save(RecurrentModel("gru", layers=1, width=8, embedding=4), tmp_path)
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(InputError, match="a finished gru model stands there"):
        check_out(tmp_path, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_corpus_is_never_overwritten(overwrite, tmp_path):
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(InputError, match=rf"^{tmp_path}: a corpus stands there; give another folder for the model$"):
        check_out(tmp_path, overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("config", ['{"kind": "t5"}', '{"model_type": "bert"}', "[]"])
def test_a_configuration_of_something_else_is_never_overwritten(config, overwrite, tmp_path):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(
        InputError, match=rf"^{tmp_path}: config.json there is of no model of this package; give another"
    ):
        check_out(tmp_path, overwrite=overwrite)


def test_second_writer_is_refused(tmp_path):
    with locked(tmp_path / "checkpoint") as folder:
        with pytest.raises(InputError, match="another run is training there"), locked(folder):
            pass
    with locked(tmp_path / "checkpoint"):
        pass


def test_disk_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, "")

    monkeypatch.setattr("fcntl.flock", refuse)
    number = errno.ENOLCK
    with locked(tmp_path / "checkpoint") as folder:
        assert folder.is_dir()
    number = errno.EIO
    with pytest.raises(OSError), locked(tmp_path / "checkpoint"):
        pass
