"""Options of every model through the command; `test_every_option` has all of them."""

import pytest

from tests.bad_input.case import RATINGS, Case, refused

ITEMS = {"items.csv": "item,genre\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(60))}
TYPED = {  # options, and what the line must hold beside the first of them
    "ease": {
        "model.l2=-1": "(0, inf)",
        "model.l2=big": "",
        "model.dropout=1": "[0, 1)",
        "model.side=users": "",
        "model.recency=-1": "",
    },
    "easer": {"model.num_pairs=-1": "", "model.pair_l2=0": "", "model.center=no_": "true or false"},
    "admm_slim": {
        "model.l1=-1": "",
        "model.rho=0": "",
        "model.max_iterations=0": "",
        "model.tolerance=.inf": "",
        "model.nonnegative=0.5": "",
    },
    "tale": {"model.tau_train=0": "", "model.floor=2": "", "model.tau_inference=week": ""},
    "multi_ease": {"model.dropout=1.0": "", "model.temperature=0": "", "model.l2=null": ""},
    "popularity": {"model.l2=1": "model.l2: no such key"},
    "autorec": {"model.hidden_dims=500": "a list of sizes", "model.positive_weight=0": ""},
    "multi_cdae": {
        "model.hidden_dims=[-1]": "",
        "model.user_dropout=1": "",
        "model.user_l2=-0.1": "",
    },
    "multi_dae": {
        "model.hidden_dims=[600,0]": "",
        "model.hidden_dims=[]": "",
        "model.lr=0": "",
        "model.weight_decay=-1": "",
        "model.hidden_dims=[10000000000]": "",
    },
    "multi_vae": {"model.latent_dim=null": "", "model.beta=-1": "", "model.anneal_share=2": ""},
    "recvae": {"model.gamma=-0.1": "", "model.hidden_dim=0": ""},
    "multi_bert4rec": {"model.num_heads=3": "", "model.block=gpt": "", "model.length=0": ""},
    "mf_bpr": {"model.embedding_dim=0": "", "model.loss=hinge": "", "model.item_bias=2": ""},
    "ncf": {"model.variant=deep": "", "model.tower_dims=[]": "", "model.score_memory_mb=0": ""},
    "deepfm": {"model.features=genre": "", "model.hidden_dims=[x]": ""},
    "lightgcn": {"model.num_layers=-1": "", "model.lr=fast": ""},
    "ngcf": {"model.layer_dims=[0]": "", "model.variant=mine": "", "model.message_dropout=1": ""},
    "xsimgcl": {"model.contrast=-1": "", "model.contrast_layer=9": "", "model.temperature=0": ""},
    "sasrec": {
        "model.num_heads=5": "",
        "model.loss=softmax": "",
        "model.calibration=2": "",
        "model.norm=batch": "",
    },
    "bert4rec": {"model.mask_share=0": "", "model.num_masks=0": "", "model.dropout=1": ""},
    "s3rec": {"model.pretrain_epochs=-1": "", "model.mask_share=1.5": ""},
}
CASES = {
    f"{model}: {option}": Case(
        f"{RATINGS} data.items=items.csv model={model} max_epochs=1 '{option}'",
        f"{option.partition('=')[0]}|{words}"
        if words.startswith("model.")
        else f"{option.partition('=')[0]}|={option.partition('=')[2].strip('[]')}|{words}"
        if "null" not in option and "[" not in option
        else f"{option.partition('=')[0]}|{words}",
        ITEMS,
    )
    for model, options in TYPED.items()
    for option, words in options.items()
} | {
    "no such model": Case("model=eas", "model=eas: expected one of admm_slim, autorec, "),
    "a name in capitals": Case("model=EASE", "model=EASE: expected one of"),
    "two models without -m": Case("model=ease,recvae", "-m"),
    "a class that there is not": Case(
        f"{RATINGS} model._target_=recsys_lightning.models.mine.Mine",
        "recsys_lightning.models.mine",
    ),
    "a class that is no model": Case(f"{RATINGS} model._target_=collections.OrderedDict", "model"),
    "another model's option": Case(
        "model=ease model.num_layers=2",
        "model.num_layers: no such key; model has dropout, l2, recency, side",
    ),
    "an option below an option": Case("model.l2.x=3", "model.l2.x: no such key: model.l2 is 500.0"),
    "more than there is memory": Case(
        f"{RATINGS} model=multi_dae model.hidden_dims=[10000000000]",
        "the 1,210,000,000,060 parameters of MultiDAE need: 19360.0 GB, but|model.hidden_dims",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
