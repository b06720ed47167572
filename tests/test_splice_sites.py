import numpy as np
import pytest

from dnastudy.genes.codes import decode
from dnastudy.genes.motifs import SpliceSite, fit_splice_sites, site_density


def test_a_site_is_counted_per_thousand_known_bases():
    # G at the first place and T at the second: 2 bits each.
    weights = np.full((2, 4), -9.0)
    weights[0, 2] = weights[1, 3] = 2
    site = SpliceSite(weights, 4.0)
    assert site_density(["AGTAGT", "GGGG", "GNT", "", "T"], site).tolist() == pytest.approx([2000 / 6, 0, 0, 0, 0])
    assert site_density(["GT", "GT"], SpliceSite(weights, 4.1)).tolist() == [0, 0]


def test_the_samples_introns_begin_with_gt_and_end_with_ag(corpus):
    sites = fit_splice_sites(corpus)
    donor, acceptor = sites["donor"].weights, sites["acceptor"].weights
    assert donor.shape == (9, 4) and acceptor.shape == (23, 4)
    assert donor.argmax(axis=1)[[2, 3, 4, 6, 7]].tolist() == [2, 2, 3, 0, 2]  # G|GTRAG
    assert (donor[5, [0, 2]] > 0).all() and (donor[5, [1, 3]] < 0).all()
    assert acceptor.argmax(axis=1).tolist()[17:20] == [1, 0, 2]  # CAG|
    # C and T before it.
    assert (acceptor[5:16, [1, 3]] > 0).all() and (acceptor[5:16, [0, 2]] < 0).all()


def test_real_sites_are_found_three_times_in_four(corpus):
    sites = fit_splice_sites(corpus)
    exons = corpus.intervals.query("kind == 'exon'")
    first = corpus.offsets[np.searchsorted(corpus.offsets, exons["start"], side="right") - 1]
    inner = exons[(exons["start"] - 20 >= first) & (exons["start"] < corpus.spans("train")[:, 1].max())]
    train = corpus.split[np.searchsorted(corpus.offsets, inner["start"], side="right") - 1] == 0
    windows = [decode(corpus.all_codes[start - 20 : start + 3]) for start in inner["start"][train]]
    usual = [window for window in windows if window[18:20] == "AG"]
    assert len(usual) > 300
    assert (site_density(usual, sites["acceptor"]) > 0).mean() == pytest.approx(0.75, abs=0.01)
    # The same places, read backwards, aren't sites.
    assert (site_density([window[::-1] for window in usual], sites["acceptor"]) > 0).mean() < 0.02
