"""Options of every model through the command; `test_every_option` has all of them, and is fast."""

import pytest

from tests.bad_input.case import RATINGS, Case, refused

ITEMS = {"items.csv": "item,genre\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(60))}
WRONG = [  # model, what is typed, and what the line must hold
    ("ease", "model.l2=-1", "model.l2=-1"),
    ("ease", "model.side=users", "model.side=users"),
    ("easer", "model.center=no_", "model.center=no_"),
    ("admm_slim", "model.tolerance=.inf", "model.tolerance=.inf"),
    ("tale", "model.floor=2", "model.floor=2"),
    ("multi_ease", "model.dropout=1.0", "model.dropout=1.0"),
    ("popularity", "model.l2=1", "model.l2: no such key"),
    ("autorec", "model.hidden_dims=500", "model.hidden_dims=500"),
    ("multi_cdae", "model.hidden_dims=[-1]", "model.hidden_dims[0]=-1"),
    ("multi_dae", "model.hidden_dims=[600,0]", "model.hidden_dims[1]=0"),
    ("multi_dae", "model.lr=0", "model.lr=0"),
    ("multi_vae", "model.latent_dim=null", "model.latent_dim=None"),
    ("recvae", "model.gamma=-0.1", "model.gamma=-0.1"),
    ("recvae", "view.passes=1", "view.passes: an epoch is a single batch"),
    ("multi_bert4rec", "model.block=gpt", "model.block=gpt"),
    ("mf_bpr", "model.loss=hinge", "model.loss=hinge"),
    ("ncf", "model.variant=deep", "model.variant=deep"),
    ("deepfm", "model.hidden_dims=[x]", "model.hidden_dims[0]=x"),
    ("lightgcn", "model.lr=fast", "model.lr=fast"),
    ("ngcf", "model.layer_dims=[0]", "model.layer_dims[0]=0"),
    ("xsimgcl", "model.contrast_layer=9", "model.contrast_layer=9"),
    ("sasrec", "model.num_heads=5", "model.num_heads=5"),
    ("sasrec", "model.loss=softmax", "model.loss=softmax"),
    ("bert4rec", "model.mask_share=0", "model.mask_share=0"),
    ("s3rec", "model.mask_share=1.5", "model.mask_share=1.5"),
]
CASES = {
    f"{model}: {option}": Case(
        f"{RATINGS} data.items=items.csv model={model} max_epochs=1 {option}", words, ITEMS
    )
    for model, option, words in WRONG
} | {
    "no such model": Case("model=eas", "model=eas: expected one of admm_slim, autorec, "),
    "a name in capitals": Case("model=EASE", "model=EASE: expected one of"),
    "two models without -m": Case("model=ease,recvae", "-m"),
    "a class that there is not": Case(
        f"{RATINGS} model._target_=recsys_lightning.models.mine.Mine",
        "recsys_lightning.models.mine",
    ),
    "a class that is no model": Case(
        f"{RATINGS} model._target_=collections.OrderedDict",
        "model._target_=collections.OrderedDict: expected a Recommender",
    ),
    "another model's option": Case(
        "model=ease model.num_layers=2",
        "model.num_layers: no such key; model has dropout, l2, recency, side",
    ),
    "an option below an option": Case("model.l2.x=3", "model.l2.x: no such key: model.l2 is 500.0"),
    "more than there is memory": Case(
        f"{RATINGS} model=multi_dae model.hidden_dims=[10000000000]",
        "the 1,210,000,000,060 parameters of MultiDAE need: 19360.0 GB|model.hidden_dims",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
