"""Fine-tuning a classifier of sequences: what it reads, what it learns, exact resumption, and what is refused."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dnastudy.files import InputError, read_json
from dnastudy.genes.codes import encode, reverse_complement
from dnastudy.models import NgramModel, build
from dnastudy.models.classify import LabelSource, SequenceClassifier, fine_tune, predict
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.training import bits_per_symbol

LSTM = {"kind": "lstm", "layers": 1, "width": 16, "embedding": 8}
GPT = {"kind": "gpt", "layers": 1, "width": 16, "heads": 2, "context": 24}
BERT = {"kind": "bert", "layers": 1, "width": 16, "heads": 2, "context": 24}
QUICK = {"epochs": 8, "batch": 8, "learning_rate": 0.01, "warmup": 5, "validate_every": 0, "precision": "fp32"}
MOTIF = np.array([0, 1, 2, 3, 3, 2], dtype=np.uint8)


def trunk(config=LSTM, **changes):
    torch.manual_seed(1)
    return build(config | changes, device="cpu")


def examples(count, seed):
    """Stretches of 12 to 20 random bases, half of which hold a motif."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    codes = [random.integers(4, size=size).astype(np.uint8) for size in random.integers(12, 21, size=count)]
    for one, label in zip(codes, labels, strict=True):
        if label:
            one[4:10] = MOTIF
    return codes, labels


def tune(out, *, model=None, count=64, progress=False, dropout=0.2, head_rate=10.0, **settings):
    """Fine-tune a small model with the quick settings, changed as given."""
    config = TrainingConfig.from_dict(QUICK | settings)
    found = SequenceClassifier(model or trunk(), 2, dropout=dropout, head_rate=head_rate, seed=config.seed)
    how = {"validation": examples(24, 1), "device": "cpu", "progress": progress}
    assert fine_tune(found, *examples(count, 0), out, config, **how) == read_json(Path(out) / "history.json")
    return found


def curve(folder):
    rows = read_json(folder / "history.json")
    return [{name: value for name, value in row.items() if not name.endswith("_per_second")} for row in rows]


@pytest.mark.parametrize("config", [LSTM, GPT, BERT, LSTM | {"form": "as_published"}, GPT | {"form": "as_published"}])
def test_the_mean_state_of_the_tokens_is_read(config):
    model = trunk(config).eval()
    found = SequenceClassifier(model, 3, dropout=0.5).eval()
    end = [] if model.causal else [3]
    nothing = [0] * (5 + len(end))
    ids = torch.tensor(
        [
            [[2, 5, 6, *end, 0, 0], nothing],
            [[2, 5, 6, 7, 8, *end], nothing],
            [[2, 5, 6, 7, 8, *end], [2, 8, 7, 7, *end, 0]],
        ]
    )
    logits, state = found(ids)
    assert logits.shape == (*ids.shape, 3) and state is None
    short, long, other = (
        model.hidden(torch.tensor([[2, *tokens, *end]]))[0, 1 : 1 + len(tokens)]
        for tokens in ([5, 6], [5, 6, 7, 8], [8, 7, 7])
    )
    for row, states in zip(logits, (short, long, torch.cat([long, other])), strict=True):
        expected = found.head(states.mean(0)).expand(*ids.shape[1:], -1)
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):  # where attention to padding alone isn't a number
        torch.testing.assert_close(found(ids)[0], logits, atol=0.02, rtol=0.02)
    wanted = torch.zeros_like(ids, dtype=torch.bool)
    wanted[1, 0, 0] = True
    assert torch.equal(found(ids, wanted)[0], logits[1, 0, :1])


def test_compiles_as_one_graph_whatever_the_length():
    found = SequenceClassifier(trunk(BERT), 2)
    compiled = torch.compile(found, backend="eager", fullgraph=True, dynamic=True)
    for shape in ((2, 1, 9), (2, 1, 5), (3, 2, 16)):
        ids = torch.randint(5, 9, shape)
        assert torch.equal(compiled(ids)[0], found(ids)[0])


@pytest.mark.parametrize("config", [LSTM, BERT])
def test_the_model_given_stays_as_it_was_and_its_head_is_left_out(config, tmp_path):
    model = trunk(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drawn = torch.get_rng_state()
    found = tune(tmp_path, model=model, epochs=1)
    assert torch.equal(torch.get_rng_state(), drawn) and not found.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    kept = {name.removeprefix("trunk.") for name in found.state_dict() if name.startswith("trunk.")}
    assert {name.split(".")[0] for name in before.keys() - kept} == (
        {"head"} if model.causal else {"transform", "bias"}
    )
    assert not torch.equal(found.state_dict()["trunk.embedding.weight"], before["embedding.weight"])


@pytest.mark.parametrize("config", [LSTM, GPT, BERT], ids=["lstm", "gpt", "bert"])
def test_a_motif_is_learnt(config, tmp_path):
    steps = {"epochs": 20, "validate_every": 0}
    found = tune(tmp_path, model=trunk(config, width=32), count=160, dropout=0.0, **steps)
    codes, labels = examples(60, 2)
    probabilities = predict(found, codes)
    assert probabilities.dtype == np.float32 and probabilities.sum(1) == pytest.approx(1, abs=1e-6)
    assert (probabilities.argmax(1) == labels).mean() > 0.85
    rows = read_json(tmp_path / "history.json")
    assert rows[0].keys() == {
        "step", "sequences", "train_bits_per_sequence", "validation_bits_per_sequence", "learning_rate",
        "sequences_per_second",
    }  # fmt: skip
    assert rows[-1]["sequences"] == 20 * 160
    assert [path.name for path in tmp_path.iterdir()] == ["history.json"]


def test_the_best_weights_on_the_validation_part_are_kept(tmp_path):
    codes, labels = examples(24, 1)
    # With labels turned round, what is learnt makes it worse.
    config, held_out = TrainingConfig.from_dict(QUICK | {"validate_every": 4}), (codes, 1 - labels)
    found = SequenceClassifier(trunk(), 2, seed=config.seed)
    fine_tune(found, *examples(64, 0), tmp_path, config, validation=held_out, device="cpu")
    bits = -np.log2(predict(found, codes)[np.arange(24), 1 - labels]).mean()
    looks = [row["validation_bits_per_sequence"] for row in curve(tmp_path)]
    assert bits == pytest.approx(min(looks), abs=1e-5) and min(looks) < looks[-1] - 0.5


def test_both_strands_are_averaged():
    found, codes = SequenceClassifier(trunk(), 2).eval(), examples(9, 0)[0]
    torch.nn.init.normal_(found.head.weight)
    one, other = predict(found, codes), predict(found, [reverse_complement(one) for one in codes])
    both = predict(found, codes, reverse_complement=True)
    assert both == pytest.approx((one + other) / 2, abs=1e-7) and both.dtype == np.float32
    assert not np.allclose(one, other, atol=1e-3)
    single = [predict(found, [one])[0] for one in codes]
    assert np.allclose(single, one, atol=1e-6)
    rounded = predict(found, codes, precision="bf16")
    assert rounded == pytest.approx(one, abs=0.05) and (rounded != one).any()


KILLED = """
import json, os, signal, sys
from pathlib import Path
from test_labelled import trunk, tune

config, settings, out = map(json.loads, sys.argv[1:])

class Log:
    def write(self, text):
        if text.startswith("step 35/"):
            os.kill(os.getpid(), signal.SIGKILL)

    def flush(self):
        pass

tune(Path(out), model=trunk(config), progress=Log(), **settings)
"""


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (LSTM | {"dropout": 0.1}, {"reverse_complement": True}),
        (BERT | {"dropout": 0.1}, {"accumulate": 2, "precision": "bf16"}),
        (GPT | {"dropout": 0.1, "context": 8}, {"accumulate": 2}),
    ],
    ids=["lstm", "bert", "gpt in pieces"],
)
def test_killed_and_called_again_equals_uninterrupted_bit_for_bit(config, settings, tmp_path):
    settings |= {"validate_every": 5, "checkpoint_every": 8}
    whole = tune(tmp_path / "whole", model=trunk(config), **settings)
    arguments = [json.dumps(value) for value in (config, settings, str(tmp_path / "killed"))]
    here = Path(__file__).parent
    process = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=here, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["checkpoint"]
    resumed = tune(tmp_path / "killed", model=trunk(config), **settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert curve(tmp_path / "whole") == curve(tmp_path / "killed")
    assert predict(whole, examples(9, 3)[0]).tolist() == predict(resumed, examples(9, 3)[0]).tolist()


class Breaking:
    """A log that breaks off training at its first line."""

    def write(self, text):
        raise BrokenPipeError


def test_a_checkpoint_of_other_data_or_weights_is_not_gone_on_from(tmp_path):
    with pytest.raises(BrokenPipeError):
        tune(tmp_path, progress=Breaking(), validate_every=8, checkpoint_every=4)
    for other, difference in (
        ({"count": 66}, r"data\.train"),
        ({"model": trunk(LSTM | {"layers": 2})}, r"model\.trunk\.layers: 1 there, 2 here"),
        ({"model": build(LSTM, device="cpu")}, r"data\.start"),
        ({"head_rate": 2.0}, r"model\.head_rate: 10\.0 there, 2\.0 here"),
    ):
        with pytest.raises(InputError, match=difference):
            tune(tmp_path, validate_every=8, checkpoint_every=4, **other)


def test_the_new_layer_learns_faster(tmp_path):
    model = trunk()
    torch.manual_seed(0)
    before = SequenceClassifier(model, 2).state_dict()
    found = tune(
        tmp_path, model=model, epochs=0, steps=1, warmup=0, learning_rate=1e-3, weight_decay=0.0, head_rate=5.0
    )
    moved = {name: (value - before[name]).abs().max().item() for name, value in found.state_dict().items()}
    # Adam's first step is as long as the rate.
    assert moved["head.weight"] == pytest.approx(5e-3, rel=0.01)
    assert moved["head.bias"] == pytest.approx(1e-3, rel=0.01)
    assert moved["trunk.layers.0.weight_hh_l0"] == pytest.approx(1e-3, rel=0.01)


def test_each_sequence_once_an_epoch_on_either_strand():
    codes = [encode(text) for text in ("AAC", "AACC", "ACC", "CCCA", "CAAA")]
    labels = np.array([0, 1, 2, 0, 1])
    config = TrainingConfig(batch=2, reverse_complement=True, seed=3)
    source = LabelSource(trunk(), codes, labels, config, validation=(codes[:2], labels[:2]))
    assert source.epoch_steps == 3 and source.longest == 5
    spelt = {"".join("ACGT"[code] for code in strand): label
             for one, label in zip(codes, labels.tolist(), strict=True)
             for strand in (one, reverse_complement(one))}  # fmt: skip
    strands, orders = set(), set()
    for epoch in range(8):
        seen = []
        for step in range(3 * epoch, 3 * epoch + 3):
            inputs, targets = source.draw(step)
            assert (inputs[:, 0, 0] == 2).all() and (targets != -100).sum() == len(targets)
            assert source.bases(inputs, targets) == len(inputs)
            for row, target in zip(inputs.flatten(1).tolist(), targets[:, 0, 0].tolist(), strict=True):
                text = "".join("ACGT"[number - 5] for number in row if number >= 5)
                assert spelt[text] == target
                strands.add(text)
                seen.append(target)
            assert torch.equal(inputs, source.draw(step)[0])
        assert sorted(seen) == sorted(labels.tolist())
        orders.add(tuple(seen))
    assert strands == spelt.keys() and len(orders) > 1
    inputs, targets = (next(each.split(9)) for each in source.validation())
    assert inputs.tolist() == [[[2, 5, 5, 6, 6]], [[2, 5, 5, 6, 0]]] and targets[:, 0, 0].tolist() == [1, 0]


def test_identity_is_that_of_ids_labels_and_weights():
    codes, labels = examples(8, 0)
    config, held_out = TrainingConfig(), examples(4, 1)
    first = LabelSource(trunk(), codes, labels, config, validation=held_out).identity()
    assert first == LabelSource(trunk(), codes, labels, config, validation=held_out).identity()
    changed = {
        "train": LabelSource(trunk(), codes, 1 - labels, config, validation=held_out),
        "validation": LabelSource(trunk(), codes, labels, config, validation=examples(4, 2)),
        "start": LabelSource(build(LSTM, device="cpu"), codes, labels, config, validation=held_out),
    }
    for part, source in changed.items():
        assert {name for name, value in source.identity().items() if value != first[name]} == {part}


def test_batches_hold_sequences_of_several_pieces():
    codes = [encode(text) for text in ("ACGTAC", "GG", "ACGTA", "CCCCCCC")]
    source = LabelSource(
        trunk(GPT | {"context": 4}), codes, np.arange(4), TrainingConfig(batch=4), validation=(codes, np.arange(4))
    )
    assert source.longest == 4
    inputs, targets = (next(each.split(9)) for each in source.validation())
    assert inputs.tolist() == [
        [[2, 6, 6, 6], [2, 6, 6, 0], [2, 6, 6, 0]],
        [[2, 5, 6, 7], [2, 8, 5, 6], [0, 0, 0, 0]],
        [[2, 5, 6, 7], [2, 8, 5, 0], [0, 0, 0, 0]],
        [[2, 7, 7, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ]
    assert targets[:, 0, 0].tolist() == [3, 0, 2, 1] and (targets != -100).sum() == 4
    drawn = [source.draw(step)[0] for step in range(source.epoch_steps)]
    assert sorted(tuple(one.shape) for one in drawn) == [(1, 1, 3), (1, 2, 4), (2, 3, 4)]


def test_validation_leaves_out_what_is_padding_in_a_share_of_the_rows(monkeypatch):
    codes, labels = examples(6, 0)
    model = trunk(GPT | {"context": 8})
    source = LabelSource(model, codes[:2], labels[:2], TrainingConfig(), validation=([*codes, codes[0][:3]], [0] * 7))
    found, shapes = SequenceClassifier(model, 2), []
    found.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    assert bits_per_symbol(found, *source.validation(), 3) == pytest.approx(
        -np.log2(predict(found, [*codes, codes[0][:3]])[:, 0]).mean(), abs=1e-5
    )
    assert [shape[:2] for shape in shapes] == [(3, 3), (3, 2), (1, 1)] and shapes[-1] == (1, 1, 4)


def test_a_long_sequence_to_validate_on_is_no_padding_of_the_others():
    codes, labels = examples(6, 0)
    held_out = [*codes, np.tile(codes[0], 1000)]
    source = LabelSource(trunk(), codes, labels, TrainingConfig(), validation=(held_out, [0] * 7))
    sizes = [[part.numel() for part in each.split(1)] for each in source.validation()]
    assert sizes[0] == sizes[1] == [1 + len(held_out[-1])] + [1 + len(one) for one in codes]


@pytest.mark.parametrize("config", [GPT, BERT], ids=["gpt", "bert"])
def test_what_stands_at_the_start_of_a_long_sequence_is_learnt(config, tmp_path):
    def starts(count, seed):
        codes = [one for one in np.random.default_rng(seed).integers(4, size=(count, 72)).astype(np.uint8)]
        labels = np.arange(count) % 2
        for one, label in zip(codes, labels, strict=True):
            one[:20] = np.resize([3, 0, 0] if label else [1, 2, 2], 20)  # of 72: three pieces of 24
        return codes, labels

    settings = TrainingConfig.from_dict(QUICK | {"epochs": 12})
    found = SequenceClassifier(trunk(config, width=32), 2, seed=settings.seed)
    fine_tune(found, *starts(96, 0), tmp_path, settings, validation=starts(16, 1), device="cpu")
    codes, labels = starts(40, 2)
    assert (predict(found, codes).argmax(1) == labels).mean() > 0.9
    both = predict(found, codes, reverse_complement=True)
    turned = predict(found, [reverse_complement(one) for one in codes])
    assert both == pytest.approx((predict(found, codes) + turned) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "classes", "validation", "message"),
    [
        ([0, 1], 2, [0, 1, 0], "2 labels of 3 sequences to learn from; expected one each"),
        ([0, 1, 2], 2, [0, 1, 0], "labels to learn from from 0 to 2; expected 0 to 1"),
        ([0, 1, 0], 2, [0, -1, 0], "labels to validate on from -1 to 0; expected 0 to 1"),
        ([0, 1, 0], 3, [0, 1, 2], "no sequence of class 2 to learn from; give some, or leave the class out"),
        ([0, 0, 0], 1, [0, 0, 0], "1 classes of sequences; expected two or more to tell apart"),
    ],
)
def test_labels_that_do_not_fit(labels, classes, validation, message, tmp_path):
    codes = examples(3, 0)[0]
    with pytest.raises(InputError, match=message):
        found = SequenceClassifier(trunk(), classes)
        fine_tune(found, codes, labels, tmp_path, validation=(codes, validation), device="cpu")


def test_nothing_to_validate_on(tmp_path):
    with pytest.raises(InputError, match="0 labels of 0 sequences to validate on; expected one each, and some"):
        fine_tune(SequenceClassifier(trunk(), 2), *examples(4, 0), tmp_path, validation=([], []))


def test_an_n_gram_model_has_nothing_to_fine_tune():
    model = NgramModel(order=2).fit(["ACGT"], validation=["ACGT"])
    with pytest.raises(
        InputError, match="a ngram model has no weights to fine-tune; expected an lstm, gru, gpt or bert"
    ):
        SequenceClassifier(model, 2)
