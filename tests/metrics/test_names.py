"""One table of metrics; every name is parsed the same way."""

import ast

import pytest

from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import FILES, HIT_METRICS, METRICS, MetricName, function_of
from recsys_lightning.metrics.ranking import ranking_metrics
from tests.test_architecture import PACKAGE


@pytest.mark.parametrize("text", ["recall@10", "val/recall_capped@5", "test/coverage@100"])
def test_a_name_is_what_was_parsed(text):
    parsed = MetricName.parse(text)
    assert str(parsed) == text
    assert parsed.plain == text.rpartition("/")[2]
    assert parsed.at("test").file == "test"
    assert MetricName.parse(parsed.plain).file == "valid"


@pytest.mark.parametrize(
    "text",
    ["", "recall", "recall@", "recall@0", "recall@-1", "hits@10", "train/recall@10", "/map@1"],
)
def test_what_is_no_metric_is_refused(text):
    with pytest.raises(InputError, match=r"expected one of recall, .*such as recall@10"):
        MetricName.parse(text)


def test_the_table_is_what_runs_measure():
    assert {MetricName.parse(name).name for name in ranking_metrics([3], 5)} == set(METRICS)
    for name in HIT_METRICS:
        assert callable(function_of(name))


def test_nobody_else_parses_a_name():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "names.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                strings = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                if node.func.attr in {"partition", "rpartition", "split"}:
                    assert not {"@", "/"}.intersection(strings), f"{path}, line {node.lineno}"
                if node.func.attr in {"startswith", "removeprefix", "replace"}:
                    known = {*(f"{stage}/" for stage in FILES), *METRICS}
                    assert not known.intersection(strings), f"{path}, line {node.lineno}"
