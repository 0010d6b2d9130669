"""The check of a submission, as a function and as a command."""

import json
from dataclasses import replace

import numpy as np
import pytest

from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.errors import InputError
from recsys_lightning.runs.submission import read_order, violations, write_submission
from recsys_lightning.submission import main
from tests.command import true_python
from tests.conftest import make_interactions

# users 100, 101, 102 of items 1000, ..., 1005
SEEN = make_interactions([[0, 1], [2], [3, 4, 5]], 6)
GOOD = ["user,item", "101,1000", "101,1001", "100,1005", "100,1002", "102,1000", "102,1002"]
TEMPLATE = ["101", "100", "102"]


def check(path, lines, users=TEMPLATE, k=2):
    path.write_text("\n".join(lines) + "\n")
    return violations(path, SEEN, users, k)


def changed(line, text):
    return [*GOOD[: line - 1], text, *GOOD[line:]]


def test_a_good_one_passes(tmp_path):
    assert check(tmp_path / "s.csv", GOOD) == []
    assert check(tmp_path / "s.csv", GOOD, users=None) == []
    shuffled = [GOOD[0], *reversed(GOOD[1:])]
    assert check(tmp_path / "s.csv", shuffled, users=None) == []  # no order is known


@pytest.mark.parametrize(
    ("lines", "line", "what"),
    [
        (changed(1, "user_id,item"), 1, "the header is 'user_id,item'; expected 'user,item'"),
        ([], 1, "the header is ''"),
        (changed(3, "101,1001,1"), 3, "3 values; expected 2"),
        (changed(4, "109,1005"), 4, "user 109 is not in the template"),
        (changed(4, "100,77"), 4, "item 77 is not in the data"),
        (changed(5, "100,1005"), 5, "user 100 has item 1005 twice"),
        (changed(5, "100,1001"), 5, "user 100 has seen item 1001"),
        (GOOD[:-1], 6, "user 102 has 1 items; expected 2"),
        ([*GOOD, "102,1001"], 8, "user 102 has 3 items; expected 2"),
        (GOOD[:-2], 5, "user 102 has 0 items; expected 2"),
        ([*GOOD[:3], *GOOD[5:], *GOOD[3:5]], 4, "user 102; by the order of the template 100"),
    ],
)
def test_each_violation_has_its_line(tmp_path, lines, line, what):
    found = check(tmp_path / "s.csv", lines)
    assert [told for at, told in found if at == line and told.startswith(what)], found


def test_a_user_of_text_beside_numbers_gets_what_is_popular_and_the_others_their_own(tmp_path):
    asked = replace(SEEN, submission_users=np.array(["102", "guest", "100"]))
    lists = np.array([[5, 2], [0, 1], [0, 2]])
    written = write_submission(tmp_path / "s.csv", asked, lists, 2)
    assert written == {"unknown": 1, "short": 0}
    rows = (tmp_path / "s.csv").read_text().splitlines()
    assert rows[1:3] == ["102,1000", "102,1002"]
    assert [row.partition(",")[0] for row in rows[3:5]] == ["guest", "guest"]
    assert rows[5:] == ["100,1005", "100,1002"]


def test_the_template_may_write_its_users_as_floats(tmp_path, capsys):
    folder = RandomHoldout(1, 0).split(SEEN).write(tmp_path)
    (tmp_path / "s.csv").write_text("\n".join(GOOD) + "\n")
    template = tmp_path / "template.csv"
    template.write_text("user,item\n101.0,1\n 100.0,1\n102.0,1\n")
    options = ["--split", str(folder), "--template", str(template), "-k", "2"]
    assert main([str(tmp_path / "s.csv"), *options]) == 0
    assert "in the template's order" in capsys.readouterr().out


def test_a_user_who_has_seen_nearly_all_may_have_fewer(tmp_path):
    seen = make_interactions([[0, 1, 2], [0]], 4)
    path = tmp_path / "s.csv"
    path.write_text("user,item\n100,1003\n101,1001\n101,1002\n")
    assert violations(path, seen, ["100", "101"], 2) == []
    assert violations(path, seen, ["101", "100"], 2)[0][0] == 2


def test_text_ids_and_unknown_users_of_a_template(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("user,item\nnew,1000\n100,1002\n")
    assert violations(path, SEEN, ["new", "100"], 1) == []
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        violations(path, SEEN, None, 1)


def test_the_columns_are_those_asked_for(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("\n".join(changed(1, "uid,movie")))
    assert violations(path, SEEN, TEMPLATE, 2, header=["uid", "movie"]) == []
    wrong = (1, "the header is 'uid,movie'; expected 'uid,item'")
    assert violations(path, SEEN, TEMPLATE, 2, header=["uid", "item"]) == [wrong]


def test_the_header_and_the_order_of_a_submission(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("uid,movie\nb,1\nb,2\na,1\n")
    assert read_order(path) == (["uid", "movie"], ["b", "a"])
    path.write_text("id\n1\n")
    with pytest.raises(InputError, match="its columns are id; expected two"):
        read_order(path)
    path.write_text("uid,movie\n1\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_order(path)


def test_the_command(tmp_path, capsys):
    split = RandomHoldout(valid_items=1, test_items=0).split(SEEN).write(tmp_path)
    file, template = tmp_path / "s.csv", tmp_path / "template.csv"
    file.write_text("\n".join(GOOD))
    template.write_text("\n".join(GOOD))
    arguments = [str(file), "--split", str(split), "-k", "2"]
    assert main(arguments) == 0
    assert "in any order" in capsys.readouterr().out
    assert main([*arguments, "--template", str(template)]) == 0
    assert "in the template's order" in capsys.readouterr().out
    assert main([str(file), "--split", str(split), "-k", "0"]) == 2
    assert "-k=0: expected" in capsys.readouterr().err
    template.write_text("user,item\n")
    assert main([*arguments, "--template", str(template)]) == 2
    assert "template.csv: has no rows" in capsys.readouterr().err
    template.write_bytes(b"\xef\xbb\xbf" + "\n".join(GOOD).encode())  # as Excel saves
    file.write_bytes(template.read_bytes())
    assert main([*arguments, "--template", str(template)]) == 0
    capsys.readouterr()
    assert main([str(file), "-k", "2"]) == 2
    assert "no result.json or ensemble.json beside it" in capsys.readouterr().err
    file.write_text("\n".join(changed(5, "100,1001")))
    done = true_python("-m", "recsys_lightning.submission", *arguments)  # it starts as typed, too
    assert done.returncode == 2
    assert done.stderr == f"{file}, line 5: user 100 has seen item 1001\n"


def write_with_template(folder, header, line):
    """A good submission, and a template of its users in this header and these lines."""
    file, template = folder / "submission.csv", folder / "template.csv"
    file.write_text("\n".join(GOOD))
    users = dict.fromkeys(row.split(",")[0] for row in GOOD[1:])
    template.write_text("\n".join([header, *map(line.format, users)]))
    return file, template


def test_a_template_is_read_as_its_run_reads_the_data(tmp_path, capsys):
    split = RandomHoldout(valid_items=1, test_items=0).split(SEEN)
    result = {
        "status": "done",
        "split": split.sha256,
        "split_files": str(split.write(tmp_path)),
        "config": {"data": {"user_column": "uid", "separator": ";"}},
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    file, template = write_with_template(tmp_path, "uid;note;year", "{}.0;x;y")
    assert main([str(file), "-k", "2", "--template", str(template)]) == 0
    assert "in the template's order" in capsys.readouterr().out
    template.write_text("user\n100\n")
    assert main([str(file), "-k", "2", "--template", str(template)]) == 2
    assert "set data.user_column" in capsys.readouterr().err


def test_a_template_is_read_as_the_runs_of_an_ensemble_read_the_data(tmp_path, capsys):
    split = RandomHoldout(valid_items=1, test_items=0).split(SEEN)
    run = {"status": "done", "config": {"data": {"user_column": "uid"}}}
    (tmp_path / "0_ease").mkdir()
    (tmp_path / "0_ease" / "result.json").write_text(json.dumps(run))
    members = [{"folder": "lists"}, {"folder": ["0_ease"]}]  # another program's, and a seed
    (tmp_path / "ensemble.json").write_text(
        json.dumps(
            {"split": split.sha256, "split_files": str(split.write(tmp_path)), "members": members}
        )
    )
    file, template = write_with_template(tmp_path, "note,uid", "x,{}")
    assert main([str(file), "-k", "2", "--template", str(template)]) == 0
    assert "in the template's order" in capsys.readouterr().out
