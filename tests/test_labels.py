import numpy as np
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.genes import read_annotation
from dnastudy.genes.annotation import annotated_starts, splice_sites, transcription_starts
from dnastudy.genes.codes import decode, encode, reverse_complement
from dnastudy.genes.contigs import read_genome
from dnastudy.genes.intervals import read_track
from dnastudy.genes.motifs import Motif, log_odds
from dnastudy.genes.tracks import read_tracks
from dnastudy.tasks.label_sets import NEGATIVES, accessible, ctcf_sites, promoter_scan, promoters, splice_labels
from dnastudy.tasks.label_windows import Draw
from dnastudy.tokens import Tokenizer

CHR19, CHR22 = "chr19:10000001-12000000", "chr22:37500001-38400000"
SPLITS = {CHR19: "train", CHR22: "test"}
TOY = {"a": "train", "b": "test"}
TOKENS = Tokenizer([("C", "C"), ("C", "T"), ("G", "G"), ("A", "A"), ("G", "CC")])


@pytest.fixture(scope="module")
def genome(sample):
    return {name: codes for name, (codes, _) in read_genome([sample["chr19.fa.gz"], sample["chr22.fa.gz"]]).items()}


@pytest.fixture(scope="module")
def annotations(sample):
    return [read_annotation(sample[name]) for name in ("chr19.gff3.gz", "chr22.gtf.gz")]


@pytest.fixture(scope="module")
def starts(annotations):
    return pd.concat([transcription_starts(each) for each in annotations], ignore_index=True)


@pytest.fixture(scope="module")
def known(annotations):
    return pd.concat([annotated_starts(each) for each in annotations], ignore_index=True)


@pytest.fixture(scope="module")
def sites(annotations):
    return pd.concat([splice_sites(each) for each in annotations], ignore_index=True)


@pytest.fixture(scope="module")
def repeats(sample, genome):
    return read_track(sample["repeats.bed.gz"], genome)


@pytest.fixture(scope="module")
def tracks(genome):
    return read_tracks("regulation-sample", genome)


def oriented(genome, row):
    codes = genome[row.contig][row.start : row.end]
    return codes if row.strand == "+" else reverse_complement(codes)


def counts(labels):
    return labels.table.groupby(["split", "label"]).size().unstack().loc[["train", "validation", "test"]].to_numpy()


def places(labels, label):
    table = labels.table[labels.table["label"] == label]
    return table[["contig", "start", "strand", "split"]].reset_index(drop=True)


def random_genome(seed=0, length=100_000):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 4, length).astype(np.uint8) for name in TOY}


@pytest.mark.parametrize("negatives", ["tokens", "dinucleotides", "genomic"])
def test_promoters_have_their_start_in_its_place(genome, starts, repeats, negatives):
    labels = promoters(genome, starts, SPLITS, negatives=negatives, tokenizer=TOKENS, repeats=repeats)
    assert labels.name == "Prom300" and labels.classes == ("no promoter", "promoter")
    positives = labels.table[labels.table["label"] == 1]
    for number, row in zip(positives.index, positives.itertuples(), strict=True):
        assert (labels.codes[number] == oriented(genome, row)).all()
        first = genome[row.contig][row.position]
        assert labels.codes[number][250] == (first if row.strand == "+" else 3 - first)
    assert (positives["end"] - positives["start"] == 300).all() and (positives["core_start"] == 250).all()
    assert (counts(labels)[:, 0] == counts(labels)[:, 1]).all()
    apart = positives.sort_values("position").groupby(["contig", "strand"])["position"].diff()
    assert apart.min() >= 300
    assert labels.facts["dropped"]["start within a window of another"] == 185


def test_shuffled_negatives_are_made_of_what_their_promoters_are_made_of(genome, starts):
    for negatives, width in (("tokens", 1), ("dinucleotides", 2)):
        labels = promoters(genome, starts, SPLITS, negatives=negatives, tokenizer=TOKENS)
        assert counts(labels).tolist() == [[95, 95], [11, 11], [54, 54]]
        n = len(labels.codes) // 2
        spelt = labels.table.assign(letters=[decode(codes) for codes in labels.codes])
        pairs = [each["letters"].tolist() for _, each in spelt.groupby(["contig", "start", "strand"])]
        assert len(pairs) == n
        for one, other in pairs:
            assert one != other
            assert sorted(one[at : at + width] for at in range(301 - width)) == sorted(
                other[at : at + width] for at in range(301 - width)
            )


def test_genomic_negatives_match_their_promoters(genome, starts, known, repeats):
    labels = promoters(genome, starts, SPLITS, known=known, repeats=repeats)
    assert counts(labels).tolist() == [[90, 90], [11, 11], [49, 49]]
    assert labels.facts["dropped"]["promoter without a match"] == 15
    table = labels.table.assign(gc=[np.isin(codes, (1, 2)).sum() for codes in labels.codes])
    pairs = list(table.groupby(["contig", "position", "strand"]))
    assert len(pairs) == 150
    for _, pair in pairs:
        promoter, other = pair.sort_values("label", ascending=False).itertuples()
        assert (labels.codes[other.Index] == oriented(genome, other)).all()
        assert abs(promoter.gc - other.gc) <= 6 and abs(promoter.repeats - other.repeats) <= 0.1 + 1e-9
        assert 10_000 <= abs(promoter.start - other.start) <= 1_000_000
        assert (promoter.split, promoter.group) == (other.split, other.group)
        near = known.loc[known["contig"] == other.contig, "position"]
        assert not ((near >= other.start - 1000) & (near < other.end + 1000)).any()
        assert other.contig == CHR22 or (other.start >= 1_800_000) == (other.split == "validation")


@pytest.mark.parametrize("most", [None, {"train": 60, "validation": 10, "test": 40}])
def test_the_same_promoters_stand_beside_every_kind_of_negatives(genome, starts, known, repeats, most):
    how = {"known": known, "tokenizer": TOKENS, "repeats": repeats, "draw": Draw(most, seed=1)}
    found = [promoters(genome, starts, SPLITS, negatives=kind, **how) for kind in NEGATIVES]
    first, *others = (places(labels, 1) for labels in found)
    assert len(first) == (55 if most else 150)
    assert others[0].equals(first) and others[1].equals(first)
    assert places(found[0], 0).equals(first) and not places(found[2], 0).equals(first)
    assert {labels.facts["dropped"]["promoter without a match"] for labels in found} == {15}


def test_starts_past_the_end_or_at_unknown_bases_are_dropped_and_counted():
    genome = random_genome(length=1_000_000)
    genome["a"][300_000] = 4
    positions = [*range(50_000, 1_000_000, 50_000), 100]
    starts = pd.DataFrame({"contig": np.repeat(["a", "b"], 20), "position": positions * 2, "strand": "+"})
    labels = promoters(genome, starts, TOY, negatives="dinucleotides")
    assert labels.facts["dropped"] == {
        "start within a window of another": 0,
        "past a contig's end": 2,
        "unknown base": 1,
        "promoter without a match": 1,
    }
    # The window of the start at 900,000 lies in training and validation.
    assert counts(labels).tolist() == [[16, 16], [1, 1], [19, 19]]


def test_negatives_that_cannot_be_made_are_refused(genome, starts):
    with pytest.raises(InputError, match="negatives 'token'; did you mean 'tokens'"):
        promoters(genome, starts, SPLITS, negatives="token")
    with pytest.raises(InputError, match="no tokenizer whose tokens could be shuffled"):
        promoters(genome, starts, SPLITS, negatives="tokens")


def test_a_split_without_what_is_asked_for_is_refused(genome, starts, sites, tracks):
    here = starts[starts["contig"] == CHR19]
    with pytest.raises(InputError, match=r"Prom300, test: found 0 of 'no promoter', 0 of 'promoter'; expected"):
        promoters(genome, here, SPLITS, negatives="dinucleotides")
    with pytest.raises(InputError, match=r"PromScan, test: found 0 of 'no start', 0 of 'start'; expected"):
        promoter_scan(genome, here, SPLITS)
    with pytest.raises(
        InputError, match=r"splice, train: found 0 of 'neither', 0 of 'donor', 0 of 'acceptor'; expected"
    ):
        splice_labels(genome, sites[:0], SPLITS)
    with pytest.raises(InputError, match=r"CTCF, train: found 0 of 'unbound', 0 of 'bound'; expected"):
        ctcf_sites(genome, tracks.motif, tracks.ctcf, SPLITS, threshold=50)
    with pytest.raises(InputError, match=r"DNase, train: found nothing; expected"):
        accessible(tracks.elements[:0])


@pytest.mark.parametrize(("build", "name"), [(promoters, "Prom300"), (promoter_scan, "PromScan")])
def test_no_start_at_all_is_refused(genome, starts, build, name):
    message = f"{name}: no transcription start on {CHR19}, {CHR22}; expected .* whose 5' end is complete. Give"
    for none in (starts[:0], starts.assign(contig="chr7")):
        with pytest.raises(InputError, match=message):
            build(genome, none, SPLITS)


def test_windows_about_starts_come_once_on_the_strand_of_the_next_one():
    genome = random_genome()
    places = {"a": [20_000, 22_000, 95_000], "b": [50_000]}
    starts = pd.DataFrame(
        [(name, place, "+-"[number % 2]) for name in places for number, place in enumerate(places[name])],
        columns=["contig", "position", "strand"],
    )
    labels = promoter_scan(genome, starts, TOY)
    table = labels.table
    train = table[table["split"] == "train"]
    assert train["start"].tolist() == list(range(15_000, 26_500, 500))
    assert train.loc[train["label"] == 1, "start"].tolist() == [19_500, 20_000, 21_500, 22_000]
    assert train.loc[train["strand"] == "+", "start"].tolist() == list(range(15_000, 21_000, 500))
    assert table.loc[table["split"] == "validation", "start"].tolist() == list(range(90_000, 99_500, 500))
    assert counts(labels).tolist() == [[19, 4], [17, 2], [17, 2]]
    assert all((labels.codes[row.Index] == oriented(genome, row)).all() for row in table.itertuples())


def test_windows_without_a_start_but_with_another_known_one_are_left_out():
    genome = random_genome()
    starts = pd.DataFrame({"contig": ["a", "a", "b"], "position": [20_000, 95_000, 50_000], "strand": "+"})
    # The first lies in two windows, of which one has a start too; the others are the first base of one window, the
    # base after the last window, and a place of no window.
    places = {"a": [20_400, 20_700, 23_500, 25_000, 60_000]}
    known = pd.DataFrame([(name, place) for name in places for place in places[name]], columns=["contig", "position"])
    labels = promoter_scan(genome, starts, TOY, known=known)
    train = labels.table[labels.table["split"] == "train"]
    left_out = {20_500, 23_000, 23_500}
    assert train["start"].tolist() == [begin for begin in range(15_000, 24_500, 500) if begin not in left_out]
    assert train.loc[train["label"] == 1, "start"].tolist() == [19_500, 20_000]
    assert labels.facts["dropped"]["no start but another known one"] == 3
    assert counts(labels)[1:].tolist() == counts(promoter_scan(genome, starts, TOY))[1:].tolist()


def test_windows_next_to_one_start_are_drawn_together(genome, starts, known):
    labels = promoter_scan(genome, starts, SPLITS, known=known, draw=Draw(100, seed=1))
    everything = promoter_scan(genome, starts, SPLITS, known=known)
    assert labels.table["split"].value_counts().max() < 100 + 19  # of one start at most
    assert 0.1 < labels.table["label"].mean() < 0.25
    assert counts(everything).tolist() == [[828, 175], [148, 21], [400, 100]]
    assert everything.facts["dropped"]["no start but another known one"] == 152


@pytest.mark.parametrize("seed", range(6))
def test_few_windows_of_a_scan_have_starts_among_them(genome, starts, known, seed):
    most = {"train": 30, "validation": 15, "test": 20}
    found = counts(promoter_scan(genome, starts, SPLITS, known=known, draw=Draw(most, seed=seed)))
    assert (found > 0).all() and (found.sum(axis=1) >= list(most.values())).all()
    assert (found.sum(axis=1) < np.array(list(most.values())) + 19).all()


@pytest.fixture
def bound_toy():
    """Sites of a motif of seven bases on either strand, in contigs that have no other: bound, unbound, half bound."""
    motif = encode("CAGGTCC")
    counts = np.full((7, 4), 0.0)
    counts[np.arange(7), motif] = 1000
    genome, bound = {}, []
    for name in TOY:
        codes = np.zeros(10_000, dtype=np.uint8)
        for number, site in enumerate(range(500, 9901, 100)):
            codes[site : site + 7] = motif if number % 4 < 2 else reverse_complement(motif)
            if number % 2:
                bound.append((name, site - 3, site + 20))
        codes[9907:9914] = motif  # partly in an interval
        bound.append((name, 9910, 9950))
        genome[name] = codes
    return genome, Motif("M1", "toy", counts), pd.DataFrame(bound, columns=["contig", "start", "end"])


def test_motif_sites_are_centred_oriented_and_bound_or_not(bound_toy):
    genome, motif, bound = bound_toy
    labels = ctcf_sites(genome, motif, bound, TOY, width=30)
    assert labels.facts["dropped"] == {
        "motif on a contig without a bound interval": 0,
        "motif partly in a bound interval": 2,
        "past a contig's end": 0,
        "unknown base": 0,
    }
    assert counts(labels).tolist() == [[42, 42], [5, 5], [47, 47]]
    for row, codes in zip(labels.table.itertuples(), labels.codes, strict=True):
        assert decode(codes[row.core_start : row.core_end]) == "CAGGTCC"
        assert (len(codes), row.core_start) == (30, 12)
        site = row.start + (row.core_start if row.strand == "+" else 30 - row.core_end)
        number = (site - 500) // 100
        assert (row.label, row.strand) == (number % 2, "++--"[number % 4])


def test_of_overlapping_sites_the_best_is_taken(bound_toy):
    genome, motif, bound = bound_toy
    motif.counts[3] = [0, 0, 1000, 900]  # GTCC may be TTCC
    genome["b"][500:513] = encode("CAGTTCCAGGTCC")[:13]  # the last C of one is the first of the other
    labels = ctcf_sites(genome, motif, bound, TOY, width=30)
    table = labels.table.query("contig == 'b' and start < 550")
    assert (table["start"] + table["core_start"]).tolist() == [506]


def test_nothing_bound_is_refused(bound_toy):
    genome, motif, _ = bound_toy
    elsewhere = pd.DataFrame({"contig": ["a", "b"], "start": [0, 0], "end": [9, 9]})
    with pytest.raises(
        InputError, match=r"CTCF, train: found 85 of 'unbound', 0 of 'bound'; expected .* what is missing"
    ):
        ctcf_sites(genome, motif, elsewhere, TOY)


def test_a_contig_without_bound_intervals_is_not_taken_for_unbound(bound_toy):
    genome, motif, bound = bound_toy
    genome["c"] = genome["a"]
    labels = ctcf_sites(genome, motif, bound, TOY | {"c": "train"}, width=30)
    assert labels.facts["dropped"]["motif on a contig without a bound interval"] == 96
    assert set(labels.table["contig"]) == {"a", "b"}


def test_the_samples_bound_sites_score_higher(genome, tracks):
    labels = ctcf_sites(genome, tracks.motif, tracks.ctcf, SPLITS)
    assert counts(labels).tolist() == [[138, 138], [11, 11], [80, 80]]
    assert (labels.table["core_end"] - labels.table["core_start"] == 19).all()
    weights = log_odds(tracks.motif)
    cores = [
        codes[row.core_start : row.core_end] for row, codes in zip(labels.table.itertuples(), labels.codes, strict=True)
    ]
    scores = np.array([weights[np.arange(19), core].sum() for core in cores])
    is_bound = labels.table["label"] == 1
    assert scores.min() >= 10 - 1e-3
    assert scores[is_bound].mean() - scores[~is_bound].mean() > 2


def test_splice_sites_and_what_looks_like_them(genome, sites):
    labels = splice_labels(genome, sites, SPLITS)
    assert labels.classes == ("neither", "donor", "acceptor")
    assert counts(labels).tolist() == [[691] * 3, [21] * 3, [239] * 3]
    table = labels.table.assign(
        after=[decode(c[50:52]) for c in labels.codes], before=[decode(c[48:50]) for c in labels.codes]
    )
    neither, donor, acceptor = (table[table["label"] == label] for label in range(3))
    assert (donor["after"] == "GT").mean() > 0.96 and (acceptor["before"] == "AG").mean() > 0.98
    assert ((neither["after"] == "GT") | (neither["before"] == "AG")).all()
    assert 0.45 < (neither["after"] == "GT").mean() < 0.6
    known = set(zip(sites["contig"], sites["border"], strict=True))
    assert not known & set(zip(neither["contig"], neither["start"] + 50, strict=True))
    spans = sites.groupby("contig")["border"].agg(["min", "max"])
    assert (neither["start"] + 50 >= neither["contig"].map(spans["min"])).all()
    assert all((labels.codes[row.Index] == oriented(genome, row)).all() for row in table.itertuples())
    # Nine bases of a donor, 23 of an acceptor.
    assert set(donor["core_end"] - donor["core_start"]) == {9} and (donor["core_start"] == 47).all()
    assert set(acceptor["core_end"] - acceptor["core_start"]) == {23} and (acceptor["core_start"] == 30).all()
    assert set(neither["core_start"]) == {30, 47}
    assert (donor["like"] == "donor").all() and (acceptor["like"] == "acceptor").all()
    assert (neither["after"][neither["like"] == "donor"] == "GT").all()
    assert (neither["before"][neither["like"] == "acceptor"] == "AG").all()


def test_look_alikes_lie_in_the_same_gene():
    genome = random_genome()
    sites = pd.DataFrame(
        [
            (name, 1000 * gene + 100 * place, "+-"[gene % 2], ("donor", "acceptor")[place % 2], f"{name}{gene}")
            for name in TOY
            for gene in range(5, 98, 4)
            for place in range(6)
        ],
        columns=["contig", "border", "strand", "kind", "gene"],
    )
    labels = splice_labels(genome, sites, TOY, width=20)
    neither = labels.table[labels.table["label"] == 0]
    assert len(neither) > 90
    within = (neither["start"] + 10) % 4000 - 1000
    assert ((within >= 0) & (within <= 500)).all()
    gene = (neither["start"] + 10) // 1000
    assert (neither["strand"] == np.where(gene % 2, "-", "+")).all()


def test_elements_keep_their_own_split():
    cells, splits = ["K562", "HepG2"], ["train", "validation", "test"]
    contigs = {"train": "chr3", "validation": "chr2", "test": "chr1"}
    rng = np.random.default_rng(0)
    elements = pd.DataFrame(
        [
            (
                contigs[split],
                700_000 * n,
                700_000 * n + 200,
                cell,
                split,
                decode(rng.integers(0, 4, 200).astype(np.uint8)),
            )
            for split in splits
            for n, cell in enumerate(cells * 3)
        ],
        columns=["contig", "start", "end", "cell", "split", "sequence"],
    )
    labels = accessible(elements)
    assert labels.classes == ("HepG2", "K562")
    assert counts(labels).tolist() == [[3, 3], [3, 3], [3, 3]]
    assert set(labels.table["contig"]) == {"chr1", "chr2", "chr3"}
    sequences = elements.set_index(["contig", "start"])["sequence"]
    assert [decode(codes) for codes in labels.codes] == [
        sequences[row.contig, row.start] for row in labels.table.itertuples()
    ]
    # 0, 700,000, 1,400,000 ... lie in four blocks of a megabase.
    assert labels.table.groupby("contig")["group"].nunique().tolist() == [4, 4, 4]
    assert labels.table["group"].nunique() == 12
    with pytest.raises(InputError, match="DNase, test: found 3 of 'HepG2', 0 of 'K562'"):
        accessible(elements[(elements["split"] != "test") | (elements["cell"] == "HepG2")])


def test_the_samples_elements(tracks):
    labels = accessible(tracks.elements, draw=Draw({"train": 100}))
    assert counts(labels).tolist() == [[25] * 4, [50] * 4, [50] * 4]
    assert {len(codes) for codes in labels.codes} == {200}


def test_the_same_seed_makes_the_same_set(genome, sites):
    first, again, other = (splice_labels(genome, sites, SPLITS, draw=Draw(60, seed=seed)) for seed in (0, 0, 1))
    assert first.table.equals(again.table) and all(map(np.array_equal, first.codes, again.codes))
    assert not first.table.equals(other.table)
    assert first.facts == again.facts
    assert len(first.table) == len(first.codes) == 180


@pytest.mark.data
@pytest.mark.slow
def test_the_label_sets_of_whole_chromosomes(chromosomes):
    genome = {
        name: codes for name, (codes, _) in read_genome([chromosomes["chr19.fa"], chromosomes["chr22.fa"]]).items()
    }
    annotations = [read_annotation(chromosomes[name]) for name in ("chr19.gff3", "chr22.gtf")]
    starts, known, sites = (
        pd.concat([read(each) for each in annotations], ignore_index=True)
        for read in (transcription_starts, annotated_starts, splice_sites)
    )
    tracks, splits = read_tracks("regulation-hg38", genome), {"chr19": "train", "chr22": "test"}
    shuffled, found = (
        promoters(genome, starts, splits, negatives=kind, known=known) for kind in ("dinucleotides", "genomic")
    )
    assert counts(found).tolist() == [[2095, 2095], [334, 334], [731, 731]]
    assert places(shuffled, 1).equals(places(found, 1))
    assert shuffled.facts["dropped"]["promoter without a match"] == 75
    few = Draw({"train": 100, "validation": 30, "test": 75})
    for seed in range(3):
        found = promoter_scan(genome, starts, splits, known=known, draw=few._replace(seed=seed))
        assert found.table.groupby("split")["group"].nunique()["test"] >= 4
    found = promoter_scan(genome, starts, splits, known=known)
    assert counts(found).tolist() == [[18728, 3800], [3048, 599], [7527, 1443]]
    assert found.facts["test"]["sharing"] == 4869  # mostly by repeats
    found = ctcf_sites(genome, tracks.motif, tracks.ctcf, splits)
    assert counts(found).tolist() == [[2717, 2717], [216, 216], [1638, 1638]]
    assert counts(splice_labels(genome, sites, splits))[:, 1:].tolist() == [[11253] * 2, [1326] * 2, [4386] * 2]
    found = accessible(tracks.elements)
    assert counts(found).tolist() == [[9749] * 4, [878] * 4, [958] * 4]
