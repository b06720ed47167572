"""GTF and GFF3 to tables: dialects, coordinates, transcription starts, introns, and every refusal."""

import gzip

import numpy as np
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.genes import decode, read_fasta, reverse_complement
from dnastudy.genes.annotation import check_ends, read_annotation

# Two genes of one story in each dialect: G1 forward with a spliced coding transcript, G2 reverse, non-coding.
ENSEMBL_GFF3 = """\
##gff-version 3
#!genome-build GRCh38
19\tEnsembl\tchromosome\t1\t5000\t.\t.\t.\tID=chromosome:19;Alias=CM000681.2
19\thavana\tgene\t101\t900\t.\t+\t.\tID=gene:G1;Name=ABC1;biotype=protein_coding;description=a%3Bb # c
19\thavana\tmRNA\t101\t900\t.\t+\t.\tID=transcript:T1;Parent=gene:G1;Name=ABC1-201;biotype=protein_coding
19\thavana\texon\t101\t300\t.\t+\t.\tParent=transcript:T1;Name=E1
19\thavana\texon\t501\t900\t.\t+\t.\tParent=transcript:T1;Name=E2
19\thavana\tCDS\t151\t300\t.\t+\t0\tID=CDS:P1;Parent=transcript:T1
19\thavana\tCDS\t501\t600\t.\t+\t0\tID=CDS:P1;Parent=transcript:T1
###
19\thavana\tncRNA_gene\t2001\t2500\t.\t-\t.\tID=gene:G2;biotype=lincRNA
19\thavana\tlnc_RNA\t2001\t2500\t.\t-\t.\tID=transcript:T2;Parent=gene:G2;biotype=lincRNA
19\thavana\texon\t2001\t2500\t.\t-\t.\tParent=transcript:T2
##FASTA
>19
ACGT
"""
GENCODE_GTF = """\
#description: evidence-based annotation
chr19\tHAVANA\tgene\t101\t900\t.\t+\t.\tgene_id "G1"; gene_type "protein_coding"; gene_name "ABC1"; level 2;
chr19\tHAVANA\ttranscript\t101\t900\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; gene_type "protein_coding"; \
transcript_type "protein_coding"; tag "basic";
chr19\tHAVANA\texon\t101\t300\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; exon_number 1;
chr19\tHAVANA\tCDS\t151\t300\t.\t+\t0\tgene_id "G1"; transcript_id "T1"; exon_number 1;
chr19\tHAVANA\tstart_codon\t151\t153\t.\t+\t0\tgene_id "G1"; transcript_id "T1"; exon_number 1;
chr19\tHAVANA\texon\t501\t900\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; exon_number 2;
chr19\tHAVANA\tCDS\t501\t600\t.\t+\t0\tgene_id "G1"; transcript_id "T1"; exon_number 2;
chr19\tHAVANA\tgene\t2001\t2500\t.\t-\t.\tgene_id "G2"; gene_type "lincRNA"; level 2;
chr19\tHAVANA\ttranscript\t2001\t2500\t.\t-\t.\tgene_id "G2"; transcript_id "T2"; transcript_type "lincRNA";
chr19\tHAVANA\texon\t2001\t2500\t.\t-\t.\tgene_id "G2"; transcript_id "T2"; exon_number 1;
"""
ENSEMBL_GTF = GENCODE_GTF.replace("chr19", "19").replace("_type", "_biotype")
NCBI_GFF3 = """\
##gff-version 3
chr19\tRefSeq\tgene\t101\t900\t.\t+\t.\tID=gene-ABC1;Name=ABC1;gene=ABC1;gene_biotype=protein_coding
chr19\tRefSeq\tmRNA\t101\t900\t.\t+\t.\tID=rna-T1;Parent=gene-ABC1
chr19\tRefSeq\texon\t101\t900\t.\t+\t.\tID=exon-1;Parent=rna-T1
chr19\tRefSeq\tCDS\t151\t300\t.\t+\t0\tID=cds-1;Parent=rna-T1
"""
PLACE = ["contig", "start", "end", "strand"]


def write(folder, content, name="genes.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


@pytest.mark.parametrize("content", [ENSEMBL_GFF3, GENCODE_GTF, ENSEMBL_GTF, GENCODE_GTF.replace("\n", "\r\n")])
def test_dialects_give_the_same_tables(tmp_path, content):
    table = read_annotation(write(tmp_path, content))
    assert rows(table.genes, "id", "symbol", "type", *PLACE) == [
        ("G1", "ABC1", "protein_coding", "chr19", 100, 900, "+"),
        ("G2", "G2", "lincRNA", "chr19", 2000, 2500, "-"),
    ]
    assert rows(table.transcripts, "id", "gene", "type", "tss", "coding", "complete") == [
        ("T1", "G1", "protein_coding", 100, True, True),
        ("T2", "G2", "lincRNA", 2499, False, True),
    ]
    assert rows(table.exons, "gene", "transcript", *PLACE) == [
        ("G1", "T1", "chr19", 100, 300, "+"),
        ("G1", "T1", "chr19", 500, 900, "+"),
        ("G2", "T2", "chr19", 2000, 2500, "-"),
    ]
    assert rows(table.cds, "gene", "start", "end") == [("G1", 150, 300), ("G1", 500, 600)]


def test_an_alias_is_reported(tmp_path):
    assert read_annotation(write(tmp_path, ENSEMBL_GFF3)).aliases == {"chr19": "19"}
    assert read_annotation(write(tmp_path, GENCODE_GTF)).aliases == {}


def test_ncbi_names_are_kept_whole(tmp_path):
    table = read_annotation(write(tmp_path, NCBI_GFF3))
    assert rows(table.genes, "id", "symbol", "type") == [("gene-ABC1", "ABC1", "protein_coding")]
    assert rows(table.cds, "gene", "transcript") == [("gene-ABC1", "rna-T1")]


def test_gzip_is_read(tmp_path):
    assert len(read_annotation(write(tmp_path, gzip.compress(GENCODE_GTF.encode()))).genes) == 2


def test_parts_may_have_several_parents_or_stand_under_the_gene(tmp_path):
    head = "##gff-version 3\n"
    shared = (
        "1\t.\tgene\t1\t90\t.\t-\t.\tID=g\n"
        "1\t.\tmRNA\t1\t90\t.\t-\t.\tID=a;Parent=g\n"
        "1\t.\tmRNA\t1\t60\t.\t-\t.\tID=b;Parent=g\n"
        "1\t.\texon\t1\t60\t.\t-\t.\tParent=a,b\n"
    )
    table = read_annotation(write(tmp_path, head + shared))
    assert rows(table.exons, "gene", "transcript") == [("g", "a"), ("g", "b")]
    bacterial = "1\t.\tgene\t1\t90\t.\t-\t.\tID=g\n1\t.\tCDS\t1\t90\t.\t-\t0\tID=c;Parent=g\n"
    assert rows(read_annotation(write(tmp_path, head + bacterial)).cds, "gene", "transcript") == [("g", "g")]


def test_symbols_are_unescaped(tmp_path):
    content = "##gff-version 3\n1\t.\tgene\t1\t90\t.\t-\t.\tID=g;Name=a%2Cb\n"
    assert read_annotation(write(tmp_path, content)).genes["symbol"].tolist() == ["a,b"]


@pytest.mark.parametrize("tag", ["cds_start_NF", "mRNA_start_NF"])
def test_a_tagged_transcript_has_an_incomplete_start(tmp_path, tag):
    table = read_annotation(write(tmp_path, GENCODE_GTF.replace('tag "basic"', f'tag "{tag}"')))
    assert table.transcripts["complete"].tolist() == [False, True]


@pytest.mark.parametrize(("strand", "first", "last"), [("+", 101, 300), ("-", 301, 900)])
def test_a_transcript_without_a_leader_has_an_incomplete_start(tmp_path, strand, first, last):
    content = NCBI_GFF3.replace("\t+\t", f"\t{strand}\t").replace("CDS\t151\t300", f"CDS\t{first}\t{last}")
    assert read_annotation(write(tmp_path, content)).transcripts["complete"].tolist() == [False]


GENE = 'chr1\tx\tgene\t11\t90\t.\t+\t.\tgene_id "g"; gene_type "protein_coding";\n'
BAD = [
    (GENE.replace("\t+\t", "\tplus\t"), r"line 2: expected a strand of \+ or -, found 'plus'"),
    (GENE.replace("\t+\t", "\t.\t"), r"line 2: expected a strand of \+ or - for a gene, found '\.'"),
    (GENE.replace("\t11\t", "\t0\t"), r"line 2: expected a start of 1 or more, found 0"),
    (GENE.replace("\t11\t", "\t-5\t"), r"line 2: expected a whole number as start, found '-5'"),
    (GENE.replace("\t90\t", "\t9e1\t"), r"line 2: expected a whole number as end, found '9e1'"),
    (GENE.replace("\t90\t", "\t10\t"), r"line 2: expected an end not before the start, found 11-10"),
    (GENE.replace("\tx\t", "\t"), r"line 2: expected nine tab-separated columns, found 8"),
    (GENE.replace("\tx\t", "\tx\ty\t"), r"line 2: expected nine tab-separated columns, found more"),
    (GENE.replace("\t", " "), r"line 2: expected nine tab-separated columns, found 1"),
    (
        GENE.replace('gene_id "g"; gene_type "protein_coding";', "ABC1"),
        r"line 2: expected attributes as .*'ABC1",
    ),
    (GENE.replace("gene_id", "id"), r"line 2: expected an attribute gene_id, found 'id \"g\""),
    (GENE.replace('gene_id "g"; gene_type "protein_coding";', "Name=g"), r"line 2: expected an attribute ID"),
    (GENE.replace("\tgene\t", "\texon\t"), r"line 2: expected an attribute transcript_id"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_bad_lines_are_refused_with_file_and_line(tmp_path, line, message):
    with pytest.raises(InputError, match=rf"genes\.txt, {message}") as caught:
        read_annotation(write(tmp_path, f"# a comment\n{line}{GENE}"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no features"),
        (b"# nothing\n", "found no features"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not readable as tab-separated text"),
        (GENE.replace("gene\t", "region\t", 1), r"found no gene lines \(only region\)"),
        (gzip.compress(GENE.encode() * 100, mtime=0)[:-15], "truncated or damaged gzip file"),
    ],
)
def test_files_without_genes_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_annotation(write(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.gtf: cannot be read \(No such file"):
        read_annotation(tmp_path / "nowhere.gtf")


def test_ends_past_the_contig_are_refused(tmp_path):
    path = write(tmp_path, GENCODE_GTF)
    table = read_annotation(path)
    check_ends(table, "chr19", 2500, path)
    check_ends(table, "chr2", 10, path)
    with pytest.raises(InputError, match=r"genes\.txt, line 9: expected coordinates inside chr19, which has 2,499"):
        check_ends(table, "chr19", 2499, path)


@pytest.fixture(scope="module")
def real(chromosomes):
    """Sequence and tables of both chromosomes."""
    files = {"chr19": ("chr19.fa", "chr19.gff3"), "chr22": ("chr22.fa", "chr22.gtf")}
    return {
        name: (next(read_fasta(chromosomes[fasta])).codes, read_annotation(chromosomes[table]))
        for name, (fasta, table) in files.items()
    }


def cut(codes, start, end, strand):
    return decode(codes[start:end] if strand == "+" else reverse_complement(codes[start:end]))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "genes", "spans", "union", "starts"),
    [("chr19", 1468, 36_233_885, 32_772_644, 5657), ("chr22", 447, 20_625_187, 19_071_100, 1676)],
)
def test_real_genes(real, name, genes, spans, union, starts):
    table = real[name][1]
    coding = table.genes[table.genes["type"] == "protein_coding"]
    assert len(coding) == genes
    assert (coding["end"] - coding["start"]).sum() == spans
    covered = np.zeros(len(real[name][0]), dtype=bool)
    for start, end in zip(coding["start"], coding["end"], strict=True):
        covered[start:end] = True
    assert covered.sum() == union
    transcripts = table.transcripts.query("type == 'protein_coding'")
    assert len(transcripts[["strand", "tss"]].drop_duplicates()) == starts


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "introns", "ends"),
    [
        ("chr19", 15_315, {"GT-AG": 14_868, "GC-AG": 224, "AT-AC": 13}),
        ("chr22", 5_294, {"GT-AG": 5_219, "GC-AG": 63, "AT-AC": 2}),
    ],
)
def test_real_introns_have_splice_sites(real, name, introns, ends):
    """Introns between exons of protein_coding transcripts, once for each start, end and strand."""
    codes, table = real[name]
    chosen = table.transcripts.query("type == 'protein_coding'")["id"]
    exons = table.exons[table.exons["transcript"].isin(chosen)].sort_values("start")
    found = {
        (left, right, strand)
        for (_, strand), parts in exons.groupby(["transcript", "strand"])
        for left, right in zip(parts["end"], parts["start"].iloc[1:], strict=False)
        if left < right
    }
    sequences = [cut(codes, *intron) for intron in found]
    kinds = pd.Series([f"{s[:2]}-{s[-2:]}" for s in sequences]).value_counts()
    assert len(found) == introns
    assert {kind: kinds[kind] for kind in ends} == ends


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coding", "atg", "complete", "complete_atg"),
    [("chr19", 6207, 5491, 5252, 5249), ("chr22", 1887, 1723, 1666, 1657)],
)
def test_real_coding_sequences_begin_with_atg(real, name, coding, atg, complete, complete_atg):
    codes, table = real[name]
    transcripts = table.transcripts.query("type == 'protein_coding'").set_index("id")
    cds = table.cds[table.cds["transcript"].isin(transcripts.index)].sort_values("start", kind="stable")
    starts = {}
    for transcript, parts in cds.groupby("transcript"):
        spliced = np.concatenate([codes[s:e] for s, e in zip(parts["start"], parts["end"], strict=True)])
        starts[transcript] = cut(spliced, 0, len(spliced), parts["strand"].iloc[0])[:3]
    begins = pd.Series(starts) == "ATG"
    whole = transcripts["complete"].loc[begins.index]
    assert (len(begins), begins.sum(), whole.sum(), begins[whole].sum()) == (
        coding,
        atg,
        complete,
        complete_atg,
    )


@pytest.mark.data
def test_real_codons_of_the_gtf(real, chromosomes):
    codes = real["chr22"][0]
    found = {"start_codon": [], "stop_codon": []}
    for line in chromosomes["chr22.gtf"].read_text().splitlines():
        fields = line.split("\t")
        if fields[2:3] and fields[2] in found:
            found[fields[2]].append(cut(codes, int(fields[3]) - 1, int(fields[4]), fields[6]))
    starts = [codon for codon in found["start_codon"] if len(codon) == 3]
    stops = [codon for codon in found["stop_codon"] if len(codon) == 3]
    assert (len(starts), starts.count("ATG")) == (2098, 2088)
    assert (len(stops), {*stops}) == (1883, {"TGA", "TAG", "TAA"})


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "symbol", "start", "end", "strand"),
    [
        ("chr19", "LDLR", 11_089_362, 11_133_816, "+"),
        ("chr19", "APOE", 44_905_754, 44_909_393, "+"),
        ("chr19", "INSR", 7_112_255, 7_294_034, "-"),
        ("chr22", "LGALS1", 37_675_636, 37_679_802, "+"),
        ("chr22", "MAPK1", 21_759_657, 21_867_680, "-"),
        ("chr22", "EP300", 41_092_510, 41_180_077, "+"),
    ],
)
def test_named_genes_lie_where_the_assembly_has_them(real, name, symbol, start, end, strand):
    genes = real[name][1].genes
    (found,) = rows(genes[genes["symbol"] == symbol], "start", "end", "strand")
    assert found == (start - 1, end, strand)
