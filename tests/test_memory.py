"""Freed memory stays in the process, so that an array of the same size costs no new pages."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from dnastudy.models.neural import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    [np.ones(3 * 2**20) for _ in range(3)]  # three times 24 MiB, 18,432 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults()
before = faults()
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems keep their own rules")
def test_a_second_array_takes_the_pages_of_the_first():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True).stdout)
        for how in ("default", "kept")
    }
    assert faults["kept"] < 100
    assert faults["default"] > 10 * faults["kept"]  # fewer than 18,432 where pages are huge
