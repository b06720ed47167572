"""Each vocabulary's model is pre-trained, read off and fine-tuned once, alike however many at a time."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from dnastudy.chapters import select_tokenizer
from dnastudy.chapters.select_tokenizer import Plan, evaluate_vocabularies, gather
from dnastudy.files import InputError
from dnastudy.models import NgramModel, load, save
from dnastudy.models.hub import export_to_transformers
from dnastudy.tokens import KmerTokenizer, Tokenizer, train_bpe

PLAN = Plan(
    model={"kind": "lstm", "layers": 1, "width": 16, "embedding": 8},
    training={"batch": 4, "learning_rate": 0.02, "warmup": 4, "precision": "fp32", "validation_windows": 4},
    bases=24_000,
    window=96,
    sizes=(1, 2),
    examples=60,
    context=20,
    margin=30,
    published=50,
    read_off=12,
    seeds=(0, 1),
    fine_tuning={"batch": 16, "precision": "fp32"},
)


def contig(seed: int, n: int) -> np.ndarray:
    """Words of a few letters at random, and some unknown bases."""
    random = np.random.default_rng(seed)
    words = [np.array(word, dtype=np.uint8) for word in ([0, 0, 1], [2, 3, 3, 0], [1], [2, 0])]
    codes = np.concatenate([words[number] for number in random.integers(4, size=n // 2)])[:n]
    codes[n // 3 : n // 3 + 20] = 4
    return codes


@pytest.fixture(scope="module")
def material():
    return gather(contig(0, 40_000), contig(1, 20_000), PLAN, test_examples=40, windows=6, length=100)


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory, material):
    folder = tmp_path_factory.mktemp("vocabularies")
    made = {"1-mer": KmerTokenizer(1), "BPE 6": Tokenizer(train_bpe(material.train_codes, 6).merges)}
    for name, tokenizer in made.items():
        tokenizer.save(folder / f"{name}.json")
    return {name: folder / f"{name}.json" for name in made}


@pytest.fixture(scope="module")
def kept(tmp_path_factory, material, vocabularies):
    """A folder with finished outcomes, and those."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, evaluate_vocabularies(vocabularies, material, PLAN, folder)


def test_places_are_random_and_windows_lie_in_the_held_out_contig(material):
    assert len(material.learn) == 8 * 60 and len(set(material.learn)) == 480
    assert (np.diff(material.learn) < 0).any()
    assert len(material.test) == 40 and len(material.published) == 50
    assert [tuple(row) for row in np.diff(material.windows, axis=1)] == [(100,)] * 6
    assert all((material.test_codes[start:end] < 4).all() for start, end in material.windows)


def test_too_few_windows_for_the_classes_are_refused():
    for plan, found in ((dataclasses.replace(PLAN, published=0), 60), (dataclasses.replace(PLAN, examples=5000), 40)):
        plan = dataclasses.replace(plan, sizes=(2, 6))
        with pytest.raises(InputError, match=f"{found} windows to learn 6-mers from; expected at least 4,096"):
            gather(contig(0, 400_000), contig(1, 20_000), plan, test_examples=40, windows=6, length=100)
    with pytest.raises(InputError, match="windows = 0; expected 1 or more"):
        gather(contig(0, 40_000), contig(1, 20_000), PLAN, test_examples=40, windows=0, length=100)


def test_what_no_classifier_can_be_put_on_is_refused(material, tmp_path):
    save(NgramModel(2).fit(["ACGT"]), tmp_path / "ngram")
    for source, message in (("gone", "gone: nothing there; expected"), ("ngram", "an ngram model has no states")):
        with pytest.raises(InputError, match=message):
            evaluate_vocabularies({"x": tmp_path / source}, material, PLAN, tmp_path / "out")
    with pytest.raises(InputError, match="two names that are one as a folder's"):
        evaluate_vocabularies({"BPE 6": "x", "BPE-6": "x"}, material, PLAN, tmp_path / "out")


def test_every_run_predicts_every_example_once(kept):
    for outcome in kept[1].values():
        sizes = outcome.predictions.groupby(["protocol", "start", "seed", "k"]).size()
        assert sizes.to_dict() == {
            **{("mended", "pre-trained", seed, k): 40 for seed in (0, 1) for k in (1, 2)},
            **{("mended", "random start", 0, k): 40 for k in (1, 2)},
            **{("mended", "read off", 0, k): 12 for k in (1, 2)},
            **{("published", "pre-trained", 0, k): 10 for k in (1, 2)},
        }
        assert len(outcome.bits) == 6


def test_a_model_learns_what_comes_next(kept):
    """The contigs are words of 2.5 letters in the mean, at random: about 2 bits a word."""
    for outcome in kept[1].values():
        bits = outcome.bits.sum()
        assert 0.75 < bits["exact"] / bits["bases"] < 1.6
        right = outcome.predictions.query("k == 1").groupby("start")["right"].mean()
        assert right["read off"] > 0.45


def test_single_bases_have_one_encoding_and_byte_pairs_have_several(kept):
    single, pairs = (outcome.bits for outcome in kept[1].values())
    assert single["bits"].to_numpy() == pytest.approx(single["exact"].to_numpy())
    assert (pairs["exact"] < pairs["bits"]).all()


def test_frequencies_are_counted_where_it_is_learnt_and_cost_where_it_is_held_out():
    learnt, held_out = np.array([5, 5, 5, 6, 1]), np.array([6, 7])  # A three times, C once, UNK; then C and G
    bits = select_tokenizer._frequency_bits(KmerTokenizer(1), learnt, held_out)
    assert bits == pytest.approx((np.log2(8 / 2) + np.log2(8 / 1)) / 2)


def test_the_same_operations_pay_for_more_windows_of_long_tokens(kept):
    single, pairs = (outcome.facts for outcome in kept[1].values())
    assert single["examples"] == 60
    assert 60 < pairs["examples"] < 60 * pairs["bases_per_token"]
    assert single["bases_seen"] == pytest.approx(24_000, rel=0.1) == pairs["bases_seen"]


def test_what_is_finished_is_not_done_again(kept, material, vocabularies, monkeypatch):
    folder, outcomes = kept
    monkeypatch.setattr(select_tokenizer, "_evaluate", lambda task, *_: pytest.fail(f"{task[0]} was evaluated again"))
    again = evaluate_vocabularies(vocabularies, material, PLAN, folder)
    for name, outcome in outcomes.items():
        assert again[name].facts == outcome.facts
        assert again[name].predictions.equals(outcome.predictions) and again[name].bits.equals(outcome.bits)
    evaluated = []
    monkeypatch.setattr(
        select_tokenizer, "_evaluate", lambda task, *_: evaluated.append(task[0]) or (task[0], outcomes[task[0]])
    )
    evaluate_vocabularies(vocabularies, material, dataclasses.replace(PLAN, bases=25_000), folder)
    (folder / "BPE-6" / "outcome.json").unlink()
    evaluate_vocabularies(vocabularies, material, PLAN, folder)
    assert evaluated == ["1-mer", "BPE 6", "BPE 6"]


@pytest.mark.slow
def test_two_at_a_time_find_what_one_at_a_time_finds(kept, material, vocabularies, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - threads if threads < 3 else 1)
    try:
        others = evaluate_vocabularies(vocabularies, material, PLAN, tmp_path, progress=tmp_path / "progress")
    finally:
        torch.set_num_threads(threads)
    for name, outcome in kept[1].items():
        assert others[name].predictions.equals(outcome.predictions)
    lines = (tmp_path / "progress").read_text().splitlines()
    assert "BPE 6: pre-trained, mended, seed 1: fine-tuned" in lines and len(lines) == 12


def test_a_bert_restores_tokens_and_its_folder_is_a_vocabulary_of_its_own(material, vocabularies, tmp_path):
    model = {"kind": "bert", "layers": 1, "width": 16, "heads": 2, "context": 100}
    plan = dataclasses.replace(PLAN, model=model, seeds=(0,), published=0, bases=4000)
    (outcome,) = evaluate_vocabularies({"BPE 6": vocabularies["BPE 6"]}, material, plan, tmp_path).values()
    assert outcome.bits.empty and set(outcome.predictions["start"]) == {"pre-trained", "random start"}
    facts = outcome.facts
    assert facts["masked_bits_per_base"] < facts["masked_bits_per_token"] < np.log2(10) + 0.1
    assert facts["masked_bits_per_base"] < 1.3 * facts["by_frequency_per_base"] < 3
    trained = tmp_path / "BPE-6"
    (again,) = evaluate_vocabularies({"bert": trained}, material, plan, tmp_path / "again").values()
    assert again.predictions.equals(outcome.predictions)
    assert again.facts["masked_bits_per_base"] == pytest.approx(facts["masked_bits_per_base"])
    export_to_transformers(load(trained, device="cpu"), tmp_path / "exported")
    source = f"hf:{tmp_path / 'exported'}"
    (theirs,) = evaluate_vocabularies({"theirs": source}, material, plan, tmp_path / "theirs").values()
    assert theirs.facts["masked_bits_per_base"] == pytest.approx(facts["masked_bits_per_base"], rel=1e-4)
    assert theirs.predictions["bits"].to_numpy() == pytest.approx(outcome.predictions["bits"].to_numpy(), rel=1e-2)


def test_a_model_with_words_of_another_library_is_fine_tuned_too(material, tmp_path):
    pieces = ["A", "C", "G", "T", "AAG", "##TT", "##AC", "##A", "##G", "##C", "##T"]
    (tmp_path / "vocab.txt").write_text("\n".join(["[MASK]", "[SEP]", "[CLS]", "[UNK]", "[PAD]", *pieces]))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=False).save_pretrained(tmp_path / "model")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=len(pieces) + 5, max_position_embeddings=64, **sizes)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "model")
    plan = dataclasses.replace(PLAN, model={"kind": "bert", "context": 64}, seeds=(0,), window=60)
    material = material._replace(windows=material.windows[:, :1] + np.array([0, 90]))  # it reads no words of over 100
    source = f"hf:{tmp_path / 'model'}"
    (outcome,) = evaluate_vocabularies({"theirs": source}, material, plan, tmp_path / "out").values()
    assert outcome.facts["tokens"] == 16 and len(outcome.predictions) == 2 * (40 + 40 + 10)
