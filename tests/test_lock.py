"""One lock: what pip, conda and the package ask for can't drift apart."""

import re
import tomllib
from importlib.metadata import version

import yaml

from dnastudy.study.parameters import PROJECT


def name(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


LOCK = {
    name(line): line.split("==")[1].strip()
    for line in (PROJECT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
}
PACKAGE = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def test_every_direct_dependency_is_pinned():
    extras = PACKAGE["optional-dependencies"]
    direct = {name(r) for r in [*PACKAGE["dependencies"], *(r for extra in extras.values() for r in extra)]}
    assert direct <= LOCK.keys()


def test_the_lock_leaves_the_build_of_torch_to_the_machine():
    assert LOCK["torch"] == "2.13.0"
    assert not [package for package in LOCK if package.startswith(("nvidia", "triton"))]
    assert "--hash" not in (PROJECT / "constraints.txt").read_text()


def test_conda_takes_the_same_lock_and_pins_nothing_of_its_own():
    dependencies = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    pip = next(each["pip"] for each in dependencies if isinstance(each, dict))
    assert [each for each in dependencies if isinstance(each, str)] == ["python=3.11", "pip"]
    assert pip == ["--constraint constraints.txt", "--editable .[study,test]"]


def test_what_is_installed_is_what_the_lock_says():
    direct = [*PACKAGE["dependencies"], *PACKAGE["optional-dependencies"]["study"]]
    installed = {name(each): version(name(each)).split("+")[0] for each in direct}
    assert installed == {package: LOCK[package] for package in installed}
