"""dnastudy.tasks.zero_shot: likelihood ratios of alleles, against likelihoods of whole windows and by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import decode, encode, reverse_complement
from dnastudy.models import NgramModel, build
from dnastudy.tasks import matched_controls, score_variants
from dnastudy.tasks.floors import Uniform
from dnastudy.tokens import Tokenizer
from dnastudy.tokens.tokenizer import CLS, MASK, SEP

LETTERS = decode(np.random.default_rng(5).integers(4, size=400, dtype=np.uint8))
GENOME = {"chr1": encode(LETTERS), "chr2": encode("ACGTACGTTTGA")}
NGRAM = NgramModel(4).fit([LETTERS])


def table(*rows):
    return pd.DataFrame(rows, columns=["contig", "position", "id", "ref", "alt"])


def variant(position, alt, length=1, contig="chr1", name="v"):
    return contig, position, name, decode(GENOME[contig][position : position + length]), alt


def other(position):
    return "ACGT"[(GENOME["chr1"][position] + 1) % 4]


def windows(position, length, alt, context):
    """REF and ALT windows of chr1, as letters."""
    left, right = LETTERS[max(0, position - context) : position], LETTERS[position + length :][:context]
    return left + LETTERS[position : position + length] + right, left + alt + right


def backwards(letters):
    return decode(reverse_complement(encode(letters)))


def small(kind, **settings):
    torch.manual_seed(3)
    model = build({"kind": kind, "layers": 1, "width": 16} | settings, device="cpu")
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.3 * torch.randn_like(weights))
    return model


@pytest.fixture
def bert(tmp_path):
    def make(merges=(), context=40):
        Tokenizer(list(merges)).save(tmp_path / "tokenizer.json")
        return small("bert", tokenizer=str(tmp_path / "tokenizer.json"), heads=2, context=context).eval()

    return make


def test_a_ratio_is_of_whole_windows_on_either_strand():
    edits = [(200, 1, "G" if LETTERS[200] != "G" else "A"), (120, 3, "A"), (77, 1, LETTERS[77] + "CCG")]
    scored = score_variants(NGRAM, GENOME, table(*(variant(at, alt, n) for at, n, alt in edits)), context=30)
    for row, (at, length, alt) in zip(scored.itertuples(), edits, strict=True):
        ref_window, alt_window = windows(at, length, alt, 30)
        ahead = NGRAM.log_likelihood([alt_window, ref_window])
        back = NGRAM.log_likelihood([backwards(alt_window), backwards(ref_window)])
        assert row.llr_forward == pytest.approx(ahead[0] - ahead[1], abs=1e-5)
        assert row.llr_reverse == pytest.approx(back[0] - back[1], abs=1e-5)
        assert row.llr == pytest.approx((row.llr_forward + row.llr_reverse) / 2)
        assert (row.position, row.context_before, row.context_after) == (at + 1, 3, 3)  # all that order 4 sees


def test_ratios_of_single_bases_by_hand():
    # Three A, one C, two G and two T: (count + 1) / (8 + 5) each, as NLTK's Laplace of order 1 has it.
    model = NgramModel(1, smoothing="laplace").fit(["AAACGGTT"])
    scored = score_variants(model, GENOME, table(variant(0, "C", contig="chr2"), variant(2, "GT", contig="chr2")))
    assert scored["llr_forward"].tolist() == pytest.approx([np.log(2 / 4), np.log(3 / 13)])
    assert scored["llr_reverse"].tolist() == pytest.approx([np.log(3 / 3), np.log(4 / 13)])


@pytest.mark.parametrize("kind", ["lstm", "gru", "gpt"])
def test_networks_score_the_same_windows(kind):
    model = small(kind)
    scored = score_variants(model, GENOME, table(variant(200, other(200)), variant(5, "ACG", 2)), context=20)
    for row, (at, length, alt) in zip(scored.itertuples(), [(200, 1, other(200)), (5, 2, "ACG")], strict=True):
        pair = windows(at, length, alt, 20)
        ahead = model.log_likelihood(pair)
        assert row.llr_forward == pytest.approx(ahead[1] - ahead[0], abs=1e-4) and abs(row.llr_forward) > 1e-3
        back = model.log_likelihood([backwards(one) for one in pair])
        assert row.llr_reverse == pytest.approx(back[1] - back[0], abs=1e-4)


def test_bases_seen_are_told_where_the_contig_ends():
    scored = score_variants(
        small("lstm"), GENOME, table(variant(0, "C", contig="chr2"), variant(9, "T", 2, "chr2")), context=5
    )
    assert scored["context_before"].tolist() == [0, 5]
    assert scored["context_after"].tolist() == [5, 1]
    scored = score_variants(NGRAM, GENOME, table(variant(0, "C", contig="chr2"), variant(9, "T", 2, "chr2")), context=2)
    assert scored[["context_before", "context_after"]].to_numpy().tolist() == [[0, 2], [2, 1]]


def test_a_model_of_a_short_context_is_given_what_fits_round_the_variant():
    model = small("gpt", context=32)
    many = [variant(200, other(200)), variant(100, LETTERS[100] + "ACGT"), variant(2, other(2))]
    scored = score_variants(model, GENOME, table(*many))
    assert scored["context_before"].tolist() == [15, 13, 2]
    assert scored["context_after"].tolist() == [15, 13, 15]
    ahead = model.log_likelihood(windows(200, 1, other(200), 15))
    assert scored["llr_forward"][0] == pytest.approx(ahead[1] - ahead[0], abs=1e-4)
    published = small("gpt", form="as_published", context=16, heads=1)
    assert score_variants(published, GENOME, table(many[0]))["context_after"].tolist() == [7]


def test_many_variants_are_scored_in_parts():
    rows = table(*(variant(at, other(at), name=f"v{at}") for at in range(20, 320)))
    scored = score_variants(NGRAM, GENOME, rows, context=10)
    assert scored["id"].tolist() == rows["id"].tolist() and scored["position"].tolist() == list(range(21, 321))
    alone = score_variants(NGRAM, GENOME, rows.iloc[[290]], context=10)
    pd.testing.assert_frame_equal(scored.iloc[[290]].reset_index(drop=True), alone)


@settings(max_examples=50, deadline=None)
@given(st.text("ACGT", max_size=30), st.text("ACGT", min_size=1, max_size=4), st.data())
def test_alleles_that_change_places_change_the_sign(left, ref, data):
    alt = data.draw(st.text("ACGT", min_size=1, max_size=4).filter(lambda letters: letters != ref))
    right = data.draw(st.text("ACGTN", max_size=30))
    ratios = [
        score_variants(
            NGRAM, {"c": encode(left + one + right)}, table(("c", len(left), "v", one, another)), context=20
        ).loc[0, ["llr", "llr_forward", "llr_reverse"]]
        for one, another in ((ref, alt), (alt, ref))
    ]
    assert ratios[0].tolist() == (-ratios[1]).tolist()


def test_a_model_that_knows_nothing_prefers_no_base():
    scored = score_variants(Uniform(), GENOME, table(variant(100, other(100)), variant(100, LETTERS[100] + "AC")))
    assert scored["llr"].tolist() == pytest.approx([0, 2 * np.log(1 / 4)])


def test_alleles_that_are_both_impossible_have_no_ratio():
    model = NgramModel(2, smoothing="mle").fit(["AAAA"])
    assert score_variants(model, GENOME, table(variant(1, "T", contig="chr2")))["llr"].isna().all()


def restored(model, *tokens):
    """Log-probabilities of each token in turn where the first MASK stands: tokens, then what is asked for."""
    names = list(model.tokenizer.tokens)
    *row, wanted = tokens
    ids = [CLS, *(names.index(token) for token in row), SEP]
    with torch.no_grad():
        logs = model(torch.tensor([ids]))[0][0, ids.index(MASK)].log_softmax(-1)
    return logs[names.index(wanted)].item()


def test_a_bert_of_single_bases_gives_the_masked_marginal(bert):
    model = bert()
    (row,) = score_variants(model, GENOME, table(variant(6, "C", contig="chr2")), context=3).itertuples()
    assert (row.context_before, row.context_after) == (3, 3)  # TAC G TTT
    ahead = [restored(model, *"TAC", "[MASK]", *"TTT", base) for base in "CG"]
    back = [restored(model, *"AAA", "[MASK]", *"GTA", base) for base in "GC"]
    assert row.llr_forward == pytest.approx(ahead[0] - ahead[1], abs=1e-5)
    assert row.llr_reverse == pytest.approx(back[0] - back[1], abs=1e-5)


def test_a_bert_restores_the_tokens_that_differ_from_left_to_right(bert):
    model, mask = bert([("A", "T"), ("C", "G"), ("AT", "CG"), ("A", "A")]), "[MASK]"
    genome = {"c": encode("GGATCGGG")}  # G G ATCG G G, and of the opposite strand C C CG AT C C
    (row,) = score_variants(model, genome, table(("c", 3, "v", "T", "A"))).itertuples()
    alt = restored(model, *"GG", mask, mask, *"GG", "AA") + restored(model, *"GG", "AA", mask, *"GG", "CG")
    assert row.llr_forward == pytest.approx(alt - restored(model, *"GG", mask, *"GG", "ATCG"), abs=1e-5)
    alt = restored(model, *"CC", "CG", mask, mask, *"CC", "T") + restored(model, *"CC", "CG", "T", mask, *"CC", "T")
    assert row.llr_reverse == pytest.approx(alt - restored(model, *"CC", "CG", mask, *"CC", "AT"), abs=1e-5)
    assert (row.context_before, row.context_after) == (3, 4)


def test_a_bert_pays_for_bases_put_in_and_is_paid_for_those_taken_out(bert):
    model = bert()
    changes = [("c", 2, "in", "A", "AT"), ("c", 2, "out", "AC", "A")]
    scored = score_variants(model, {"c": encode("GGACGG")}, table(*changes))
    put_in, taken_out = scored["llr_forward"]
    assert put_in == pytest.approx(restored(model, *"GGA", "[MASK]", *"CGG", "T"), abs=1e-5)
    assert taken_out == pytest.approx(-restored(model, *"GGA", "[MASK]", *"GG", "C"), abs=1e-5)


def test_a_bert_sees_whole_tokens_as_they_are_in_the_sequence(bert):
    model = bert([("A", "T"), ("C", "G"), ("AT", "CG")])
    (row,) = score_variants(model, {"c": encode("GGATCGAG")}, table(("c", 6, "v", "A", "T")), context=3).itertuples()
    assert row.llr_forward == pytest.approx(
        restored(model, "[MASK]", "G", "T") - restored(model, "[MASK]", "G", "A"), abs=1e-5
    )
    assert (row.context_before, row.context_after) == (0, 1)


def test_a_bert_sees_as_many_tokens_as_its_context_holds(bert):
    rows = table(variant(200, other(200)), variant(1, "G", contig="chr2"))
    scored = score_variants(bert(context=12), GENOME, rows)
    assert scored["context_before"].tolist() == [4, 1]  # 9 tokens beside the one: 4 and 5 on either strand, or 1 and 8
    assert scored["context_after"].tolist() == [4, 8]


def test_a_control_is_the_same_change_between_the_same_bases_nearby():
    rows = table(*(variant(at, other(at), name=f"v{at}") for at in range(1, 399))).set_index(np.arange(1, 399))
    alone = pd.concat([matched_controls(GENOME, rows.loc[[at]], table(), seed=at) for at in rows.index])
    assert 0.9 < len(alone) / len(rows) <= 1
    for at, control in alone.iterrows():
        place = control["position"]
        assert 50 <= abs(place - at) <= 500 and LETTERS[place - 1 : place + 2] == LETTERS[at - 1 : at + 2]
        assert tuple(control)[2:] == (f"v{at} control", LETTERS[at], other(at))
    some = matched_controls(GENOME, rows.loc[100:180], rows.loc[20:200])  # among them those that aren't scored
    assert len(some) > 20 and some.index.isin(range(100, 181)).all() and not some["position"].between(20, 200).any()
    alone = matched_controls(GENOME, rows.loc[100:180], rows.loc[100:180].assign(contig="chr2"))
    assert alone["position"].between(20, 200).any()  # known, on another contig
    assert matched_controls(GENOME, rows.loc[100:180], rows).empty  # every place is known


def test_controls_repeat_and_lie_within_reach_on_both_sides():
    genome = {"c": np.zeros(1200, dtype=np.uint8)}
    rows = table(*[("c", 600, f"v{number}", "A", "C") for number in range(2000)])
    places = matched_controls(genome, rows, rows)["position"]
    assert [places.min(), places[places < 600].max(), places[places > 600].min(), places.max()] == [100, 550, 650, 1100]
    assert 0.45 < (places < 600).mean() < 0.55
    pd.testing.assert_frame_equal(matched_controls(genome, rows[:5], rows), matched_controls(genome, rows, rows)[:5])
    assert matched_controls(genome, rows, rows, seed=1)["position"].tolist() != places.tolist()


def test_what_is_no_single_base_or_lies_at_an_end_has_no_control():
    genome = {"c": np.zeros(200, dtype=np.uint8)}
    rows = table(("c", 0, "first", "A", "C"), ("c", 199, "last", "A", "C"), ("c", 9, "indel", "A", "AC"))
    assert matched_controls(genome, rows, rows).empty
    assert matched_controls(genome, table(("c", 1, "second", "A", "C")), rows).index.tolist() == [0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("chr9", 5, "v", "A", "C"), r"v at chr9, position 6: expected A, found no such contig; leave out what"),
        (("chr2", 1, "v", "G", "A"), r"v at chr2, position 2: expected G, found C; leave out"),
        (("chr2", 12, "v", "G", "A"), r"v at chr2, position 13: expected G, found nothing"),
        (("chr2", 11, "v", "AC", "A"), r"v at chr2, position 12: expected AC, found A; leave"),
    ],
)
def test_variants_that_were_not_checked_are_refused(row, message):
    with pytest.raises(InputError, match=message):
        score_variants(NGRAM, GENOME, table(row))


def test_alleles_longer_than_a_models_own_context_are_refused(bert):
    long = table(variant(100, LETTERS[100] + "ACGTTTGACC"))
    with pytest.raises(InputError, match="v: an allele of 11 bases; the model sees 8: leave it out"):
        score_variants(small("gpt", context=8), GENOME, long)
    with pytest.raises(InputError, match="alleles that differ in 10 tokens; the model sees 8, CLS and SEP included"):
        score_variants(bert(context=8), GENOME, long)


def test_a_model_without_likelihood_is_refused():
    class Probe:
        kind = "probe"

    with pytest.raises(InputError, match="a probe model gives no likelihood of DNA; give an n-gram"):
        score_variants(Probe(), GENOME, table(variant(100, other(100))))


def test_no_variants_are_an_empty_table():
    scored = score_variants(NGRAM, GENOME, table().astype({"position": np.int64}))
    assert scored.empty and list(scored.columns)[5:] == [
        "llr", "llr_forward", "llr_reverse", "context_before", "context_after",
    ]  # fmt: skip
