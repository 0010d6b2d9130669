"""One object carries what jobs and Hydra's callback say to run.py."""

from threading import Thread

from recsys_lightning.errors import BAD_INPUT, FAILED
from recsys_lightning.session import new_session, session


def test_the_exit_code_is_the_worst_of_a_run_and_the_end_of_a_sweep(tmp_path):
    with new_session() as now:
        assert now.exit_code == 0
        session().exit_codes.append(BAD_INPUT)
        assert now.exit_code == BAD_INPUT
        session().sweep = tmp_path
        assert now.exit_code == FAILED  # until the sweep has ended
        session().sweep_code = 0
        assert now.exit_code == 0


def test_a_command_knows_nothing_of_another():
    with new_session():
        session().exit_codes.append(FAILED)
        found = []
        worker = Thread(target=lambda: found.append(session().exit_codes))
        worker.start()
        worker.join()
        assert found == [[]]
    with new_session() as now:
        assert now.exit_codes == []
