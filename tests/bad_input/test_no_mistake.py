"""What looks like a mistake and is none: short histories, and users whom nothing is known of."""

from recsys_lightning.submission import main as check_submission
from tests.bad_input.case import HISTORIES
from tests.command import run


def ratings(folder):
    return "data=files", f"data.path={folder}/ratings.csv"


def test_a_user_with_one_interaction_is_no_mistake(tmp_path):
    (tmp_path / "ratings.csv").write_text(HISTORIES + "777,3,1\n")
    done = run(*ratings(tmp_path), "model=popularity", folder=tmp_path / "run")
    assert done.result["users"]["too_short"] == 1
    assert "1 users with too short a history" in done.out
    lines = (done.folder / "submission.csv").read_text().splitlines()
    assert sum(line.startswith("777,") for line in lines) == 10


def test_ids_and_titles_that_look_like_markup(tmp_path):
    (tmp_path / "ratings.csv").write_text(HISTORIES.replace("\n1", "\n[/b]1"))
    (tmp_path / "items.csv").write_text(
        "item,title\n" + "".join(f"{n},[rec] {n} [/x]\n" for n in range(60))
    )
    done = run(
        *ratings(tmp_path),
        *("model=popularity", f"data.items={tmp_path}/items.csv", "recommend.users=['[/b]1']"),
        folder=tmp_path / "run",
    )
    assert "user [/b]1" in done.out
    assert done.out.count("[rec]") == done.out.count("[/x]") == 10 + 5


def test_a_template_with_unknown_users_is_served_the_popular_items(tmp_path):
    (tmp_path / "ratings.csv").write_text(HISTORIES)
    (tmp_path / "template.csv").write_text("user,item\n5,0\n888,0\n")
    done = run(
        *ratings(tmp_path),
        f"data.submission_template={tmp_path}/template.csv",
        folder=tmp_path / "run",
    )
    assert done.result["submission"]["unknown"] == 1
    lines = (done.folder / "submission.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["5"] * 10 + ["888"] * 10


def test_a_submission_has_the_columns_of_its_template(tmp_path, capsys):
    header = "customer_id,article_id"
    (tmp_path / "ratings.csv").write_text(HISTORIES.replace("user,item", header))
    (tmp_path / "template.csv").write_text(f"{header}\n5,0\n3,0\n")
    data = [
        *ratings(tmp_path),
        *("data.user_column=customer_id", "data.item_column=article_id"),
        f"data.submission_template={tmp_path}/template.csv",
    ]
    folder = tmp_path / "sweep"
    sweep = ["-m", "model=popularity,ease", "ensemble=rank", f"hydra.sweep.dir={folder}"]
    run(*sweep, *data, folder=tmp_path / "run")
    for file in (folder / "0_popularity/submission.csv", folder / "submission.csv"):
        first, *rows = file.read_text().splitlines()
        assert first == header
        assert [row.split(",")[0] for row in rows] == ["5"] * 10 + ["3"] * 10
        for arguments in ([], ["--template", str(tmp_path / "template.csv")]):
            assert check_submission([str(file), *arguments]) == 0
        file.write_text("\n".join(["user,item", *rows]))
        assert check_submission([str(file)]) == 2
        assert f"the header is 'user,item'; expected '{header}'" in capsys.readouterr().err


def test_users_who_left_the_k_core_are_served_the_popular_items_that_stayed(tmp_path):
    (tmp_path / "ratings.csv").write_text(HISTORIES + "777,3,1\n778,9999,1\n")
    (tmp_path / "template.csv").write_text("user,item\n778,0\n5,0\n888,0\n777,0\n")
    done = run(
        *ratings(tmp_path),
        *("model=popularity", "data.min_user_interactions=2", "data.min_item_interactions=2"),
        f"data.submission_template={tmp_path}/template.csv",
        folder=tmp_path / "run",
    )
    assert "1,200 of 1,202 interactions, 30 of 32 users, 60 of 61 items stay" in done.out
    assert done.result["submission"]["unknown"] == 3
    rows = [line.split(",") for line in (done.folder / "submission.csv").read_text().split()[1:]]
    assert [user for user, _ in rows] == [u for u in ("778", "5", "888", "777") for _ in range(10)]
    assert "9999" not in {item for _, item in rows}
