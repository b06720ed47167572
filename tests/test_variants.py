"""dnastudy.genes.variants: single-base variants, from a file to the base of a gene."""

import gzip

import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.genes import extract_genes, place_variants, read_variants

VCF = (
    "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    "1\t3\trs1\tG\tA\t.\t.\t.\n"
    "chr1\t4\trs2\tt\tc\t.\t.\t#\n\n"
    "1\t5\tinsertion\tA\tAT\t.\t.\t.\n"
    "1\t6\ttwo\tC\tG,T\t.\t.\t.\n"
    "2\t7\telsewhere\tG\tA\t.\t.\t.\n"
    "1\t15\trs3\tA\tC\n"
    "1\t16\trs4\tG\tC\n"
)
#        0123456789012345678901
CONTIG = "ACGTACGTACTTTTAAGGCCTA"
GTF = '1\t.\tgene\t{}\t{}\t.\t{}\t.\tgene_id "{}"; gene_type "protein_coding";\n'


@pytest.fixture
def tiny(tmp_path):
    """Two genes of a tiny contig: bases 3-8 forward, 13-20 on the reverse strand; both in test."""
    (tmp_path / "a.fa").write_text(f">1\n{CONTIG}\n>2\n{CONTIG}\n")
    here = GTF.format(3, 8, "+", "f") + GTF.format(13, 20, "-", "r")
    there = GTF.replace("1\t", "2\t", 1)
    rest = there.format(1, 9, "+", "train") + there.format(11, 20, "+", "validation")
    (tmp_path / "a.gtf").write_text(here + rest)
    files = [tmp_path / "a.fa"], [tmp_path / "a.gtf"]
    return extract_genes(*files, tmp_path / "corpus", test_contigs=["1"], validation=0.5)


def test_single_base_variants_are_read_from_vcf_and_parquet(tmp_path):
    expected = [("chr1", 2, "rs1", "G", "A"), ("chr1", 3, "rs2", "T", "C"), ("chr1", 14, "rs3", "A", "C")]
    (tmp_path / "a.vcf").write_text(VCF)
    (tmp_path / "b.vcf.gz").write_bytes(gzip.compress(VCF.encode()))
    table = pd.DataFrame(expected, columns=["_labels", "_starts", "ID", "ref", "alt"]).astype({"ref": "category"})
    table[["ID", "ref", "alt", "_labels", "_starts"]].to_parquet(tmp_path / "c.parquet")
    for name in ("a.vcf", "b.vcf.gz", "c.parquet"):
        found = read_variants(tmp_path / name, {"chr1"})
        assert list(found.columns) == ["contig", "position", "id", "ref", "alt"]
        assert list(found.itertuples(index=False, name=None))[:3] == expected
    assert read_variants(tmp_path / "a.vcf", {"chr3"}).empty
    assert read_variants(tmp_path / "a.vcf")["contig"].tolist() == ["chr1", "chr1", "chr2", "chr1", "chr1"]


def test_a_variant_is_found_on_its_genes_own_strand(tmp_path, tiny):
    (tmp_path / "a.vcf").write_text(VCF)
    placed = place_variants(tiny, read_variants(tmp_path / "a.vcf", {"chr1"}))
    assert placed["id"].tolist() == ["rs1", "rs2", "rs4", "rs3"]
    forward, reverse = tiny.genes["id"].tolist().index("f"), tiny.genes["id"].tolist().index("r")
    assert placed["gene"].tolist() == [forward] * 2 + [reverse] * 2
    # The reverse gene is CCGGTTTTAA, read backwards from base 20: T C ... its third and fourth last.
    inside = (placed["place"] - tiny.offsets[placed["gene"]]).tolist()
    assert inside == [0, 1, 4, 5]
    assert placed["ref"].tolist() == ["G", "T", "C", "T"]
    assert placed["alt"].tolist() == ["A", "C", "G", "G"]
    assert placed["agrees"].tolist() == [True, True, False, True]


def test_no_variant_in_a_gene_is_an_empty_table(tmp_path, tiny):
    (tmp_path / "a.vcf").write_text("1\t1\tx\tA\tC\n")
    placed = place_variants(tiny, read_variants(tmp_path / "a.vcf", {"chr1"}))
    assert placed.empty and placed["agrees"].dtype == bool


def test_the_samples_variants_agree_with_its_genes(corpus, sample):
    placed = place_variants(corpus, read_variants(sample["snps.vcf.gz"], set(corpus.genes["contig"])))
    assert (len(placed), placed["agrees"].all(), placed["id"].is_unique) == (75, True, True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vcf", b"#x\n1\tthree\tx\tA\tC\n", r"a.vcf, line 2: expected contig, position, id, ref, alt between tabs"),
        ("a.vcf", b"1\t3\tx\tA\n", r"a.vcf, line 1: .* found '1\\t3\\tx\\tA'"),
        ("a.vcf", gzip.compress(VCF.encode() * 9)[:-12], r"a.vcf: truncated or damaged gzip"),
        ("a.vcf", b"\xe9\xff", r"a.vcf: cannot be read as variants"),
        ("a.parquet", b"1\t3\tx\tA\tC\n", r"a.parquet: cannot be read as variants"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_variants(tmp_path / name, {"chr1"})


def test_a_parquet_file_of_other_columns_is_refused(tmp_path):
    pd.DataFrame({"chrom": ["chr1"], "alt": ["A"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column 'ID'; expected _labels, _starts, ID, ref, alt"):
        read_variants(tmp_path / "a.parquet", {"chr1"})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.vcf: cannot be read as variants"):
        read_variants(tmp_path / "absent.vcf", {"chr1"})
