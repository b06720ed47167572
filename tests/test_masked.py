"""Masked windows: where they are cut, what is masked, what is counted, and that all repeats."""

import numpy as np
import pytest
import torch
from periodic_corpus import periodic_corpus

from dnastudy.files import InputError
from dnastudy.models import build
from dnastudy.models.batches import MaskedSource, masked_windows, tokenised
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.training import bits_per_symbol
from dnastudy.tokens import KmerTokenizer, Tokenizer, single_base

IDS = np.arange(10, 1010)  # each token its own, so that a window says where it was cut
GENES = np.array([[0, 900], [900, 1000]])


@pytest.fixture
def small(tmp_path):
    return periodic_corpus(tmp_path / "corpus")


def draw(count=400, length=102, seed=0, masked=0.15, ids=IDS, spans=GENES):
    inputs, targets = masked_windows(ids, spans, count, length, [seed], masked=masked, vocabulary=1010)
    return inputs.numpy(), targets.numpy()


def test_windows_are_cut_from_genes_between_the_special_tokens():
    inputs, targets = draw()
    whole = np.where(targets == IGNORED, inputs, targets)
    assert inputs.shape == (400, 102) and (inputs[:, 0] == 2).all()
    lengths = (whole >= 10).sum(1)
    for row, length in zip(whole, lengths, strict=True):
        assert row[length + 1] == 3 and (row[length + 2 :] == 0).all()
        tokens = row[1 : length + 1]
        assert (np.diff(tokens) == 1).all() and (tokens[-1] < 910 or tokens[0] >= 910)
    assert np.mean(whole[:, 1] < 910) == pytest.approx(0.9, abs=0.05)
    assert (lengths.min(), lengths.max()) == (20, 100)
    assert np.mean(lengths == 100) == pytest.approx(0.5 + 0.5 / 81, abs=0.07)
    assert lengths[lengths < 100].mean() == pytest.approx(59.5, abs=6)
    starts = whole[(lengths == 100) & (whole[:, 1] < 910), 1] - 10
    assert starts.max() <= 800 and starts.mean() == pytest.approx(400, abs=60)


def test_a_short_gene_is_taken_whole_and_a_short_window_is_full():
    inputs, _ = draw(spans=np.array([[0, 7]]), masked=1e-9)
    assert (inputs[:, 1:9] == [10, 11, 12, 13, 14, 15, 16, 3]).all() and (inputs[:, 9:] == 0).all()
    inputs, _ = draw(length=12, masked=1e-9)
    assert (inputs[:, 11] == 3).all() and (inputs[:, 1:11] >= 10).all()


@pytest.mark.parametrize("masked", [0.15, 0.022])
def test_so_many_tokens_are_to_be_restored(masked):
    inputs, targets = draw(count=2000, masked=masked)
    wanted = targets != IGNORED
    tokens = (inputs >= 4).sum()
    assert wanted.sum() / tokens == pytest.approx(masked, rel=0.05)
    shown = inputs[wanted]
    assert (shown == 4).mean() == pytest.approx(0.8, abs=0.03)
    other = shown[shown != 4]
    assert other.min() >= 5 and other.min() < 60 and other.max() > 950  # any token, but no special one
    assert np.corrcoef(other, targets[wanted][shown != 4])[0, 1] == pytest.approx(0, abs=0.1)
    assert (inputs[~wanted] != 4).all()


def test_an_unknown_base_is_not_restored():
    ids = np.where(np.arange(1000) % 2, 1, IDS)
    inputs, targets = draw(ids=ids, masked=0.9)
    assert (targets != 1).all() and (inputs == 1).sum() > 10_000


def test_windows_are_a_function_of_the_seed():
    first, same, other = (draw(seed=seed) for seed in (5, 5, 6))
    assert all(map(np.array_equal, first, same))
    assert not np.array_equal(first[0], other[0])


def test_source_repeats_by_step_and_validates_alike_whatever_the_seed(small):
    configs = [TrainingConfig(seed=seed, window=32, batch=4 * seed) for seed in (1, 1, 2)]
    one, same, other = (MaskedSource(small, KmerTokenizer(2), config) for config in configs)
    assert torch.equal(one.draw(3)[0], same.draw(3)[0])
    assert not torch.equal(one.draw(3)[0], one.draw(4)[0])
    assert not torch.equal(one.draw(3)[0], other.draw(3)[0][:4])
    assert all(map(torch.equal, one.validation(), other.validation()))
    assert one.validation()[0].shape == (256, 32)


def test_genes_are_made_into_tokens_on_either_strand(small):
    ids, spans = tokenised(small, small.spans("train")[1:3], KmerTokenizer(6), both_strands=True)
    texts = [KmerTokenizer(6).decode(ids[start:end]) for start, end in spans]
    assert texts[:2] == [("ACGTTCA" * 40)[:250], ("ACGTTCA" * 3)[:20]]
    assert texts[2:] == [("TGAACGT" * 40)[2:252], ("TGAACGT" * 3)[1:21]]
    configs = [TrainingConfig(batch=1, window=22, reverse_complement=strands) for strands in (False, True)]
    one, both = (MaskedSource(small, single_base(), config) for config in configs)
    assert (one.epoch_steps, both.epoch_steps) == (59, 117)  # 1,170 bases, 20 a window


def test_tokens_read_are_counted(small):
    source = MaskedSource(small, single_base(), TrainingConfig(window=12, batch=3))
    inputs = torch.tensor([[2, 5, 4, 1, 3, 0], [2, 6, 6, 6, 6, 3]])
    assert source.bases(inputs, torch.full_like(inputs, IGNORED)) == 7
    assert source.unit == "token"


def test_history_is_in_tokens_with_bits_per_base_beside(small):
    source = MaskedSource(small, KmerTokenizer(2), TrainingConfig(window=32, validation_windows=50))
    row = {"step": 1, "bases": 9, "train_bits_per_base": 4.0, "validation_bits_per_base": 3.0, "bases_per_second": 5.0}
    (found,) = source.in_tokens([row])
    per_base = found.pop("validation_masked_bits_per_base")
    assert found == {
        "step": 1, "tokens": 9, "train_bits_per_token": 4.0, "validation_bits_per_token": 3.0, "tokens_per_second": 5.0
    }  # fmt: skip
    targets = source.validation()[1]
    pairs, bases = (targets >= 9).sum().item(), ((targets >= 5) & (targets < 9)).sum().item()
    assert per_base == pytest.approx(3.0 * (pairs + bases) / (2 * pairs + bases))
    assert pairs > 0


def test_identity_tells_vocabularies_apart(small):
    config = TrainingConfig(window=12)
    merges = [[("A", "A"), ("A", "AA")], [("A", "A"), ("AA", "A")]]
    tokenizers = [*map(Tokenizer, merges), KmerTokenizer(2), single_base()]
    found = [MaskedSource(small, one, config).identity() for one in tokenizers]
    assert len({one["tokenizer"] for one in found}) == 4
    assert all(one.keys() == {"codes.npy", "offsets.npy", "split.npy", "tokenizer"} for one in found)


def test_validation_sees_what_comes_after_the_last_target():
    torch.manual_seed(0)
    model = build({"kind": "bert", "layers": 1, "width": 8, "heads": 1, "context": 8, "dropout": 0.9}, device="cpu")
    inputs = torch.tensor([[2, 4, 6, 7, 3, 0], [2, 4, 6, 3, 0, 0]])
    targets = torch.full_like(inputs, IGNORED)
    targets[:, 1] = torch.tensor([5, 8])
    found = bits_per_symbol(model, inputs, targets, 1)
    logits = model.eval()(inputs)[0].log_softmax(-1)
    assert found == pytest.approx(-(logits[0, 1, 5] + logits[1, 1, 8]).item() / 2 / np.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampling": "genes"}, "sampling 'genes'; tokens are learnt in windows"),
        ({"window": 2}, "window 2; expected 3 or more"),
    ],
)
def test_bad_settings(settings, message, small):
    with pytest.raises(InputError, match=message):
        MaskedSource(small, single_base(), TrainingConfig(**settings))


def test_genes_without_a_known_base_are_refused(small):
    small.all_codes = np.full_like(small.all_codes, 4)
    with pytest.raises(InputError, match="no A, C, G or T among the bases to learn from"):
        MaskedSource(small, single_base(), TrainingConfig(window=32))
