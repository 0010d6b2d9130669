"""Numba kernels."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit
from numba.core.registry import cpu_target

from recsys_lightning.interruption import signals_wait

# Numba imports its types at the first call of any kernel, .3 s in the middle of a fit that is
# being timed; every run calls one.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()


def kernel(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` with these options, and kept on disk where there is a place for it.

    It is beside the source, or else in the user's cache folder. In a read-only installation of a
    user without such a folder every process compiles anew, which takes seconds a kernel.
    """

    def compiled(function: Callable) -> Any:
        dispatcher = njit(**options)(function)
        with suppress(RuntimeError):  # "no locator available"
            dispatcher.enable_caching()
        compile_for = dispatcher.compile

        def compile_whole(signature: Any) -> Any:
            with signals_wait():  # LLVM calls back through ctypes, which loses an exception
                return compile_for(signature)

        dispatcher.compile = compile_whole
        return dispatcher

    return compiled
