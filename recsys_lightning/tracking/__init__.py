"""Where a run is logged, beside its folder."""
