"""One version, in three places."""

import re
import tomllib
from datetime import date

import yaml

from tests.command import ROOT


def test_changelog_citation_and_package_have_one_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    versions = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (.*)", heading) for heading in headings[1:]]
    assert all(versions), headings
    released = [date.fromisoformat(version[2]) for version in versions]
    assert released == sorted(released, reverse=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == versions[0][1]
    assert citation["date-released"] == released[0]
