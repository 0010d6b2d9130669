"""The one entry point: `python run.py model=ease`. Exits with 0, 2 for bad input, or 1.

Nothing heavy is imported here or before the data is read, so that bad input is reported at once.
"""

import os
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from recsys_lightning.assembly import CONF
from recsys_lightning.errors import BAD_INPUT, FAILED, InputError, Interrupted
from recsys_lightning.interruption import signals_raise
from recsys_lightning.job import run_job, what_next
from recsys_lightning.mistakes import check_flags, in_one_line
from recsys_lightning.runs import secrets
from recsys_lightning.runs.stored import with_stored_run
from recsys_lightning.runs.terminal import print_to_nobody_if_need_be
from recsys_lightning.session import new_session
from recsys_lightning.sweeps.command import for_the_jobs
from recsys_lightning.sweeps.end import end_sweep
from recsys_lightning.tracking.wandb import tell_how_to_sync


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(cfg: DictConfig) -> float | None:
    """One run; or a job of a sweep, unless it is done already."""
    return run_job(cfg)


def main() -> int:
    """Run the job or the sweep; returns the exit code."""
    print_to_nobody_if_need_be()
    with_trace = "HYDRA_FULL_ERROR" in os.environ
    sys.argv[1:] = map(secrets.hide, sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra exits with 1, after half a traceback
    with new_session() as session:
        try:
            check_flags(sys.argv[1:])
            sys.argv[1:] = for_the_jobs(with_stored_run(sys.argv[1:]))
            with signals_raise():
                job()
        except (HydraException, OmegaConfBaseException, InputError, OSError) as error:
            if with_trace:
                raise
            said = in_one_line(error, sys.argv[1:], str(CONF))
            print(f"error: {secrets.mask(said)}", file=sys.stderr)
            return BAD_INPUT
        except Interrupted as interruption:
            if not session.exit_codes:  # it came outside of any job of this process
                again = f": {what_next(interruption, session.sweep)}" if session.sweep else ""
                print(f"error: {interruption}{again}", file=sys.stderr)
            if session.sweep is not None:
                tell_how_to_sync(session.sweep)
            return interruption.code
        except Exception as error:  # a launcher's: a job never raises
            if with_trace or session.sweep is None:
                raise
            print(f"error: {secrets.mask(str(error))}", file=sys.stderr)
            if str(error).startswith("Unknown plugin class"):
                print("Not installed? pip install -e '.[submitit]'", file=sys.stderr)
                return BAD_INPUT
            end_sweep(session.sweep, session.config)  # Hydra has not called the callback
            return FAILED
        return session.exit_code


if __name__ == "__main__":
    sys.exit(main())
