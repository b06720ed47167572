"""dnastudy.study.variant_file: from a VCF and a FASTA to a table, a list of what was refused, and a record."""

import json

import numpy as np
import pandas as pd
import pytest

from dnastudy import cli
from dnastudy.files import InputError, sha256, write_json
from dnastudy.genes import decode, fetch, m5
from dnastudy.models import NgramModel, save
from dnastudy.models.store import digest_of
from dnastudy.study.parameters import package_hash
from dnastudy.study.variant_file import score_vcf

LETTERS = decode(np.random.default_rng(5).integers(4, size=400, dtype=np.uint8))
OTHER = {"A": "G", "C": "T", "G": "A", "T": "C"}


@pytest.fixture
def given(tmp_path):
    """Arguments: an n-gram model, a FASTA of two contigs, and a VCF with four alleles that can be scored."""
    save(NgramModel(4).fit([LETTERS]), tmp_path / "my_model")
    (tmp_path / "a.fa").write_text(f">22\n{LETTERS}\n>chr1\nACGTACG\n>unused\nACGT\n")
    lines = [
        f"chr22\t101\ta\t{LETTERS[100]}\t{OTHER[LETTERS[100]]},{LETTERS[100]}CC",
        f"22\t201\tb\t{LETTERS[200:203]}\t{LETTERS[200]}",
        f"22\t301\tc\t{OTHER[LETTERS[300]]}\t{LETTERS[300]}",
        "1\t7\td\tG\tA",
        "5\t7\te\tG\tA",
    ]
    (tmp_path / "a.vcf").write_text("##fileformat=VCFv4.2\n" + "".join(f"{line}\t.\t.\t.\n" for line in lines))
    names = {"model": "my_model", "vcf": "a.vcf", "out": "out/scores.tsv"}
    return {name: tmp_path / file for name, file in names.items()} | {"fasta": [tmp_path / "a.fa"]}


def test_a_table_a_list_and_a_record_are_written(given, tmp_path):
    record = score_vcf(**given, context=50)
    scored = pd.read_csv(tmp_path / "out" / "scores.tsv", sep="\t")
    assert scored[["contig", "position", "id", "alt"]].to_numpy().tolist() == [
        ["chr22", 101, "a", OTHER[LETTERS[100]]],
        ["chr22", 101, "a", f"{LETTERS[100]}CC"],
        ["chr22", 201, "b", LETTERS[200]],
        ["chr1", 7, "d", "A"],
    ]
    assert scored["context_before"].tolist() == [3, 3, 3, 3] and scored["context_after"].tolist() == [3, 3, 3, 0]
    window = [LETTERS[50:100], LETTERS[101:151]]
    alt, ref = NgramModel(4).fit([LETTERS]).log_likelihood([OTHER[LETTERS[100]].join(window), LETTERS[50:151]])
    assert scored["llr_forward"][0] == pytest.approx(alt - ref, abs=1e-5)
    assert (tmp_path / "out" / "scores.refused.tsv").read_text() == (
        "contig\tposition\tid\tref\talt\tfound\treason\n"
        f"chr22\t301\tc\t{OTHER[LETTERS[300]]}\t{LETTERS[300]}\t{LETTERS[300]}\tnot the base in the sequence\n"
        "chr5\t7\te\tG\tA\t\tno such contig\n"
    )
    assert record == json.loads((tmp_path / "out" / "scores.tsv.json").read_text())
    assert record["model"] == {"name": "my_model", "kind": "ngram", "digest": digest_of(tmp_path / "my_model")}
    assert record["vcf"] == {"file": "a.vcf", "sha256": sha256(tmp_path / "a.vcf")}
    assert record["contigs"] == {
        "chr22": {"length": 400, "m5": m5(LETTERS)},
        "chr1": {"length": 7, "m5": m5("ACGTACG")},
    }
    unknown = "its folder has no learnt_from.json that goes with it"
    assert record["learnt_from"] == {"chr22": f"unknown: {unknown}", "chr1": f"unknown: {unknown}"}
    told = f"my_model: whether it has learnt from chr22, chr1 isn't known, since {unknown}"
    assert record["warnings"] == [f"{told}; 4 of 4 alleles scored lie there"]
    refused = {"not the base in the sequence": 1, "no such contig": 1}
    assert record["counts"] == {"alleles": 6, "scored": 4, "refused": refused}
    assert (record["context"], record["code"]["package_sha256"]) == (50, package_hash())
    assert str(tmp_path) not in (tmp_path / "out" / "scores.tsv.json").read_text()


def test_the_command_writes_the_same_table(given, tmp_path, capsys):
    score_vcf(**given)
    first = given["out"].read_bytes()
    command = [f"--{name}={path}" for name, path in given.items() if name != "fasta"]
    command = ["variants", *command, f"--fasta={given['fasta'][0]}"]
    assert cli.main(command) == 1
    assert capsys.readouterr().err == (
        f"dnastudy: error: {given['out']}: stands there already; give another file, or overwrite it (--overwrite)\n"
    )
    assert cli.main([*command, "--overwrite"]) == 0
    assert capsys.readouterr().out.startswith(f"{given['out']}: 4 of 6 alleles scored\nnot scored: 1 (")
    assert given["out"].read_bytes() == first


def test_alleles_on_a_contig_that_the_model_learnt_from_are_counted(given, capsys):
    parts = {"parameters": {"split": "chromosome"}, "held_out": {"test": "chr1"}, "files": {"codes.npy": "abc"}}
    parts["contigs"] = {
        "chr22": {"m5": m5(LETTERS), "name_in_annotation": "22"},
        "chr1": {"m5": m5("ACGTACG"), "name_in_annotation": "1"},
    }
    model = NgramModel(4).fit([LETTERS])
    model.trained_on = {"codes.npy": "abc"}
    save(model, given["model"])
    write_json(given["model"] / "learnt_from.json", parts)
    command = [f"--{name}={path}" for name, path in given.items() if name != "fasta"]
    assert cli.main(["variants", *command, f"--fasta={given['fasta'][0]}"]) == 0
    told = (
        "my_model has learnt from chr22, so that it may know it by heart: take a model whose corpus (chapter 01) holds "
        "it out, or other contigs; 3 of 4 alleles scored lie there"
    )
    assert capsys.readouterr().err == f"dnastudy: warning: {told}\n"
    record = json.loads(given["out"].with_name("scores.tsv.json").read_text())
    assert record["learnt_from"] == {"chr22": "yes", "chr1": "no, by M5 and name"} and record["warnings"] == [told]


def test_a_dataset_gives_the_contigs_that_the_variants_lie_on(given, sample, tmp_path, monkeypatch):
    asked = []

    def fetching(name, members):
        asked.extend(members)
        return fetch(name, dest=next(iter(sample.values())).parent, members=members)

    monkeypatch.setattr("dnastudy.study.variant_file.fetch", fetching)
    contigs = pd.read_csv(sample["snps.vcf.gz"], sep="\t", comment="#", header=None)
    first = contigs[contigs[0] == contigs[0].iloc[0]].head(20)
    first.to_csv(tmp_path / "a.vcf", sep="\t", header=False, index=False)
    record = score_vcf(**given | {"fasta": None, "dataset": "sample"}, context=20)
    assert record["counts"]["scored"] == 20
    assert asked == ["chr19.fa.gz"] and list(record["contigs"]) == [contigs[0].iloc[0]]


def test_a_dataset_that_holds_none_of_the_contigs_is_refused(given, tmp_path):
    (tmp_path / "a.vcf").write_text("7\t1\ta\tA\tC\n")
    with pytest.raises(
        InputError, match=r"dataset='sample': none of chr7 in it; expected a contig of chr19:1.*, chr22"
    ):
        score_vcf(**given | {"fasta": None, "dataset": "sample"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"a.vcf: no variant lines; expected contig, position, id, ref, alt between tabs, a line each"),
        (["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT"], r"a.vcf: no variant lines; expected contig,"),
        (
            ["7\t1\ta\tA\tC", "8\t1\tb\tA\t*"],
            r"to score: no such contig .2.; .* \(chr22, chr1, unused\), found chr7, chr8",
        ),
        (["1\t1\ta\tG\tC", "1\t2\tb\tA\tC"], r"a.vcf: at 2 of 2 variants the sequence doesn't have REF"),
        (["1\tone\ta\tG\tC"], r"a.vcf, line 1: expected contig, position"),
    ],
)
def test_a_file_without_anything_to_score_is_refused(given, tmp_path, lines, message):
    (tmp_path / "a.vcf").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(InputError, match=message):
        score_vcf(**given)
    assert not given["out"].exists()


@pytest.mark.parametrize("places", [[301], [301, 201, 101]])
def test_variants_of_another_assembly_are_listed_and_none_is_scored(given, tmp_path, capsys, places):
    wrong = [f"chr22\t{at}\tv{at}\t{OTHER[LETTERS[at - 1]]}\t{LETTERS[at - 1]}" for at in places]
    (tmp_path / "a.vcf").write_text("\n".join([*wrong, *(["1\t7\td\tG\tA"] if places[1:] else [])]))
    command = [f"--{name}={path}" for name, path in given.items() if name != "fasta"]
    assert cli.main(["variants", *command, f"--fasta={given['fasta'][0]}"]) == 1
    listed = given["out"].with_name("scores.refused.tsv")
    told = capsys.readouterr().err
    assert f"{given['vcf']}: at {len(places)} of {len(places) + bool(places[1:])} variants the sequence" in told
    assert told.endswith(f"; {listed} lists them\n")
    assert pd.read_csv(listed, sep="\t")[["position", "found", "reason"]].to_numpy().tolist() == [
        [at, LETTERS[at - 1], "not the base in the sequence"] for at in places
    ]
    assert list(given["out"].parent.iterdir()) == [listed]


@pytest.mark.parametrize("lines", ["7\t1\ta\tA\tC\n", "1\t1\ta\tG\tC\n", "", "chr22\t101\n"])
def test_what_stands_there_stays_when_the_new_run_fails(given, tmp_path, lines):
    score_vcf(**given)
    before = {path.name: path.read_bytes() for path in given["out"].parent.iterdir()}
    assert before.keys() == {"scores.tsv", "scores.tsv.json", "scores.refused.tsv"}
    (tmp_path / "a.vcf").write_text(lines)
    with pytest.raises(InputError, match=r"a\.vcf") as error:
        score_vcf(**given, overwrite=True)
    assert "lists them" not in str(error.value)  # that list would stand beside the table of another run
    assert {path.name: path.read_bytes() for path in given["out"].parent.iterdir()} == before


def test_what_stands_there_stays_when_scoring_fails(given, monkeypatch):
    score_vcf(**given)
    before = {path.name: path.read_bytes() for path in given["out"].parent.iterdir()}

    def fail(*_, **__):
        raise OSError("disk")

    monkeypatch.setattr("dnastudy.study.variant_file.write_json", fail)
    with pytest.raises(OSError, match="disk"):
        score_vcf(**given, overwrite=True)
    assert {path.name: path.read_bytes() for path in given["out"].parent.iterdir()} == before


@pytest.mark.parametrize(
    ("names", "lists"),
    [
        (["scores", "scores.tsv"], ["scores.refused", "scores.refused.tsv"]),
        (["scores.txt", "scores.csv"], ["scores.txt.refused", "scores.csv.refused"]),
    ],
)
def test_each_table_of_a_folder_has_a_list_of_its_own(given, tmp_path, names, lists):
    other = tmp_path / "b.vcf"
    other.write_text(f"5\t9\tother\tG\tA\n22\t101\ta\t{LETTERS[100]}\t{OTHER[LETTERS[100]]}\n")
    for name, vcf in zip(names, [given["vcf"], other], strict=True):
        score_vcf(**given | {"out": tmp_path / "out" / name, "vcf": vcf})
    first, second = (pd.read_csv(tmp_path / "out" / name, sep="\t")["id"].tolist() for name in lists)
    assert (first, second) == (["c", "e"], ["other"])
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_bad_arguments_are_refused(given):
    with pytest.raises(InputError, match="context -1: expected 0 or more bases"):
        score_vcf(**given, context=-1)
    with pytest.raises(InputError, match="no manifest 'chr19'; did you mean"):
        score_vcf(**given | {"fasta": None, "dataset": "chr19"})
