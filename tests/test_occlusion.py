"""dnastudy.tasks.zero_shot: what a core is worth to its flanks, and how likely it is itself."""

import numpy as np
import pytest
import torch

from dnastudy.files import InputError
from dnastudy.genes.codes import encode, reverse_complement
from dnastudy.models import NgramModel, build
from dnastudy.tasks import zero_shot
from dnastudy.tasks.zero_shot import occlusion, site_likelihood
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, MASK, SEP, UNK, Tokenizer


class Doubling:
    """A base that repeats the one before it is worth 8 nats, another its code; unknown ones aren't scored."""

    kind = "doubling"

    def base_log_likelihoods(self, sequences):
        found = []
        for codes in sequences:
            before = np.append(9, codes[:-1])
            values = np.where(codes == before, 8.0, codes)
            found.append(np.where(codes < 4, values, np.nan).astype(np.float32))
        return found


def test_the_likelihood_of_a_core_is_that_of_both_strands_per_known_base():
    # Of ACC|GT|T the core is worth 2 and 3; on the other strand, A|AC|GGT, it is worth 8 and 1.
    codes, core = encode("ACCGTT"), [[3, 5]]
    assert site_likelihood(Doubling(), [codes], core).tolist() == [(2 + 3 + 8 + 1) / 2 / 2]
    # With an unknown base in it, GN and NC: 2 and 1.
    assert site_likelihood(Doubling(), [encode("ACCGNT")], core).tolist() == [(2 + 1) / 2 / 1]
    assert site_likelihood(Doubling(), [encode("ACCNNT")], core).tolist() == [0]


def test_flanks_that_need_their_core_lose_without_it():
    # The core is an A between As; nearly every other core is a C.
    codes = encode("C" * 40 + "AAA" + "C" * 40)
    (found,) = occlusion(Doubling(), [codes], [[41, 42]], replacements=50)
    # With a C in its place the A behind is worth 0 and not 8; on the other strand, behind a G, T is worth 3 and not 8.
    share = np.mean([draw == 1 for draw in np.random.default_rng([0, 0]).choice(codes, 50)])
    assert found == pytest.approx(share * (8 + 5) / 2)
    assert occlusion(Doubling(), [encode("AAAAAAA")], [[2, 4]]).tolist() == [0]


def test_a_models_own_likelihoods_are_used_on_both_strands():
    rng = np.random.default_rng(0)
    train = [rng.choice(4, 400, p=[0.4, 0.1, 0.2, 0.3]).astype(np.uint8) for _ in range(5)]
    model = NgramModel(4).fit(train)
    codes, core = train[0][:60], (20, 29)
    other = codes.copy()
    other[20:29] = np.random.default_rng([7, 0]).choice(codes, (1, 9))[0]

    def flanks(sequence, start, end):
        values = model.base_log_likelihoods([sequence])[0].astype(np.float64)
        return values[:start].sum() + values[end:].sum()

    expected = np.mean(
        [
            flanks(codes, 20, 29) - flanks(other, 20, 29),
            flanks(reverse_complement(codes), 31, 40) - flanks(reverse_complement(other), 31, 40),
        ]
    )
    assert occlusion(model, [codes], [core], replacements=1, seed=7)[0] == pytest.approx(expected, rel=1e-9)


def test_sequences_of_any_length_in_any_parts(monkeypatch):
    model = build({"kind": "gpt", "layers": 1, "width": 8, "heads": 2, "context": 32}, device="cpu")
    rng = np.random.default_rng(0)
    codes = [rng.integers(5, size=length).astype(np.uint8) for length in (20, 50, 31)]
    cores = np.array([[0, 5], [45, 50], [10, 12]])
    whole = occlusion(model, codes, cores), site_likelihood(model, codes, cores)
    monkeypatch.setattr(zero_shot, "_TOGETHER", 4)
    np.testing.assert_allclose(occlusion(model, codes, cores), whole[0], atol=1e-4)
    np.testing.assert_allclose(site_likelihood(model, codes, cores), whole[1], atol=1e-4)
    assert np.isfinite(whole).all() and len(set(whole[0])) == 3


@pytest.mark.parametrize(
    ("cores", "message"),
    [
        ([[0, 2], [3, 3]], "sequence 1: core 3 to 3 of 4 bases; expected at least one base"),
        ([[0, 2], [3, 5]], "sequence 1: core 3 to 5 of 4 bases"),
        ([[-1, 2], [3, 4]], "sequence 0: core -1 to 2"),
        ([[0, 2]], r"cores of shape \(1, 2\) for 2 sequences"),
    ],
)
def test_cores_outside_their_sequence_are_refused(cores, message):
    with pytest.raises(InputError, match=message):
        site_likelihood(Doubling(), [encode("ACGT")] * 2, cores)


def test_what_can_not_be_scored_is_refused():
    with pytest.raises(InputError, match="0 replacements; expected at least one"):
        occlusion(Doubling(), [encode("ACGT")], [[0, 2]], replacements=0)
    bert = build({"kind": "bert", "layers": 1, "width": 8, "heads": 2, "context": 8}, device="cpu")
    with pytest.raises(InputError, match="a core of 7 tokens; the model sees 8, CLS and SEP included"):
        site_likelihood(bert, [encode("ACGTACGTA")], [[1, 8]])
    other = build({"kind": "gpt", "layers": 1, "width": 8, "heads": 2, "vocabulary": 30}, device="cpu")
    with pytest.raises(InputError, match="a model of 30 symbols of other text"):
        occlusion(other, [encode("ACGT")], [[0, 2]])


@pytest.fixture
def bert():
    torch.manual_seed(0)
    model = build({"kind": "bert", "layers": 1, "width": 16, "heads": 2, "context": 64, "vocabulary": 11})
    model.tokenizer = Tokenizer([("A", "C"), ("AC", "G")])
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    return model


def restored(model, ids, masked):
    """Sum of the log-probabilities of the tokens at these places, all masked, over tokens with bases."""
    shown = torch.tensor(ids)[None]
    shown[0, masked] = MASK
    with torch.no_grad():
        logs = model.eval()(shown)[0][0, :, FIRST_BASE:].double().log_softmax(-1)
    return sum(logs[place, ids[place] - FIRST_BASE].item() for place in masked)


def test_a_bert_restores_a_core_from_both_flanks(bert):
    # AC|GACGN|T and, on the other strand, A|NCGTC|GT: flanks and core are made into tokens by themselves.
    forward = [CLS, 9, 7, 10, UNK, 8, SEP]
    opposite = [CLS, 5, UNK, 6, 7, 8, 6, 7, 8, SEP]
    expected = (restored(bert, forward, [2, 3]) + restored(bert, opposite, [3, 4, 5, 6])) / 2 / 4
    found = site_likelihood(bert, [encode("ACGACGNT"), encode("AC")], [[2, 7], [0, 2]])
    assert found[0] == pytest.approx(expected, rel=1e-5)
    alone = restored(bert, [CLS, 9, SEP], [1]) + restored(bert, [CLS, 7, 8, SEP], [1, 2])
    assert found[1] == pytest.approx(alone / 2 / 2, rel=1e-5)


def test_a_bert_restores_the_flanks_near_a_core(bert, monkeypatch):
    monkeypatch.setattr(zero_shot, "FLANK_NEAR", 2)
    codes = encode("ACGTACG" + "TT" + "ACTG")
    other = codes.copy()
    other[7:9] = np.random.default_rng([1, 0]).choice(codes, (1, 2))[0]
    # Forwards ACG T ACG | core | AC T G: ACG on the left begins at the core, AC on the right as well.
    # On the other strand C A G T | core | C G T ACG T: G T on the left, C G on the right.
    values = []
    for one in (codes, other):
        core = (one[7:9] + FIRST_BASE).tolist()
        turned = (3 - one[7:9][::-1] + FIRST_BASE).tolist()
        forward = [CLS, 10, 8, 10, *core, 9, 8, 7, SEP]
        opposite = [CLS, 6, 5, 7, 8, *turned, 6, 7, 8, 10, 8, SEP]
        after, behind = 4 + len(core), 5 + len(turned)
        values.append(restored(bert, forward, [3, after]) + restored(bert, opposite, [3, 4, behind, behind + 1]))
    found = occlusion(bert, [codes], [[7, 9]], replacements=1, seed=1)
    assert found[0] == pytest.approx((values[0] - values[1]) / 2, rel=1e-4)


def test_a_bert_sees_what_is_next_to_the_core_where_there_is_too_much(bert):
    rng = np.random.default_rng(0)
    codes = rng.integers(4, size=400).astype(np.uint8)
    (found,) = site_likelihood(bert, [codes], [[300, 310]])
    left, right = (bert.tokenizer.encode(part) for part in (codes[:300], codes[310:]))
    assert len(left) > 62 and len(right) > 31
    core = bert.tokenizer.encode(codes[300:310])
    turned = [bert.tokenizer.encode(reverse_complement(part)) for part in (codes[310:], codes[300:310], codes[:300])]
    total = 0.0
    for before, middle, after in ((left, core, right), turned):
        room = 62 - len(middle)
        ids = [CLS, *before[-(room // 2) :], *middle, *after[: room - room // 2], SEP]
        total += restored(bert, np.array(ids), list(range(1 + room // 2, 1 + room // 2 + len(middle))))
    assert found == pytest.approx(total / 2 / 10, rel=1e-4)
    assert np.isfinite(occlusion(bert, [codes, encode("NNACNN")], [[300, 310], [2, 4]])).all()
