"""dnastudy.genes.variants: variants, from a file to the base of a contig or gene."""

import gzip

import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.genes import (
    check_assembly,
    check_variants,
    encode,
    extract_genes,
    place_variants,
    read_genome,
    read_variants,
)

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


def checked(tmp_path, lines, genome, **options):
    (tmp_path / "a.vcf").write_text("".join(f"{line}\n" for line in lines))
    return check_variants(read_variants(tmp_path / "a.vcf", every_allele=True), genome, **options)


def test_every_allele_of_a_line_is_a_row(tmp_path):
    # bgzip is gzip in several members, the last of them empty.
    half = len(VCF) // 2
    parts = [gzip.compress(part.encode()) for part in (VCF[:half], VCF[half:], "")]
    (tmp_path / "a.vcf.gz").write_bytes(b"".join(parts))
    found = read_variants(tmp_path / "a.vcf.gz", {"chr1"}, every_allele=True)
    assert found["id"].tolist() == ["rs1", "rs2", "insertion", "two", "two", "rs3", "rs4"]
    assert found["alt"].tolist() == ["A", "C", "AT", "G", "T", "C", "C"]
    assert found.index.tolist() == list(range(7)) and found["position"].tolist() == [2, 3, 4, 5, 5, 14, 15]


def test_each_kind_of_variant_that_cannot_be_scored_is_told(tmp_path):
    genome = {"chr1": encode(CONTIG + "N"), "chrX": encode("ACGT")}
    lines = {
        "1\t3\tsnv\tG\tA": None,
        "chr1\t1\tdeletion\tACGT\tA": None,
        "X\t4\tinsertion\tt\tTcg": None,
        "1\t4\tother\tG\tA": ("T", "not the base in the sequence"),
        "1\t22\tnear\tAN\tA": ("AN", "letters other than A C G T"),
        "1\t23\tn\tA\tC": ("N", "unknown base in the sequence"),
        "1\t22\tlong\tAC\tA": ("AN", "unknown base in the sequence"),
        "1\t23\tout\tAC\tA": ("", "outside the contig"),
        "1\t0\ttelomere\tA\tC": ("", "outside the contig"),
        "2\t1\tlacking\tA\tC": ("", "no such contig"),
        "1\t1\tstar\tA\t*": ("A", "symbolic allele"),
        "1\t1\tsymbol\tA\t<DEL>": ("A", "symbolic allele"),
        "1\t1\tbreakend\tA\tA[2:5[": ("A", "symbolic allele"),
        "1\t1\tnone\tA\t.": ("A", "no alternative allele"),
        "1\t1\tiupac\tA\tR": ("A", "letters other than A C G T"),
        "1\t1\tsame\tA\ta": ("A", "alleles alike"),
        "1\t1\tlonger\tA\tACGTA": ("A", "allele too long"),
    }
    agreeing, refused = checked(tmp_path, lines, genome, longest=4)
    assert agreeing["id"].tolist() == ["snv", "deletion", "insertion"]
    assert list(agreeing.columns) == ["contig", "position", "id", "ref", "alt"]
    told = zip(refused["found"], refused["reason"], strict=True)
    assert dict(zip(refused["id"], told, strict=True)) == {
        line.split("\t")[2]: why for line, why in lines.items() if why
    }


def test_one_alternative_of_a_line_may_be_refused(tmp_path):
    agreeing, refused = checked(tmp_path, ["1\t3\tx\tG\tA,*,GT"], {"chr1": encode(CONTIG)})
    assert (agreeing["alt"].tolist(), refused["alt"].tolist()) == (["A", "GT"], ["*"])


def test_a_sequence_that_disagrees_with_most_is_of_another_assembly(tmp_path):
    lines = ["1\t3\ta\tA\tC", "1\t4\tb\tC\tA", "1\t5\tc\tA\tC", "2\t5\td\tA\tC"]
    agreeing, refused = checked(tmp_path, lines, {"chr1": encode(CONTIG)})
    assert (agreeing["id"].tolist(), refused["id"].tolist()) == (["c"], ["a", "b", "d"])
    message = (
        "a.vcf: at 2 of 3 variants the sequence doesn't have REF (first at chr1, position 3: expected A, found G); "
        "give the assembly that they were called on"
    )
    for listed, more in ((None, ""), ("b.tsv", "; b.tsv lists them")):
        with pytest.raises(InputError) as caught:
            check_assembly(agreeing, refused, "a.vcf", listed)
        assert str(caught.value) == message + more
    check_assembly(*checked(tmp_path, [*lines, "1\t6\te\tC\tT"], {"chr1": encode(CONTIG)}), "a.vcf")
    check_assembly(*checked(tmp_path, lines[3:], {"chr1": encode(CONTIG)}), "a.vcf")


def test_a_vcf_without_variants_has_none(tmp_path):
    agreeing, refused = checked(tmp_path, ["##fileformat=VCFv4.2"], {"chr1": encode(CONTIG)})
    assert agreeing.empty and refused.empty and list(refused.columns)[-2:] == ["found", "reason"]


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


def test_the_samples_variants_agree_with_its_contigs_but_one(sample):
    found = read_genome([sample["chr19.fa.gz"], sample["chr22.fa.gz"]])
    variants = read_variants(sample["snps.vcf.gz"], every_allele=True)
    agreeing, refused = check_variants(variants, {name: codes for name, (codes, _) in found.items()})
    assert len(agreeing) == 359
    assert refused[["id", "ref", "found"]].to_numpy().tolist() == [["rs34089", "G", "A"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vcf", b"#x\n1\tthree\tx\tA\tC\n", r"a.vcf, line 2: expected contig, position, id, ref, alt between tabs"),
        ("a.vcf", b"1\t3\tx\tA\n", r"a.vcf, line 1: .* found '1\\t3\\tx\\tA'"),
        ("a.vcf", gzip.compress(VCF.encode() * 9, mtime=0)[:-12], r"a.vcf: truncated or damaged gzip"),
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
