"""What is kept comes back for the very same alone, and never by halves."""

import pandas as pd

from dnastudy.study.cache import begin, finished, keep

TABLE = pd.DataFrame({"bits": [1.5, 2.0]})


def test_what_an_unfinished_run_left_is_gone_on_from_or_dropped(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    begin(tmp_path, {"plan": 1})  # of nobody knows what
    (tmp_path / "checkpoint").mkdir()
    begin(tmp_path, {"plan": 1})
    assert (tmp_path / "checkpoint").is_dir()
    begin(tmp_path, {"plan": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["begun.json"]


def test_what_is_kept_is_found_for_the_same_identity_alone(tmp_path):
    assert finished(tmp_path, {"plan": 1}, ("bits",)) is None
    keep(tmp_path, {"plan": 1}, {"seconds": 2}, bits=TABLE)
    facts, table = finished(tmp_path, {"plan": 1}, ("bits",))
    assert facts == {"seconds": 2} and table.equals(TABLE)
    assert finished(tmp_path, {"plan": 2}, ("bits",)) is None


def test_half_of_an_outcome_is_none(tmp_path):
    keep(tmp_path, {"plan": 1}, {}, bits=TABLE)
    (tmp_path / "outcome.json").unlink()
    assert finished(tmp_path, {"plan": 1}, ("bits",)) is None
