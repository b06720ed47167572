"""Model folders: what is written, and what is refused."""

import json
import sys

import numpy as np
import pytest
import torch

from dnastudy.files import DiskFull, InputError, sha256
from dnastudy.models import NgramModel, build, load
from dnastudy.models.store import _digest, check, digest_of, save

CONFIGS = {
    "ngram": {"kind": "ngram", "order": 4},
    "lstm": {"kind": "lstm", "layers": 1, "width": 8, "embedding": 4},
    "gru": {"kind": "gru", "layers": 2, "width": 8, "embedding": 4},
    "gpt": {"kind": "gpt", "layers": 1, "width": 8, "heads": 2, "context": 16},
}
SEQUENCES = ["ACGTTGCANGT", "TTTACG"]


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    model = build(CONFIGS[request.param], device="cpu")
    return model.fit(SEQUENCES, validation=["ACGT"]) if model.kind == "ngram" else model


def test_saved_and_loaded_model_is_the_same(model, tmp_path):
    save(model, tmp_path / "model")
    weights = "counts.npz" if model.kind == "ngram" else "model.safetensors"
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(
        ["config.json", "tokenizer.json", weights]
    )
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert sorted(config.pop("files")) == sorted([weights, "tokenizer.json"])
    assert len(config.pop("sha256")) == 64
    assert config == model.config
    again = load(tmp_path / "model")
    assert (again.trained_on, again.precision) == ({}, None)
    for end in (False, True):
        before, after = (one.log_likelihood(SEQUENCES, include_end=end) for one in (model, again))
        assert before.tolist() == after.tolist()
    assert model.generate(2, 20) == again.generate(2, 20)


def test_other_files_in_the_folder_stay(model, tmp_path):
    (tmp_path / "record.json").write_text("{}")
    save(model, tmp_path)
    save(model, tmp_path)
    assert (tmp_path / "record.json").read_text() == "{}"
    load(tmp_path)


def test_counts_above_a_byte_survive(tmp_path):
    text = "A" * 700 + "C" * 257 + "G" * 256
    model = build({"kind": "ngram", "order": 2}).fit([text])
    save(model, tmp_path)
    assert load(tmp_path).base_log_likelihoods([text])[0].tolist() == model.base_log_likelihoods([text])[0].tolist()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_missing_or_tampered_file_is_named(tmp_path, name):
    save(build(CONFIGS["lstm"], device="cpu"), tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1] + b"?")
    with pytest.raises(InputError, match=rf"{name}: not the file saved \(SHA-256 expected"):
        load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        load(tmp_path)


def test_no_model_folder(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json there"):
        load(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="expected 'files' and 'sha256' in it"):
        load(tmp_path)


def test_a_model_is_checked_before_its_weights_are_read(tmp_path, monkeypatch):
    save(build(CONFIGS["lstm"], device="cpu"), tmp_path)
    monkeypatch.setattr("dnastudy.models.store.load_file", None)
    check(tmp_path)
    rewrite(tmp_path, seal=True, kind="mamba")
    with pytest.raises(InputError, match="model kind 'mamba': expected one of ngram, lstm"):
        check(tmp_path)
    with pytest.raises(InputError, match=r"nowhere: no config.json there; expected a model folder .* or hf:NAME"):
        check(tmp_path / "nowhere")


def rewrite(folder, seal=False, **changes):
    """Change ``config.json``; with ``seal`` its own SHA-256 is made to fit."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    if seal:
        config["sha256"] = _digest({name: value for name, value in config.items() if name != "sha256"})
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("changes", [{"heads": 4}, {"files": {}}, {"precision": "bf16"}])
def test_changed_config_is_refused(tmp_path, changes):
    save(build(CONFIGS["gpt"], device="cpu"), tmp_path)
    rewrite(tmp_path)  # laid out otherwise, but the same
    load(tmp_path)
    rewrite(tmp_path, **changes)
    with pytest.raises(InputError, match=r"config\.json: changed since it was saved .*; copy the whole folder again"):
        load(tmp_path)


def test_provenance_survives_saving_again(model, tmp_path):
    model.trained_on, model.precision = {"codes.npy": "ab"}, "fp32"
    save(model, tmp_path / "one")
    save(load(tmp_path / "one"), tmp_path / "two")
    again = load(tmp_path / "two")
    assert (again.trained_on, again.precision) == ({"codes.npy": "ab"}, "fp32")


def test_config_and_weights_of_different_models(tmp_path):
    save(build(CONFIGS["lstm"], device="cpu"), tmp_path)
    rewrite(tmp_path, seal=True, width=9)
    with pytest.raises(InputError, match=r"config\.json and model\.safetensors disagree"):
        load(tmp_path)


def test_full_disk_leaves_the_old_model(tmp_path, monkeypatch):
    save(build(CONFIGS["lstm"], device="cpu"), tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(DiskFull, match="the disk is full"):
        save(build(CONFIGS["lstm"], device="cpu"), tmp_path)
    load(tmp_path)
    assert not (tmp_path / ".saving").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "lsmt"}, r"model kind 'lsmt': did you mean 'lstm'\? expected one of ngram, lstm, gru, gpt"),
        ({}, "model kind None: expected one of"),
        ({"kind": "gpt", "widht": 3}, r"gpt model: 'widht' is no setting of it; did you mean 'width'"),
        ({"kind": "lstm", "layers": "2"}, "lstm model: layers = '2'; expected a whole number"),
        ({"kind": "lstm", "dropout": -0.1}, "lstm model: dropout = -0.1; expected a number"),
        ({"kind": "lstm", "dropout": 1.0}, r"lstm model: dropout = 1.0; expected less than 1"),
        ({"kind": "gpt", "heads": 0}, "gpt model: heads = 0; expected a whole number, 1 or more"),
        ({"kind": "gpt", "context": 1}, "gpt: context 1; expected 2 or more"),
        ({"kind": "gru", "layers": True}, "gru model: layers = True"),
        ({"kind": "ngram", "order": 99}, "order 99; expected 1 to 24"),
        ({"kind": "ngram", "reverse_complement": 1}, "reverse_complement = 1; expected true or false"),
    ],
)
def test_bad_configuration(config, message):
    with pytest.raises(InputError, match=message):
        build(config)


def test_numbers_of_numpy_are_kept_as_pythons(tmp_path):
    model = build({"kind": "ngram", "order": np.int64(2)}).fit(["ACGT"])
    save(model, tmp_path)
    assert type(model.order) is int and type(NgramModel(np.int32(5)).config["order"]) is int
    assert load(tmp_path).config == model.config
    config = build({"kind": "gru", "width": np.int64(8), "layers": 1, "dropout": np.float32(0.5)}, device="cpu").config
    assert (type(config["width"]), type(config["dropout"])) == (int, float)


def test_unknown_kind_in_a_folder_is_reported_with_the_folder(tmp_path):
    save(build(CONFIGS["gpt"], device="cpu"), tmp_path)
    rewrite(tmp_path, seal=True, kind="gtp")
    with pytest.raises(InputError, match=r"config\.json: model kind 'gtp': did you mean 'gpt'"):
        load(tmp_path)


def test_unknown_device():
    with pytest.raises(InputError, match="device 'gpu': unknown"):
        build(CONFIGS["lstm"], device="gpu")


def test_a_digest_of_a_name_on_the_hub_has_the_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert digest_of("hf:some/model") == "hf:some/model"
    kept = tmp_path / "models--some--model"
    for commit in ("1" * 40, "2" * 40):
        for path, text in ((kept / "snapshots" / commit / "config.json", "{}"), (kept / "refs" / "main", commit)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert digest_of("hf:some/model") == f"hf:some/model@{commit}"
    monkeypatch.setitem(sys.modules, "transformers.utils.hub", None)  # not installed
    assert digest_of("hf:some/model") == "hf:some/model"


def test_a_digest_tells_models_apart(tmp_path):
    save(NgramModel(2).fit(["ACGT"]), tmp_path / "ours")
    assert digest_of(tmp_path / "ours") == sha256(tmp_path / "ours" / "config.json")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with pytest.raises(InputError, match=r"theirs: no config.json there; expected a model folder"):
        digest_of(f"hf:{theirs}")
    (theirs / "config.json").write_text("{}")
    (theirs / "model.safetensors").write_bytes(b"one")
    first = digest_of(f"hf:{theirs}")
    (theirs / "model.safetensors").write_bytes(b"other")
    assert len(first) == 64 and digest_of(f"hf:{theirs}") != first
