"""What tests share: the embedded sample, the real chromosomes, and the corpora made of them."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported: results must not depend on the machine's number of cores.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub

import pytest
from hypothesis import settings

from dnastudy.genes import Corpus, extract_genes, fetch

settings.register_profile("untimed", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of the embedded sample."""
    return fetch("sample", dest=tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def corpus(sample: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The sample's corpus: 63 training, 6 validation and 27 test genes."""
    return extract_genes(
        [sample["chr19.fa.gz"], sample["chr22.fa.gz"]],
        [sample["chr19.gff3.gz"], sample["chr22.gtf.gz"]],
        tmp_path_factory.mktemp("corpora") / "sample",
        repeats=sample["repeats.bed.gz"],
    )


@pytest.fixture(scope="session")
def chromosomes() -> dict[str, Path]:
    """Files of the default corpus; a test that asks for them is marked `data`."""
    return fetch("chr19-chr22")


@pytest.fixture(scope="session")
def full_corpus(chromosomes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The default corpus, without repeats; a test that asks for it is marked `data` and `slow`."""
    return extract_genes(
        [chromosomes["chr19.fa"], chromosomes["chr22.fa"]],
        [chromosomes["chr19.gff3"], chromosomes["chr22.gtf"]],
        tmp_path_factory.mktemp("corpora") / "full",
    )
