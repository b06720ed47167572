"""Tracks: read with a genome and checked against it; transcription starts and splice sites from annotation."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import yaml

from dnastudy.files import InputError
from dnastudy.genes import decode, encode, read_annotation, read_fasta, reverse_complement
from dnastudy.genes.annotation import annotated_starts, splice_sites, transcription_starts
from dnastudy.genes.tracks import read_regions, read_tracks

SEQUENCE = "ACGTTGCAAC" * 30
GENOME = {"chr1": encode(SEQUENCE), "chr2": encode("A" * 80)}
ELEMENTS = pd.DataFrame(
    [  # the middle is the summit, unless the element ends within half a sequence of it
        ("1", 100, 180, 140, SEQUENCE[130:150], "K562_ENC1", "training"),
        ("chr1", 100, 180, 105, SEQUENCE[100:120], "HepG2_ENC2", "test"),
        ("chr1", 100, 180, 178, SEQUENCE[160:180], "HepG2_ENC2", "validation"),
        ("chr9", 100, 180, 140, "C" * 20, "K562_ENC1", "training"),
    ],
    columns=["chr", "start", "end", "summit", "sequence", "TAG", "data_label"],
)
MEMBERS = {
    "ctcf.bed": "chr2\t10\t20\nchr1\t30\t45\nchr1\t5\t9\nchr9\t1\t2\n",
    "cpg.bed": "chr1\t40\t60\tCpG_3\n",
    "elements.tsv": ELEMENTS.to_csv(sep="\t", index=False),
    "motif.pfm": ">MA0139.1 MA0139.1.CTCF\n1 2\n3 4\n5 6\n7 8\n",
    "consensus.fa": ">Alu  \nggcc\n>MIR\nacrg\n",
}
CHAIN = "chain 1 chr1 300 + 0 40 chr2 80 + 40 80 1\n40\n\nchain 1 chr2 80 + 0 15 chr1 300 + 0 15 2\n15\n"


def dataset(folder, members):
    """A manifest of these files, in the folder."""
    entries = {}
    for name, content in members.items():
        (folder / f"raw-{name}").write_text(content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        entries[name] = {"kind": "table", "sha256": digest, "sources": [{"file": f"raw-{name}"}]}
    manifest = {"name": "tiny", "title": "t", "description": "d", "licence": "l", "members": entries}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))
    return path


@pytest.fixture(autouse=True)
def data(request, monkeypatch):
    """Give each test a folder of its own for what it fetches; those on whole chromosomes take the user's."""
    if not request.node.get_closest_marker("data"):
        monkeypatch.setenv("DNASTUDY_DATA", str(request.getfixturevalue("tmp_path") / "data"))


def rows(table):
    return list(table.itertuples(index=False, name=None))


def test_tracks_of_a_genome_are_read_and_counted(tmp_path):
    tracks = read_tracks(dataset(tmp_path, MEMBERS), GENOME)
    assert rows(tracks.ctcf[["contig", "start", "end"]]) == [("chr1", 5, 9), ("chr1", 30, 45), ("chr2", 10, 20)]
    assert rows(tracks.cpg[["contig", "start", "end"]]) == [("chr1", 40, 60)]
    assert rows(tracks.elements) == [
        ("chr1", 130, 150, "K562", "train", SEQUENCE[130:150]),
        ("chr1", 100, 120, "HepG2", "test", SEQUENCE[100:120]),
        ("chr1", 160, 180, "HepG2", "validation", SEQUENCE[160:180]),
        ("chr9", 130, 150, "K562", "train", "C" * 20),
    ]
    assert (tracks.motif.name, tracks.motif.counts.shape) == ("CTCF", (2, 4))
    assert {name: codes.tolist() for name, codes in tracks.consensus.items()} == {
        "Alu": [2, 2, 1, 1],
        "MIR": [0, 1, 4, 2],
    }
    sources = tracks.facts.pop("sources")
    assert tracks.facts == {
        "ctcf": {"read": 4, "other_contigs": 1, "kept": 3},
        "cpg": {"read": 1, "other_contigs": 0, "kept": 1},
        "elements": {"read": 4, "same_as_genome": 3},
        "consensus": {"families": 2, "bases": 8},
    }
    assert sources["cpg.bed"] == {
        "sha256": hashlib.sha256(MEMBERS["cpg.bed"].encode()).hexdigest(),
        "source": "file raw-cpg.bed",
    }


def test_a_dataset_without_tracks_is_refused(tmp_path):
    some = {name: content for name, content in MEMBERS.items() if not name.startswith(("ctcf", "motif"))}
    with pytest.raises(InputError, match=r"tiny.yaml: no member ctcf, motif; expected a dataset of tracks, with ctcf"):
        read_tracks(dataset(tmp_path, some), GENOME)


def test_a_track_of_another_assembly_is_lifted(tmp_path):
    tracks = read_tracks(dataset(tmp_path, MEMBERS | {"chain.txt": CHAIN}), GENOME)
    assert rows(tracks.ctcf[["contig", "start", "end"]]) == [("chr2", 45, 49)]
    assert tracks.facts["ctcf"] == {
        "read": 4,
        "lifted": 1,
        "across_blocks": 2,
        "not_covered": 1,
        "other_contigs": 0,
        "kept": 1,
    }


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("ctcf.bed", "chr1\t5\t9\nchr2\t70\t81\n", r"ctcf.bed, line 2: expected an interval inside chr2, .* 80 bases"),
        ("cpg.bed", "#x\nchr1\t299\t301\n", r"cpg.bed, line 2: expected an interval inside chr1, .* found 299 to 301"),
        ("cpg.bed", "chr1\t9\t5\n", r"cpg.bed, line 1: expected an interval inside chr1, .* found 9 to 5"),
        ("cpg.bed", "chr3\t5\t9\n", r"cpg.bed: no interval on chr1, chr2; found chr3"),
        (
            "elements.tsv",
            MEMBERS["elements.tsv"].replace(f"105\t{SEQUENCE[100:120]}", f"105\t{'C' * 20}"),
            r"elements.tsv, line 3: expected the sequence that chr1 has at 101 to 120; found another",
        ),
        (
            "elements.tsv",
            MEMBERS["elements.tsv"].replace("100\t180\t140", "1000\t1080\t1040"),
            r"elements.tsv, line 2: expected an interval inside chr1, which has 300 bases; found 1,030 to 1,050",
        ),
        ("elements.tsv", "chr\tstart\n", r"elements.tsv: cannot be read as elements .*; expected columns chr, start"),
        ("motif.pfm", ">MA1 X\n", r"motif.pfm: no motif 'MA0139.1'"),
    ],
)
def test_bad_tracks_are_refused(tmp_path, member, content, message):
    with pytest.raises(InputError, match=message):
        read_tracks(dataset(tmp_path, MEMBERS | {member: content}), GENOME)


def test_named_regions_are_read(tmp_path):
    path = tmp_path / "states.bed"
    path.write_text("chr1\t20\t30\t1_TSS\t0\t.\nchr9\t0\t5\t2_Enh\n2\t0\t10\t2_Enh\n")
    assert rows(read_regions(path, GENOME)) == [("chr1", 20, 30, "1_TSS"), ("chr2", 0, 10, "2_Enh")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "chr1\t20\t30\ta\nchr1\t40\t50\n",
            r"states.bed, line 2: expected .* a name in its fourth column; found none",
        ),
        ("chr1\t20\t301\ta\n", r"states.bed, line 1: expected an interval inside chr1, which has 300 bases"),
    ],
)
def test_bad_regions_are_refused(tmp_path, content, message):
    path = tmp_path / "states.bed"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_regions(path, GENOME)


# Two coding genes of three exons, on either strand; one transcript more of each; and a gene that codes for nothing.
GFF3 = """\
##gff-version 3
1\t.\tgene\t11\t90\t.\t+\t.\tID=gene:G1;Name=ABC;biotype=protein_coding
1\t.\tmRNA\t11\t90\t.\t+\t.\tID=transcript:T1;Parent=gene:G1;biotype=protein_coding
1\t.\texon\t11\t20\t.\t+\t.\tParent=transcript:T1
1\t.\texon\t31\t40\t.\t+\t.\tParent=transcript:T1
1\t.\texon\t61\t90\t.\t+\t.\tParent=transcript:T1
1\t.\tCDS\t15\t20\t.\t+\t.\tParent=transcript:T1
1\t.\tmRNA\t11\t90\t.\t+\t.\tID=transcript:T2;Parent=gene:G1;biotype=protein_coding
1\t.\texon\t11\t20\t.\t+\t.\tParent=transcript:T2
1\t.\texon\t61\t90\t.\t+\t.\tParent=transcript:T2
1\t.\tCDS\t15\t20\t.\t+\t.\tParent=transcript:T2
1\t.\tgene\t101\t190\t.\t-\t.\tID=gene:G2;Name=DEF;biotype=protein_coding
1\t.\tmRNA\t101\t190\t.\t-\t.\tID=transcript:T3;Parent=gene:G2;biotype=protein_coding
1\t.\texon\t151\t190\t.\t-\t.\tParent=transcript:T3
1\t.\texon\t101\t120\t.\t-\t.\tParent=transcript:T3
1\t.\tCDS\t151\t180\t.\t-\t.\tParent=transcript:T3
1\t.\tmRNA\t101\t170\t.\t-\t.\tID=transcript:T4;Parent=gene:G2;biotype=protein_coding
1\t.\texon\t101\t170\t.\t-\t.\tParent=transcript:T4
1\t.\tCDS\t151\t170\t.\t-\t.\tParent=transcript:T4
1\t.\tncRNA_gene\t201\t290\t.\t+\t.\tID=gene:G3;biotype=lncRNA
1\t.\tlnc_RNA\t201\t290\t.\t+\t.\tID=transcript:T5;Parent=gene:G3;biotype=lncRNA
1\t.\texon\t201\t220\t.\t+\t.\tParent=transcript:T5
1\t.\texon\t251\t290\t.\t+\t.\tParent=transcript:T5
"""


@pytest.mark.parametrize("typed", [True, False])
def test_starts_are_those_of_whole_coding_transcripts(tmp_path, typed):
    """A file without types, as NCBI writes them, gives the same."""
    path = tmp_path / "a.gff3"
    path.write_text(GFF3 if typed else GFF3.replace(";biotype=protein_coding", "").replace(";biotype=lncRNA", ""))
    # T4 begins with its CDS: its 5' end is missing.
    assert rows(transcription_starts(read_annotation(path))) == [
        ("chr1", 10, "+", "G1", "ABC"),
        ("chr1", 189, "-", "G2", "DEF"),
    ]


def test_annotated_starts_are_those_of_every_transcript(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text(GFF3)
    # T1 and T2 begin at one place; T4's 5' end is missing, and T5 codes for nothing.
    assert rows(annotated_starts(read_annotation(path))) == [("chr1", 10), ("chr1", 189), ("chr1", 169), ("chr1", 200)]


def test_splice_sites_are_borders_of_coding_exons(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text(GFF3)
    assert rows(splice_sites(read_annotation(path))) == [
        ("chr1", 20, "+", "donor", "G1"),
        ("chr1", 30, "+", "acceptor", "G1"),
        ("chr1", 40, "+", "donor", "G1"),
        ("chr1", 60, "+", "acceptor", "G1"),
        ("chr1", 120, "-", "acceptor", "G2"),
        ("chr1", 150, "-", "donor", "G2"),
    ]


def test_the_embedded_tracks_lie_on_the_sample(sample):
    files = [sample["chr19.fa.gz"], sample["chr22.fa.gz"]]
    genome = {record.name: record.codes for path in files for record in read_fasta(path)}
    tracks = read_tracks("regulation-sample", genome)
    assert tracks.ctcf["contig"].value_counts(sort=False).tolist() == [277, 135]
    assert tracks.cpg["contig"].value_counts(sort=False).tolist() == [110, 35]
    assert tracks.elements.groupby(["cell", "split"]).size().tolist() == [50] * 12
    assert len(tracks.consensus) == 66
    island, elsewhere = [], []
    for row in tracks.cpg.itertuples():
        island.append(decode(genome[row.contig][row.start : row.end]).count("CG") / (row.end - row.start))
        away = genome[row.contig][row.end + 5000 : row.end + 6000]
        elsewhere.append(decode(away).count("CG") / 1000)
    assert np.mean(island) > 3 * np.mean(elsewhere)


def ends_of_introns(codes, sites):
    """Two bases of the intron at each site, in the direction of the gene."""
    found = []
    for row in sites.itertuples():
        left = (row.kind == "acceptor") == (row.strand == "+")  # whether the intron lies left of the border
        bases = codes[row.border - 2 : row.border] if left else codes[row.border : row.border + 2]
        found.append(decode(bases if row.strand == "+" else reverse_complement(bases)))
    return pd.Series(found, index=sites["kind"])


@pytest.mark.parametrize(
    ("annotation", "fasta", "starts", "sites"),
    [
        ("chr19.gff3.gz", "chr19.fa.gz", 252, {"donor": 719, "acceptor": 715}),
        ("chr22.gtf.gz", "chr22.fa.gz", 98, {"donor": 256, "acceptor": 239}),
    ],
)
def test_sites_of_the_sample_have_the_bases_of_introns(sample, annotation, fasta, starts, sites):
    table = read_annotation(sample[annotation])
    assert len(transcription_starts(table)) == starts
    found = splice_sites(table)
    assert found["kind"].value_counts().to_dict() == sites
    ends = ends_of_introns(next(read_fasta(sample[fasta])).codes, found)
    assert ends["donor"].isin(["GT", "GC", "AT"]).mean() > 0.98
    assert ends["acceptor"].isin(["AG", "AC"]).mean() > 0.98


@pytest.mark.data
@pytest.mark.slow
def test_tracks_of_the_real_chromosomes(chromosomes):
    genome = {name: next(read_fasta(chromosomes[f"{name}.fa"])).codes for name in ("chr19", "chr22")}
    tracks = read_tracks("regulation-hg38", genome)
    assert tracks.facts["ctcf"] == {
        "read": 162_209,
        "lifted": 161_812,
        "across_blocks": 387,
        "not_covered": 10,
        "other_contigs": 153_053,
        "kept": 8_759,
    }
    assert tracks.cpg["contig"].value_counts().to_dict() == {"chr19": 2_492, "chr22": 737}
    assert tracks.facts["elements"] == {"read": 47_872, "same_as_genome": 1_959}
    assert tracks.elements["split"].value_counts().to_dict() == {"train": 39_254, "test": 4_565, "validation": 4_053}
    assert set(tracks.elements["contig"][tracks.elements["split"] == "test"]) == {"chr1"}
    assert tracks.elements["cell"].value_counts().to_dict() == dict.fromkeys(
        ("GM12878", "HepG2", "K562", "hESCT0"), 11_968
    )


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coding", "complete", "donors", "acceptors"),
    [
        (
            "chr19.gff3",
            5_657,
            4_761,
            {"GT": 12_462, "GC": 221, "AT": 32, "all": 12_851},
            {"AG": 12_426, "AC": 20, "all": 12_594},
        ),
        (
            "chr22.gtf",
            1_676,
            1_477,
            {"GT": 4_450, "GC": 59, "AT": 2, "all": 4_517},
            {"AG": 4_379, "AC": 2, "all": 4_386},
        ),
    ],
)
def test_real_starts_and_splice_sites(chromosomes, name, coding, complete, donors, acceptors):
    table = read_annotation(chromosomes[name])
    whole = table._replace(transcripts=table.transcripts.assign(complete=True))
    assert (len(transcription_starts(whole)), len(transcription_starts(table))) == (coding, complete)
    ends = ends_of_introns(next(read_fasta(chromosomes[f"{name[:5]}.fa"])).codes, splice_sites(table))
    for kind, expected in (("donor", donors), ("acceptor", acceptors)):
        found = ends[kind].value_counts().to_dict() | {"all": len(ends[kind])}
        assert {bases: found[bases] for bases in expected} == expected
