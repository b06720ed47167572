"""Notebook 03's parameters become a plan and vocabularies; outcomes become tables and words."""

import numpy as np
import pandas as pd
import pytest

from dnastudy.chapters import select_report
from dnastudy.chapters.select_tokenizer import Outcome, gather
from dnastudy.files import InputError
from dnastudy.genes.contigs import Contigs
from dnastudy.study.parameters import declared_parameters
from dnastudy.study.record import Run
from dnastudy.tokens import Tokenizer

DRAWS = {"resamples": 200, "seed": 0}
CODES = np.random.default_rng(0).integers(4, size=30_000).astype(np.uint8)
CONTIG = Contigs(CODES, None, {})


@pytest.fixture
def start(tmp_path):
    """A run of the chapter with some parameters changed."""
    defaults = {name: p.default for name, p in declared_parameters("03_select_tokenizer").items()}

    def changed(**others):
        assert others.keys() <= defaults.keys()
        return Run("03_select_tokenizer", defaults | {"out": str(tmp_path / "out")} | others)

    return changed


def merges_of(name: str) -> float:
    return float(name.removeprefix("BPE ")) if name.startswith("BPE ") else np.nan


def predicted(right: dict[str, list], start="pre-trained", protocol="mended") -> pd.DataFrame:
    """Predictions of one k, a block an example."""
    parts = [
        pd.DataFrame({"vocabulary": name, "merges": merges_of(name), "k": 2, "right": answers})
        .rename_axis("example")
        .reset_index()
        .assign(block=lambda part: part["example"], seed=0, bits=4.0, start=start, protocol=protocol)
        for name, answers in right.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_plan_is_what_the_parameters_say(start):
    plan = select_report.read_plan(start(k="6,2", seeds="3,4", model="gru", width=24, fine_rate=0.5))
    assert (plan.sizes, plan.seeds, plan.fine_tuning["learning_rate"]) == ((2, 6), (3, 4), 0.5)
    assert plan.model == {"kind": "gru", "layers": 1, "width": 24, "dropout": 0.0, "embedding": 32}
    bert = select_report.bert_plan(start(window=300, bert_bases=77), plan)
    assert bert.model == {"kind": "bert", "layers": 1, "width": 32, "dropout": 0.0, "heads": 2, "context": 302}
    assert (bert.bases, bert.seeds, bert.published, bert.sizes) == (77, (3,), 0, (2, 6))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": "2,7"}, "k='2,7': expected one or more of 1 to 6"),
        ({"k": ""}, "k='': expected one or more"),
        ({"seeds": ""}, "seeds is empty"),
        ({"model": "lsmt"}, "model='lsmt': no kind of model that this chapter knows; did you mean 'lstm'"),
        ({"model": "gpt"}, "model='gpt': no kind of model"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(start, given, message):
    with pytest.raises(InputError, match=message):
        select_report.read_plan(start(**given))


def test_vocabularies_are_learnt_or_read_and_kept_with_the_run(start, tmp_path):
    run = start(merges="3,10", kmers="1,2", rival="2-mer")
    found = select_report.read_vocabularies(run, CONTIG)
    assert list(found) == ["1-mer", "2-mer", "BPE 3", "BPE 10"]
    assert found["BPE 10"] == run.out / "BPE-10.tokenizer.json"
    assert Tokenizer.load(found["BPE 10"]).merges[:3] == Tokenizer.load(found["BPE 3"]).merges
    Tokenizer([("A", "C")]).save(tmp_path / "mine.json")
    again = select_report.read_vocabularies(start(tokenizers=f"{tmp_path}/mine.json", kmers="4", bert=False), CONTIG)
    assert list(again) == ["4-mer", "BPE 1"]
    with pytest.raises(InputError, match="two vocabularies are BPE 1; give one of so many merges"):
        select_report.read_vocabularies(start(tokenizers=f"{tmp_path}/mine.json,{tmp_path}/mine.json"), CONTIG)
    with pytest.raises(InputError, match="no byte-pair vocabulary to choose from"):
        select_report.read_vocabularies(start(merges=""), CONTIG)
    with pytest.raises(InputError, match=r"merges='9999': no pair is left after [0-9,]+; ask for fewer"):
        select_report.read_vocabularies(start(merges="9999"), CONTIG._replace(codes=CODES[:300]))
    with pytest.raises(InputError, match=r"pretrained='.*BPE 3': BPE 3 is a vocabulary's name too"):
        select_report.read_pretrained(start(pretrained=str(tmp_path / "BPE 3")), found)
    assert select_report.read_pretrained(start(pretrained="hf:some/GROVER"), found) == {"GROVER": "hf:some/GROVER"}


def test_fewer_windows_than_asked_for_are_noted(start):
    run = start(test_examples=9000, windows=2, published=0)
    material = select_report.gather_material(run, {"train": CONTIG, "test": CONTIG}, select_report.read_plan(run))
    assert len(material.test) < 9000 // 10 and len(material.windows) == 2
    (note,) = run.notes
    assert note == f"asked for 9,000 test_examples; {len(material.test)} fit side by side into the held-out contigs"


def test_a_rival_that_is_not_there_is_refused(start):
    with pytest.raises(InputError, match="rival='4mer': no vocabulary of this run; did you mean '4-mer'"):
        select_report.read_vocabularies(start(rival="4mer", kmers="4"), CONTIG)
    assert select_report.evaluate_berts(start(bert=False), {}, "BPE 3", None, None, {}) == {}


def test_a_pretrained_model_named_like_a_vocabulary_is_none_to_choose():
    bits = pd.DataFrame({"block": [0, 1], "bases": [100, 300], "bits": [220.0, 580.0], "exact": [200.0, 560.0]})
    right = predicted({"any": [1, 0]}).drop(columns=["vocabulary", "merges"])
    outcomes = {"BPE 700": Outcome({"merges": 0}, bits, right), "BPE 5": Outcome({"merges": 5}, bits, right)}
    ranking, chosen = select_report.choose(select_report.join_predictions(outcomes), **DRAWS)
    assert chosen == "BPE 5" and ranking["merges"].isna().tolist() == [True, False]


def test_bits_are_a_ratio_of_sums_and_masked_models_have_none():
    bits = pd.DataFrame({"block": [0, 1], "bases": [100, 300], "bits": [220.0, 580.0], "exact": [200.0, 560.0]})
    outcomes = {
        "BPE 5": Outcome({"merges": 5, "tokens": 14}, bits, bits[:0]),
        "bert": Outcome({"merges": 0, "tokens": 9}, bits[:0], bits[:0]),
    }
    table = select_report.bits_table(outcomes, **DRAWS).set_index("measure")
    assert table["bits"].to_dict() == {"exact": 1.9, "upper bound": 2.0}
    assert set(table["vocabulary"]) == {"BPE 5"} and set(table["merges"]) == {5}
    assert select_report.vocabulary_table(outcomes)["tokens"].tolist() == [14, 9]


def test_seeds_are_averaged_before_examples_are_drawn():
    twice = pd.concat([predicted({"1-mer": [1, 1, 0, 0]}), predicted({"1-mer": [1, 0, 0, 0]})])
    (row,) = select_report.accuracy_table(twice, ["vocabulary", "k"], **DRAWS).itertuples()
    assert (row.accuracy, row.runs, row.n, row.bits) == (0.375, 2, 4, 4.0)
    assert row.low < 0.375 < row.high


def test_accuracies_stand_by_vocabulary_and_k_in_percent():
    rows = [("BPE 9", 2, 0.5), ("1-mer", 2, 0.25), ("BPE 9", 3, 0.125)]
    accuracy = pd.DataFrame(rows, columns=["vocabulary", "k", "accuracy"])
    accuracy = accuracy.assign(protocol="mended", start="pre-trained", low=0.1, high=0.6)
    table = select_report.by_k(pd.concat([accuracy, accuracy.assign(protocol="published")]))
    assert list(table.index) == ["BPE 9", "1-mer"]
    assert table.loc["BPE 9"].tolist() == ["50.0 (10.0 to 60.0)", "12.5 (10.0 to 60.0)"]


def test_ways_of_predicting_are_named_in_one_order():
    ways = ("random start",), ("pre-trained", "published"), ("read off",)
    accuracy = pd.concat(predicted({"1-mer": [1]}, *way) for way in ways).assign(accuracy=0.5)
    assert select_report.by_way(accuracy)["protocol"].tolist() == [
        "read off the causal model", "fine-tuned, as published", "never pre-trained, mended",
    ]  # fmt: skip


def test_findings_say_what_the_tables_hold():
    ranking = pd.DataFrame(
        {
            "vocabulary": ["1-mer", "BPE 100", "BPE 600"],
            "merges": [np.nan, 100, 600],
            "score": [1.2, 1.1, 0.9],
            "within": [True, True, False],
            "chosen": [False, True, False],
        }
    )
    predictions = predicted({"BPE 100": [1, 1, 1, 0] * 10})
    floors = predicted({"x": [0, 0, 0, 0] * 10}).assign(floor="majority")
    better = predicted({"x": [1, 1, 1, 1] * 10}).assign(floor="12-gram")
    differences = select_report.floor_differences(predictions, pd.concat([floors, better]), "BPE 100", **DRAWS)
    assert differences.set_index("floor")["difference"].to_dict() == {"majority": 0.75, "12-gram": -0.25}
    read = predicted({"BPE 100": [1, 1, 0, 0]}, "read off")  # of fewer windows
    assert select_report.findings(ranking, differences, pd.concat([predictions, read])) == [
        "at this budget the paper's choice of 600 merges doesn't stand: it isn't within one standard error of the best",
        "BPE 100 is the smallest compared; smaller ones weren't tried",
        "ahead of BPE 100 (1.10) by the same score: 1-mer (1.20)",
        "k = 2: BPE 100 is not shown to beat 12-gram",
        "k = 2, BPE 100, on the same 4 windows: pre-trained 75.0%, read off 50.0%",
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["BPE 50", "BPE 100"], ["BPE 100 is the largest compared; larger ones weren't tried"]),
        (["BPE 50", "BPE 100", "BPE 200"], []),
        (["BPE 100"], []),
    ],
)
def test_a_choice_at_the_edge_of_what_was_compared_is_told(names, expected):
    merges = [merges_of(name) for name in names]
    chosen = [name == "BPE 100" for name in names]
    ranking = pd.DataFrame({"vocabulary": names, "merges": merges, "score": 1.0, "within": True, "chosen": chosen})
    differences = pd.DataFrame({"floor": [], "k": [], "low": []})
    found = select_report.findings(ranking, differences, predicted({"BPE 100": [1, 0]}))
    assert found[:-1] == expected


def test_a_want_of_windows_is_told():
    table = pd.DataFrame({"vocabulary": ["1-mer", "4-mer"], "examples": [10, 80], "examples_paid_for": [10, 95]})
    assert select_report.shortages(table) == [
        "4-mer: fine-tuned on 80 windows, all there are; equal operations pay for 95"
    ]


def test_the_material_is_told_in_numbers(start):
    plan = select_report.read_plan(start())
    material = gather(CODES, CODES, plan, test_examples=4, windows=1, length=100)
    table = select_report.windows_table(material, np.array([0, 0.5, 1, 1]), np.ones(len(CODES), dtype=bool))
    values = table.set_index("what")["value"]
    assert values["held-out bases in 31-mers of the training contigs"] == 0.625
    assert values["held-out windows wholly in such"] == 0.5
    assert values["k-mers to predict that begin in a repeat"] == 1
