"""The embedded samples are what their script cuts out of verified files, and small."""

import gzip
import importlib.util

import pytest

from dnastudy.genes import fetch, read_annotation, read_fasta
from dnastudy.genes.manifest import MANIFESTS

FOLDER = MANIFESTS / "sample"


def test_the_sample_needs_no_network_and_about_a_megabyte(sample, tmp_path):
    names = ["chr19.fa.gz", "chr19.gff3.gz", "chr22.fa.gz", "chr22.gtf.gz", "repeats.bed.gz"]
    names += ["snps.vcf.gz", "verses.txt.gz"]
    assert sorted(sample) == names
    assert 0.8e6 < sum(path.stat().st_size for path in FOLDER.iterdir()) < 1.2e6
    tracks = fetch("regulation-sample", dest=tmp_path)
    assert sorted(tracks) == ["consensus.fa", "cpg.bed.gz", "ctcf.bed.gz", "elements.tsv.gz", "motif.pfm"]


def test_its_contigs_say_where_they_were_cut(sample):
    records = [record for name in ("chr19.fa.gz", "chr22.fa.gz") for record in read_fasta(sample[name])]
    assert [(record.name, len(record.codes), record.changes["unknown"]) for record in records] == [
        ("chr19:10000001-12000000", 2_000_000, 0),
        ("chr22:37500001-38400000", 900_000, 0),
    ]


def test_its_genes_are_real_and_whole(sample):
    tables = [read_annotation(sample[name]) for name in ("chr19.gff3.gz", "chr22.gtf.gz")]
    coding = [table.genes.query("type == 'protein_coding'") for table in tables]
    assert [len(table) for table in coding] == [70, 27]
    assert {"LDLR", "DNMT1", "SMARCA4", "TYK2", "EPOR"} <= set(coding[0]["symbol"])
    assert {"LGALS1", "SOX10", "GALR3"} <= set(coding[1]["symbol"])
    ldlr = coding[0].set_index("symbol").loc["LDLR"]
    assert (ldlr["start"] + 10_000_001, ldlr["end"] + 10_000_000) == (11_089_362, 11_133_816)


@pytest.mark.data
@pytest.mark.slow
def test_the_script_cuts_the_same_again():
    spec = importlib.util.spec_from_file_location("cut_sample", MANIFESTS / "cut_sample.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    contents = script.sample()
    assert sorted(f"{name}.gz" for name in contents) == sorted(path.name for path in FOLDER.iterdir())
    for name, content in contents.items():
        assert gzip.decompress((FOLDER / f"{name}.gz").read_bytes()) == content, name
