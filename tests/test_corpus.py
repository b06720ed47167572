"""The corpus folder, and windows that sample it."""

import itertools
import json
import shutil
from functools import partial

import numpy as np
import pytest
from periodic_corpus import periodic_corpus

from dnastudy.files import InputError
from dnastudy.genes import Corpus, decode, load_sequences, whole_genes, windows


def test_a_corpus_reads_back_from_its_folder(corpus):
    again = Corpus.load(corpus.folder)
    assert len(again) == 96
    assert {name: len(again.indices(name)) for name in ("train", "validation", "test")} == {
        "train": 63,
        "validation": 6,
        "test": 27,
    }
    assert again.all_codes.dtype == np.uint8 and again.offsets.dtype == np.int64
    assert again.offsets[-1] == len(again.all_codes) == 2_385_987
    assert list(again.genes.columns) == [
        "id",
        "symbol",
        "type",
        "contig",
        "start",
        "end",
        "strand",
        "locus",
        "tss",
    ]
    gene = int(np.flatnonzero(again.genes["symbol"] == "LDLR")[0])
    assert len(again.codes(gene)) == 44_455
    assert again.sequences("test")[0] == decode(again.codes(int(again.indices("test")[0])))


def test_genes_stand_in_the_order_of_the_genome(corpus):
    genes = corpus.genes
    assert genes["locus"].is_monotonic_increasing
    for _, on_contig in genes.groupby("contig", sort=False):
        assert on_contig["start"].is_monotonic_increasing
    assert (genes["end"] - genes["start"] == np.diff(corpus.offsets)).all()


def test_a_locus_lies_in_one_split_and_holds_all_that_overlap(corpus):
    genes = corpus.genes.assign(split=corpus.split)
    assert (genes.groupby("locus")["split"].nunique() == 1).all()
    loci = genes.groupby("locus").agg(contig=("contig", "first"), start=("start", "min"), end=("end", "max"))
    for (_, left), (_, right) in itertools.pairwise(loci.iterrows()):
        assert left["contig"] != right["contig"] or left["end"] <= right["start"]


def test_intervals_are_sorted_and_inside_genes(corpus):
    assert set(corpus.intervals["kind"]) == {"cds", "exon", "repeat", "shared"}
    for kind, table in corpus.intervals.groupby("kind"):
        starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
        assert (starts < ends).all() and (ends[:-1] <= starts[1:]).all()
        first = np.searchsorted(corpus.offsets, starts, side="right")
        assert (ends <= corpus.offsets[first]).all(), kind
        assert corpus.inside(kind).sum() == (ends - starts).sum()
    assert not (corpus.inside("cds") & ~corpus.inside("exon")).any()
    assert not corpus.inside("nothing of the kind").any()


def test_an_unknown_split_is_refused(corpus):
    with pytest.raises(InputError, match="no split 'valid'; expected one of train, validation, test"):
        corpus.sequences("valid")


def test_a_split_without_genes_is_refused_wherever_it_is_asked_for(tmp_path):
    corpus = periodic_corpus(tmp_path / "corpus", split=[0, 0, 0, 0, 1, 1, 1, 1])
    for ask in (corpus.indices, corpus.sequences, corpus.spans, partial(windows, corpus), partial(whole_genes, corpus)):
        with pytest.raises(InputError, match=r"corpus: no test genes; extract it with a test split"):
            ask("test")


@pytest.fixture
def copy(corpus, tmp_path):
    return shutil.copytree(corpus.folder, tmp_path / "copy")


@pytest.mark.parametrize("name", ["codes.npy", "offsets.npy", "split.npy", "genes.parquet", "intervals.parquet"])
def test_a_missing_or_changed_file_is_refused(copy, name):
    path = copy / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: changed since the corpus was made; expected sha256 \w+, found"):
        Corpus.load(copy)
    path.unlink()
    with pytest.raises(InputError, match=rf"{name}: missing from the corpus; extract it again"):
        Corpus.load(copy)


def test_a_folder_that_is_no_corpus_is_refused(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match=rf"{folder}: no corpus there; expected a folder as notebook 01"):
            Corpus.load(folder)
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        Corpus.load(tmp_path)


def test_corpus_json_names_no_folder(corpus):
    text = (corpus.folder / "corpus.json").read_text()
    assert str(corpus.folder.parent) not in text
    assert json.loads(text)["inputs"]["repeats"][0]["file"] == "repeats.bed.gz"


def genomic(corpus, chosen):
    """Genomic place of each window, by contig."""
    for row in chosen.itertuples():
        gene = corpus.genes.iloc[row.gene]
        first, last = row.start - corpus.offsets[row.gene], row.end - corpus.offsets[row.gene]
        if gene["strand"] == "+":
            yield gene["contig"], gene["start"] + first, gene["start"] + last
        else:
            yield gene["contig"], gene["end"] - last, gene["end"] - first


@pytest.mark.parametrize(("length", "count"), [(1024, 100), (1024, 1000), (20, 3000), (50_000, 40)])
def test_windows_take_no_genomic_base_twice(corpus, length, count):
    chosen = windows(corpus, "test", length=length, count=count)
    places = sorted(genomic(corpus, chosen))
    for (contig, _, end), (other, start, _) in itertools.pairwise(places):
        assert contig != other or end <= start
    sizes = np.diff(corpus.offsets)[chosen["gene"]]
    assert (chosen["end"] - chosen["start"] == np.minimum(length, sizes)).all()
    assert (chosen["start"] >= corpus.offsets[chosen["gene"]]).all()
    assert (chosen["end"] <= corpus.offsets[chosen["gene"] + 1]).all()
    assert (chosen["locus"].to_numpy() == corpus.genes["locus"].to_numpy()[chosen["gene"]]).all()
    assert set(corpus.split[chosen["gene"]]) == {2}


def test_windows_fall_on_loci_by_their_length(corpus):
    chosen = windows(corpus, "train", length=10, count=4000)
    genes = corpus.genes.iloc[corpus.indices("train")]
    bounds = genes.groupby("locus").agg(start=("start", "min"), end=("end", "max"))
    length = bounds["end"] - bounds["start"]
    expected = 4000 * length / length.sum()
    found = chosen["locus"].value_counts().reindex(length.index, fill_value=0)
    assert (found - expected).abs().max() <= 2


def test_windows_depend_on_the_seed_alone(corpus):
    first = windows(corpus, "test", count=50)
    assert first.equals(windows(corpus, "test", count=50))
    assert not first.equals(windows(corpus, "test", count=50, seed=1))


def test_windows_of_ready_sequences(tmp_path):
    for name, sequence in (("train", "ACGT"), ("validation", "GG"), ("test", "TTTTTTTTTT")):
        (tmp_path / f"{name}.fa").write_text(f">a\n{sequence}\n>b\n{sequence}{sequence}\n")
    corpus = load_sequences(tmp_path / "corpus", **{n: tmp_path / f"{n}.fa" for n in ("train", "validation", "test")})
    chosen = windows(corpus, "test", length=4, count=6)
    assert chosen["gene"].tolist() == [4, 4, 5, 5, 5, 5]
    assert (chosen["end"] - chosen["start"] == 4).all()
    whole = windows(corpus, "test", length=50, count=6)
    assert whole.values.tolist() == [[4, 18, 28, 4], [5, 28, 48, 5]]


def test_whole_genes_are_windows_too(corpus):
    chosen = whole_genes(corpus, "validation")
    assert chosen["gene"].tolist() == corpus.indices("validation").tolist()
    assert chosen[["start", "end"]].values.tolist() == corpus.spans("validation").tolist()
    assert corpus.cut(chosen) == corpus.sequences("validation")
    assert corpus.cut(chosen.assign(end=chosen["start"] + 3)) == [s[:3] for s in corpus.sequences("validation")]


def test_windows_without_bases_are_refused(corpus):
    with pytest.raises(InputError, match="expected length and count of 1 or more, found 0 and 1000"):
        windows(corpus, "test", length=0)
