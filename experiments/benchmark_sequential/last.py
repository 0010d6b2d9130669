"""The split of this benchmark."""


def holding_out_the_last(options):
    """Options of `measuring.parser`, with the last item of every user held out for validation."""
    last = "holdout=last holdout.valid_items=1 holdout.test_items=0"
    options.ml1m, options.synthetic = (
        each and f"{each} {last}" for each in (options.ml1m, options.synthetic)
    )
    return options
