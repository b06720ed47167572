"""dnastudy.chapters.grammar_report: every cell is there, escaped and rounded, and nothing is fetched."""

import re

import pandas as pd

from dnastudy.chapters.grammar_report import searchable


def test_rows_are_rounded_and_escaped():
    table = pd.DataFrame({"token": ["AC", "T"], "a < b": [0.12345, float("nan")], "count": [3, 4]})
    page = searchable(table)
    assert re.findall(r"<th (?:[^>]*)>(.*?)</th>", page) == ["token", "a &lt; b", "count"]
    assert "<tr><td>AC</td><td>0.123</td><td>3</td></tr>\n<tr><td>T</td><td></td><td>4</td></tr>" in page


def test_a_page_needs_nothing_from_elsewhere():
    page = searchable(pd.DataFrame({"token": ["A"]}))
    assert "http" not in page and "src=" not in page and "import" not in page
    assert page.count("{") == page.count("}") > 0 and "{{" not in page
