"""The classifier of the next k bases: what it reads, where it starts, what it learns and what that costs."""

import io

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.models import build
from dnastudy.models.kmer_head import FineTuning, KmerClassifier, fine_tune_kmers, operations, predict_kmers
from dnastudy.models.pooled import rows

LSTM = {"kind": "lstm", "layers": 1, "width": 16, "embedding": 8, "vocabulary": 12}
GPT = {"kind": "gpt", "layers": 1, "width": 16, "heads": 2, "context": 20, "vocabulary": 12}
BERT = {"kind": "bert", "layers": 1, "width": 16, "heads": 2, "context": 20, "vocabulary": 12}
QUICK = FineTuning(epochs=6, batch=8, learning_rate=0.01, warmup=0.1, head_rate=1.0, precision="fp32")


def trunk(config=LSTM, **changes):
    torch.manual_seed(1)
    return build(config | changes, device="cpu")


def periodic(count):
    """Stretches of A C G T in turn, of 3 to 6 tokens, and the numbers of the next base and the next two."""
    tokens = [5 + np.arange(number, number + 3 + number % 4) % 4 for number in range(count)]
    base = np.array([(one[-1] - 4) % 4 for one in tokens])
    return tokens, {1: base, 2: 4 * base + (base + 1) % 4}


@pytest.mark.parametrize("config", [LSTM, GPT, LSTM | {"kind": "gru"}])
def test_a_causal_model_is_read_after_its_last_token(config):
    model = trunk(config)
    found = KmerClassifier(model, [1, 2]).eval()
    logits = found(torch.tensor([[2, 5, 6, 0], [2, 5, 6, 7]]), torch.tensor([2, 3]))
    assert [one.shape for one in logits.values()] == [(2, 4), (2, 16)] and list(logits) == [1, 2]
    alone = found(torch.tensor([[2, 5, 6]]), torch.tensor([2]))
    assert torch.allclose(logits[2][:1], alone[2], atol=1e-6)
    state = model.hidden(torch.tensor([[2, 5, 6]]))[:, -1]
    assert torch.allclose(found.heads(state), torch.cat([*alone.values()], dim=1), atol=1e-6)
    assert torch.allclose(model.head(state), model(torch.tensor([[2, 5, 6]]))[0][:, -1], atol=1e-6)


def test_bert_is_read_at_its_first_symbol():
    model = trunk(BERT)
    found = KmerClassifier(model, [1]).eval()
    logits = found(torch.tensor([[2, 5, 6, 3, 0], [2, 5, 6, 7, 3]]), torch.tensor([3, 4]))[1]
    assert torch.allclose(found.heads(model.hidden(torch.tensor([[2, 5, 6, 3]]))[:, 0]), logits[:1], atol=1e-6)


def test_it_is_shown_the_special_tokens_that_the_model_knows():
    tokens = [np.array([5, 9], dtype=np.int32), np.array([], dtype=np.int32)]
    assert [one.tolist() for one in rows(trunk(), tokens)] == [[2, 5, 9], [2]]
    assert [one.tolist() for one in rows(trunk(BERT), tokens)] == [[2, 5, 9, 3], [2, 3]]
    with pytest.raises(InputError, match="an example of 21 positions; the model's context is 20: shorten it"):
        rows(trunk(GPT), [np.full(20, 5)])


def test_it_starts_at_the_shares_and_predicts_example_by_example():
    shares = {1: np.array([0.5, 0.25, 0.125, 0.125]), 2: np.full(16, 1 / 16)}
    shares[2][[5, 6]] = 1 / 8, 1e-9
    found = KmerClassifier(trunk(), [1, 2], shares=shares, dropout=0.9)
    torch.nn.init.zeros_(found.heads.weight)
    tokens = [np.full(length, 5) for length in (7, 2, 4, 3)]
    labels = {2: np.array([5, 0, 5, 1]), 1: np.array([0, 1, 2, 0])}
    predictions = predict_kmers(found, tokens, labels, batch=3)
    assert list(predictions) == [1, 2]
    assert predictions[1].right.tolist() == [True, False, False, True]
    assert predictions[1].bits == pytest.approx([1, 2, 3, 1], abs=1e-5)
    assert predictions[2].right.tolist() == [True, False, True, False]
    assert predictions[2].bits == pytest.approx([3, 4, 3, 4], abs=1e-5) and predictions[2].bits.dtype == np.float32
    assert found.training and found.trunk.training


def test_what_comes_next_is_learnt_and_the_model_given_stays_as_it_was():
    model, (tokens, labels) = trunk(), periodic(200)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = KmerClassifier(model, [1, 2])
    drawn, log = torch.get_rng_state(), io.StringIO()
    history = fine_tune_kmers(found, tokens, labels, QUICK, device="cpu", progress=log)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and not found.training
    assert len(history) == 10 and history[-1]["examples"] == 1200
    assert history[0].keys() == {"step", "examples", "learning_rate", "train_bits_1", "train_bits_2"}
    assert history[0]["train_bits_2"] > 2.5 and history[-1]["train_bits_2"] < 0.1
    assert history[-1]["learning_rate"] < 1e-5
    predictions = predict_kmers(found, tokens, labels)
    assert predictions[1].right.all() and predictions[2].right.all() and predictions[2].bits.max() < 0.2
    lines = log.getvalue().splitlines()
    assert len(lines) == 10 and lines[-1].startswith(f"step {history[-1]['step']}/{history[-1]['step']}  bits 0.0")
    assert "(k = 2)  " in lines[0] and lines[0].endswith(" examples/s")


@pytest.mark.parametrize("config", [GPT, BERT])
def test_transformers_learn_too(config):
    tokens, labels = periodic(200)
    found = KmerClassifier(trunk(config), [2])
    history = fine_tune_kmers(found, tokens, {2: labels[2]}, QUICK, device="cpu")
    assert history[-1]["train_bits_2"] < 0.5 < 2 < history[0]["train_bits_2"]


def test_a_seed_repeats_and_another_shuffles_anew():
    tokens, labels = periodic(100)

    def fit(seed):
        torch.manual_seed(0)
        found = KmerClassifier(trunk(), [1, 2], dropout=0.5)
        return fine_tune_kmers(found, tokens, labels, FineTuning(batch=8, seed=seed), device="cpu")

    first, same, other = map(fit, (3, 3, 4))
    assert first == same != other


def test_first_loss_is_the_mean_over_the_examples_of_its_steps():
    tokens, labels = [np.array([5 + number % 4, 6]) for number in range(20)], periodic(20)[1]
    found = KmerClassifier(trunk(), [1, 2])
    before = predict_kmers(found, tokens, labels)
    (row,) = fine_tune_kmers(found, tokens, labels, FineTuning(batch=20, precision="fp32"), device="cpu")
    assert (row["step"], row["examples"]) == (1, 20)
    assert row["train_bits_1"] == pytest.approx(before[1].bits.mean(), rel=1e-5)
    assert row["train_bits_2"] == pytest.approx(before[2].bits.mean(), rel=1e-5)


def test_weights_of_the_heads_learn_faster_and_frozen_ones_not_at_all():
    found = KmerClassifier(trunk(), [1])
    found.trunk.embedding.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in found.named_parameters()}
    settings = FineTuning(learning_rate=1e-3, head_rate=5.0, weight_decay=0.0, precision="fp32")
    fine_tune_kmers(found, [np.array([5, 6])], {1: np.array([2])}, settings, device="cpu")
    moved = {name: (value - before[name]).abs().max().item() for name, value in found.named_parameters()}
    # Adam's first step is as long as the rate.
    assert moved["heads.weight"] == pytest.approx(5e-3, rel=0.01)
    assert moved["heads.bias"] == pytest.approx(1e-3, rel=0.01)
    assert moved["trunk.layers.0.weight_hh_l0"] == pytest.approx(1e-3, rel=0.01)
    assert moved["trunk.embedding.weight"] == moved["trunk.head.weight"] == 0


def test_bf16_learns_alike():
    tokens, labels = periodic(200)
    losses = []
    for precision in ("fp32", "bf16"):
        settings = FineTuning(epochs=2, batch=8, learning_rate=0.01, head_rate=1.0, precision=precision)
        torch.manual_seed(0)
        history = fine_tune_kmers(KmerClassifier(trunk(), [1, 2]), tokens, labels, settings, device="cpu")
        losses.append([row["train_bits_2"] for row in history])
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], abs=0.1)


def test_operations_are_those_of_the_weights_that_are_used():
    assert operations(trunk(), [1, 2], 10) == 6 * (11 * 4 * 16 * (8 + 16) + 16 * (4 + 16))
    attention = 12 * 16 * 12
    assert operations(trunk(BERT), [2], 10) == 12 * (6 * 12 * 16**2 + attention) + 6 * 16 * 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "fine-tuning: epochs = 0; expected a whole number, 1 or more"),
        ({"learning_rate": "1e-3"}, "fine-tuning: learning_rate = '1e-3'; expected a number, 0 or more"),
        ({"warmup": 60.0}, "fine-tuning: warmup = 60.0; expected a share of the steps"),
        ({"precision": "fp16"}, "precision 'fp16'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        FineTuning(**settings)


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (2, {2: [0, 1]}, r"labels of k = 2; the classifier's are k = 1, 2"),
        (2, {1: [0], 2: [0, 1]}, "1 labels of k = 1 for 2 examples; expected one each"),
        (0, {1: [], 2: []}, "0 labels of k = 1 for 0 examples; expected one each"),
        (2, {1: [0, 1], 2: [0, 16]}, "labels of k = 2 from 0 to 16; expected 0 to 15"),
        (2, {1: [-1, 1], 2: [0, 1]}, "labels of k = 1 from -1 to 1; expected 0 to 3"),
    ],
)
def test_labels_that_do_not_fit(count, labels, message):
    found = KmerClassifier(trunk(), [1, 2])
    labels = {k: np.array(numbers, dtype=np.int64) for k, numbers in labels.items()}
    with pytest.raises(InputError, match=message):
        fine_tune_kmers(found, [np.array([5])] * count, labels)
    with pytest.raises(InputError, match=message):
        predict_kmers(found, [np.array([5])] * count, labels)


def test_a_loss_that_is_no_number_is_explained():
    found = KmerClassifier(trunk(), [1, 2])
    torch.nn.init.constant_(found.heads.weight, torch.nan)
    tokens, labels = periodic(8)
    with pytest.raises(InputError, match=r"fine-tuning, step 1: loss nan, .* lower learning_rate or raise warmup"):
        fine_tune_kmers(found, tokens, labels)
