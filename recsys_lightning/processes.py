"""One of several processes, or the only one."""

import os


def is_first_process() -> bool:
    """Whether this is the one of several processes that evaluates and writes."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0
