"""Windows of the tokens of whole contigs: where they lie, what is learnt, what is held back, and that all repeats."""

import io

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.genes import decode, encode
from dnastudy.genes.codes import reverse_complement
from dnastudy.models import build, train
from dnastudy.models.batches import MaskedSource, TokenSource
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.training import masked_bits
from dnastudy.tokens import KmerTokenizer, Tokenizer, single_base

BPE = Tokenizer([("A", "A"), ("C", "G"), ("AA", "T")])


def random_codes(length, seed=0):
    return np.random.default_rng(seed).integers(4, size=length, dtype=np.uint8)


@pytest.fixture
def contigs():
    """Two contigs of 3,000 and 1,000 bases, and between them 200 unknown ones round a stretch too short to use."""
    codes = random_codes(4200)
    codes[3000:3200] = 4
    codes[3100:3105] = 1
    return codes


def source(codes, tokenizer=BPE, kind=TokenSource, validation=None, **settings):
    settings = {"batch": 64, "window": 20, "validation_windows": 50} | settings
    return kind(codes, tokenizer, TrainingConfig(**settings), validation=validation)


def test_windows_are_rows_of_the_encoding(contigs):
    inputs, targets = source(contigs, validation=contigs).draw(3)
    assert inputs.shape == targets.shape == (64, 20) and inputs.dtype == targets.dtype == torch.int64
    assert (inputs[:, 0] == 2).all() and torch.equal(inputs[:, 1:], targets[:, :-1])
    assert (targets >= 5).all()  # none is unknown
    whole = " ".join(map(str, BPE.encode(contigs)))
    assert all(" ".join(map(str, row.tolist())) in whole for row in targets)


def test_each_place_is_as_likely():
    codes = np.concatenate([random_codes(n) for n in (25, 1, 24, 1, 19, 1, 21)])
    codes[[25, 50, 70]] = 4
    codes[:25], codes[26:50], codes[71:] = 0, 1, 2
    _, targets = source(codes, single_base(), validation=codes, batch=6000).draw(0)
    found = np.bincount(targets[:, 0].numpy(), minlength=9)[5:]
    assert found.tolist()[3] == 0
    assert found[:3] == pytest.approx(np.array([6, 5, 2]) / 13 * 6000, rel=0.1)


def test_every_place_of_a_run_is_drawn_from():
    codes = np.array([0, 1, 2, 3, 3, 4], dtype=np.uint8)
    _, targets = source(codes, single_base(), validation=codes, window=3).draw(0)
    assert {tuple(row) for row in targets.tolist()} == {(5, 6, 7), (6, 7, 8), (7, 8, 8)}


@pytest.mark.parametrize("kind", [TokenSource, MaskedSource])
def test_steps_repeat_and_validation_is_alike_whatever_the_seed(contigs, kind):
    one, same, other = (source(contigs, kind=kind, seed=seed, batch=4 * seed) for seed in (1, 1, 2))
    assert all(map(torch.equal, one.draw(3), same.draw(3)))
    assert not torch.equal(one.draw(3)[0], one.draw(4)[0])
    assert not torch.equal(one.draw(3)[0], other.draw(3)[0][:4])
    assert all(map(torch.equal, one.validation(), other.validation()))
    assert one.validation()[0].shape == (50, 20)


@pytest.mark.parametrize("both", [False, True])
def test_the_last_twentieth_is_held_back_from_both_strands(both):
    # A C G T in turn to learn from; what is held back has no C and no G.
    codes = np.concatenate([np.tile([0, 1, 2, 3], 475), [4], np.tile([0, 0, 3], 34)[:100]]).astype(np.uint8)
    held = source(codes, single_base(), reverse_complement=both)
    assert set(held.validation()[1].flatten().tolist()) == {5, 8}
    seen = [decode(row.numpy().astype(np.uint8) - 5) for row in held.draw(0)[1]]
    assert not any("AA" in row or "TT" in row for row in seen)


def test_what_is_given_to_validate_on_is_and_all_else_is_learnt():
    found = source(np.zeros(100, np.uint8), single_base(), validation=np.full(30, 2, np.uint8))
    assert found.epoch_steps == 1 and (found.validation()[1] == 7).all() and (found.draw(0)[1] == 5).all()


def test_half_of_the_windows_are_of_the_opposite_strand():
    codes = np.tile(encode("AAC"), 200)
    found = source(codes, Tokenizer([("A", "A"), ("T", "T")]), batch=1000, reverse_complement=True)
    _, targets = found.draw(0)
    backwards = (targets == 10).any(1)
    assert torch.equal(backwards, (targets != 9).all(1))
    assert backwards.float().mean().item() == pytest.approx(0.5, abs=0.06)
    opposite = found.tokenizer.encode(reverse_complement(codes))
    assert targets[backwards][0].tolist() in (opposite[:20].tolist(), opposite[1:21].tolist())


def test_a_budget_of_bases_becomes_steps():
    codes = np.tile(encode("AAC"), 1000)  # tokens AA and C in turn
    found = source(codes, Tokenizer([("A", "A")]), validation=codes, batch=10)
    assert found.bases_per_token == pytest.approx(1.5)
    assert (found.epoch_steps, found.steps_for(3000), found.steps_for(3001)) == (10, 10, 11)
    assert found.bases(*found.draw(0)) == 200


def test_a_masked_window_counts_as_long_as_it_is_in_the_mean():
    codes = random_codes(5031)
    codes[5000] = 4
    found = source(codes, single_base(), MaskedSource, validation=codes, batch=2000, window=102)
    # Of the long run half have 100 tokens and half 20 to 100; of the short one 30, or 20 to 30 and mostly 30.
    short = 0.5 * 30 + 0.5 * (sum(range(20, 31)) + 70 * 30) / 81
    mean = (5000 * 80 + 30 * short) / 5030
    assert found.per_window(np.array([5000, 30])) == pytest.approx(mean)
    assert found.bases(*found.draw(0)) / 2000 == pytest.approx(mean, rel=0.02)
    few = source(codes, single_base(), MaskedSource, validation=codes, batch=1, window=102)
    assert few.epoch_steps == few.steps_for(5030) == 64  # 63.1


def test_masked_windows_lie_in_runs_of_known_tokens(contigs):
    inputs, targets = source(contigs, kind=MaskedSource, masked=0.3).draw(0)
    assert (inputs[:, 0] == 2).all() and ((inputs == 3).sum(1) == 1).all() and (inputs != 1).all()
    whole = " ".join(map(str, BPE.encode(contigs)))
    for row, wanted in zip(inputs, targets, strict=True):
        tokens = torch.where(wanted == IGNORED, row, wanted)
        assert " ".join(map(str, tokens[tokens >= 5].tolist())) in whole


def test_identity_is_of_bases_and_vocabulary(contigs):
    changed = contigs.copy()
    changed[0] = 3 - changed[0]
    found = [source(contigs), source(contigs, single_base()), source(changed), source(contigs, validation=contigs)]
    identities = [one.identity() for one in found]
    assert all(one.keys() == {"train", "validation", "tokenizer"} for one in identities)
    assert len({tuple(one.values()) for one in identities}) == 4
    assert identities[0] == source(contigs, seed=5).identity()


def test_causal_model_learns_tokens_and_its_history_says_so(tmp_path):
    codes = np.tile(encode("AAC"), 400)
    tokenizer = Tokenizer([("A", "A")])
    settings = {"window": 8, "batch": 8, "steps": 80, "validate_every": 80, "warmup": 2, "learning_rate": 0.02}
    data = source(codes, tokenizer, **settings)
    torch.manual_seed(0)
    model = build({"kind": "lstm", "layers": 1, "width": 16, "embedding": 8, "vocabulary": len(tokenizer)})
    log = io.StringIO()
    (row,) = data.in_tokens(train(model, data, tmp_path, data.config, progress=log))
    assert row["tokens"] == 80 * 64 and row["validation_bits_per_token"] < 0.3 and "bits/token" in log.getvalue()
    assert row["validation_bits_per_base"] == pytest.approx(row["validation_bits_per_token"] / 1.5, rel=0.05)


def test_masked_bits_are_of_the_validation_windows_and_leave_the_model_as_it_was(contigs):
    data = source(contigs, KmerTokenizer(2), MaskedSource, masked=0.3)
    torch.manual_seed(0)
    size = {"layers": 1, "width": 8, "heads": 1, "context": 20}
    model = build({"kind": "bert", "vocabulary": len(data.tokenizer), "dropout": 0.9} | size, device="cpu").eval()
    token, base = masked_bits(model, data)
    assert token == pytest.approx(np.log2(25), abs=0.02)  # knows nothing yet
    targets = data.validation()[1]
    assert base == pytest.approx(token / (1 + (targets >= 9).sum().item() / (targets != IGNORED).sum().item()))
    assert not model.training


@pytest.mark.parametrize(
    ("codes", "settings", "message"),
    [
        (random_codes(100), {"sampling": "genes"}, "sampling 'genes'; tokens are learnt in windows"),
        (np.full(99, 4, np.uint8), {}, "no 20 known tokens side by side in the sequence to learn from, 0 at most"),
        (np.empty(0, np.uint8), {}, "in the sequence to learn from, 0 at most; give longer contigs, or shorten window"),
        (random_codes(100), {}, "in the last twentieth of the sequence, which is held back to validate on, 5 at most"),
    ],
)
def test_bad_input(codes, settings, message):
    with pytest.raises(InputError, match=message):
        source(codes, single_base(), **settings)


@pytest.mark.parametrize("kind", [TokenSource, MaskedSource])
def test_unknown_validation_is_refused(kind):
    with pytest.raises(InputError, match=r"side by side in the sequence to validate on, 0 at most"):
        source(random_codes(500), single_base(), kind, validation=np.full(30, 4, np.uint8))
