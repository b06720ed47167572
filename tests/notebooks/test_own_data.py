"""A researcher's path, by the README's own commands: own FASTA and annotation, a model, own pairs."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from dnastudy.files import read_json
from dnastudy.genes import fetch
from dnastudy.study import load_record
from dnastudy.study.parameters import NOTEBOOKS
from dnastudy.tokens import Tokenizer


def papermill(folder, notebook, **parameters):
    """Run a notebook with plain papermill in ``folder`` and return its finished process."""
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS / f"{notebook}.ipynb"), f"{notebook}.ipynb"]
    for name, value in parameters.items():
        command += ["-r" if isinstance(value, str) else "-p", name, str(value)]  # raw: "" and "1,2" stay what they are
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "-k", "python3", "--no-progress-bar"], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ``my.fa``, soft-masked, with CRLF and no last newline, its ``my.gff3.gz``, and ``pairs.csv``."""
    folder = tmp_path_factory.mktemp("own data")
    sample = fetch("sample")
    header, *lines = gzip.decompress(sample["chr19.fa.gz"].read_bytes()).decode().splitlines()
    lines[1] = lines[1].lower()
    (folder / "my.fa").write_bytes("\r\n".join([header, *lines]).encode())
    (folder / "my.gff3.gz").write_bytes(sample["chr19.gff3.gz"].read_bytes())
    pairs = pd.DataFrame(
        {"id": ["a", "b"], "real": ["ACGTACGTAC", "GGGTTTAAAC"], "mutated": ["ACGTACGTTC", "GGGTTTAAC"]}
    )
    pairs.to_csv(folder / "pairs.csv", index=False)
    return folder


@pytest.mark.slow
def test_from_own_fasta_to_own_pairs(folder):
    done = papermill(folder, "01_extract_genes", fasta="my.fa", annotation="my.gff3.gz", out="my_corpus")
    assert done.returncode == 0, done.stderr[-2000:]
    record = load_record(folder / "my_corpus")
    (contig,) = record["data"]["corpus"]["contigs"].values()
    assert (contig["length"], contig["iupac_read_as_unknown"]) == (2_000_000, 0)
    assert contig["lower_case_read_as_upper"] > 0
    assert sum(record["metrics"][f"{split}/genes"]["value"] for split in ("train", "validation", "test")) > 50

    done = papermill(folder, "04_train_language_model", corpus="my_corpus", model="ngram", order=6, out="my_model")
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_json(folder / "my_model" / "config.json")["order"] == 6

    done = papermill(
        folder, "08_detect_mutations", corpus="my_corpus", models="my_model", pairs="pairs.csv", out="my_task"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    pairs = pd.read_csv(folder / "my_task" / "pairs.tsv", sep="\t").query("model == 'my_model'")
    assert pairs["id"].tolist() == ["a", "b"]
    assert pairs[["bases_real", "bases_mutated"]].to_numpy().tolist() == [[10, 10], [10, 9]]
    assert (pairs[["ll_real", "ll_mutated"]] < 0).all(axis=None)

    done = papermill(
        folder, "05_compare_models", corpus="my_corpus", models="my_model", windows=4, floors=2, out="my_scores"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 1.5 < load_record(folder / "my_scores")["metrics"]["my_model/all/bits_per_base"]["value"] < 2.1

    (folder / "my.vcf").write_text("19\t2\tx\tA\tC\n22\t2\ty\tA\tC\n")
    floors = {"corpus": "my_corpus", "models": "none", "genes": 4, "published_draws": 4, "variants_dataset": "my.vcf"}
    done = papermill(folder, "08_detect_mutations", **floors, out="floors")
    assert done.returncode == 0, done.stderr[-2000:]
    record = load_record(folder / "floors")
    assert {name.split("/")[0] for name in record["metrics"]} >= {"8-gram", "copy", "published", "copy-8-gram"}
    assert "my.vcf has variants on chr19, chr22, and the test genes are on chr19:10000001" in record["notes"][-1]

    counts = folder / "my_model" / "counts.npz"
    counts.write_bytes(counts.read_bytes()[:-1])  # tampered with: nothing may be scored with it
    done = papermill(folder, "05_compare_models", corpus="my_corpus", models="my_model", out="scores")
    assert done.returncode == 1
    assert "counts.npz: not the file saved" in done.stderr
    assert not (folder / "scores").exists()


@pytest.mark.slow
def test_own_fasta_to_own_vocabulary(folder):
    done = papermill(folder, "02_train_tokenizers", fasta="my.fa", merges="8,300", closely=300, kmers=4, out="my_words")
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(Tokenizer.load(folder / "my_words" / "BPE-300.tokenizer.json")) == 309
    record = load_record(folder / "my_words")
    assert list(record["data"]["corpus"]["contigs"]) == [
        "chr19:10000001-12000000:1-1000000",
        "chr19:10000001-12000000:1000001-2000000",
    ]
    assert 3 < record["metrics"]["held out/BPE 300/bases_per_token"]["value"] < 4
    assert "no repeats were given: how tokens lie in them is left out" in record["notes"]


@pytest.mark.slow
def test_own_labels_beside_the_floors(folder):
    random = np.random.default_rng(0)
    for split, count in (("train", 60), ("dev", 20), ("test", 40)):
        letters = [["ACGT"[n] for n in random.choice(4, 80, p=[0.2, 0.3, 0.3, 0.2])] for _ in range(count)]
        for row in letters[::2]:
            row[30:38] = "TATAAATA"
        table = pd.DataFrame({"sequence": map("".join, letters), "label": [1, 0] * (count // 2)})
        table.to_csv(folder / f"{split}.csv", index=False)
    files = {"train_labels": "train.csv", "validation_labels": "dev.csv", "test_labels": "test.csv"}
    done = papermill(folder, "09_label_regulatory_sequence", **files, models="none", trees=50, out="my_labels")
    assert done.returncode == 0, done.stderr[-2000:]
    sizes = pd.read_csv(folder / "my_labels" / "sizes.tsv", sep="\t")
    assert sizes[["train", "validation", "test"]].to_numpy().tolist() == [[60, 20, 40]]
    metrics = load_record(folder / "my_labels")["metrics"]
    assert metrics[f"own: {folder.name}/TF-IDF + linear/floor/auroc"]["value"] > 0.9
    assert metrics[f"own: {folder.name}/majority/floor/mcc"]["value"] == 0


@pytest.mark.slow
def test_own_contigs_and_what_a_bert_makes_of_them(folder):
    sample = fetch("sample")
    files = {"fasta": ("chr19.fa.gz", "chr22.fa.gz"), "annotation": ("chr19.gff3.gz", "chr22.gtf.gz")}
    own = {name: ",".join(str(sample[file]) for file in both) for name, both in files.items()}
    few = {"word2vec": 0, "windows": 60, "about": 10, "resamples": 20, "masked_windows": 4, "sites": 2, "tracks": ""}
    done = papermill(folder, "10_read_the_grammar", **own, **few, out="my_grammar")
    assert done.returncode == 0, done.stderr[-2000:]
    record = load_record(folder / "my_grammar")
    assert record["data"]["annotation"]["genes"] > 100
    assert any(note.startswith("models is empty: small ones") for note in record["notes"])
    assert any(note.startswith("nothing to tell CpG islands, repeats by") for note in record["notes"])


def test_half_of_a_pair_is_refused_with_one_clear_line(folder):
    done = papermill(folder, "01_extract_genes", fasta="my.fa", out="nothing")
    assert done.returncode == 1
    assert (
        "InputError: fasta and annotation go together, one annotation a FASTA or one for all: found 1 and 0 files"
        in done.stderr
    )
    assert not (folder / "nothing").exists()
