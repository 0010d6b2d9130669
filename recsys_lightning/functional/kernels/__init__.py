"""Numba kernels."""

from numba.core.registry import cpu_target

# Numba imports its types at the first call of any kernel, .3 s in the middle of a fit that is
# being timed; every run calls one.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
