"""GELU against torch's, and without what oneDNN keeps."""

import os
import subprocess
import sys

import torch

from recsys_lightning.nn.gelu import GELU

STEPS = """
import torch
from recsys_lightning.nn.gelu import GELU
for n in range(3, 7):
    GELU()(torch.randn(n, 64, requires_grad=True)).sum().backward()
"""


def test_values_and_gradients_are_torchs():
    torch.manual_seed(0)
    x, outer = torch.randn(7, 9, requires_grad=True), torch.randn(7, 9)
    ours, theirs = GELU()(x), torch.nn.functional.gelu(x)
    torch.testing.assert_close(ours, theirs)
    of_ours, of_theirs = (torch.autograd.grad((y * outer).sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(of_ours, of_theirs)


def test_onednn_compiles_nothing_for_it():
    env = os.environ | {"ONEDNN_VERBOSE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STEPS], env=env, capture_output=True, text=True, check=True
    )
    assert "eltwise" not in done.stdout
