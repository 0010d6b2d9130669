"""What every sequential model gives its encoder to read."""

import pytest
import torch

from recsys_lightning.models.bert4rec import BERT4Rec
from recsys_lightning.models.sasrec import SASRec


@pytest.mark.parametrize("kind", [SASRec, BERT4Rec])
def test_an_encoder_reads_scaled_items_with_their_places_from_the_end(kind):
    model = kind(num_users=1, num_items=5, embedding_dim=4, length=3, num_heads=1).eval()
    model.encoder.forward = lambda x, offsets, causal, wanted: x
    read = model.encode(torch.tensor([4, 0, 2, 1]), torch.tensor([0, 3, 4]), causal=True)
    ages = [2, 1, 0, 0]  # 0: the newest, in a long row as in a short one
    torch.testing.assert_close(read, 2 * model.items[[4, 0, 2, 1]] + model.positions[ages])


@pytest.mark.parametrize("kind", [SASRec, BERT4Rec])
def test_vectors_begin_alike(kind):
    torch.manual_seed(0)
    model = kind(num_users=1, num_items=500, embedding_dim=64, length=300)
    for vectors in (model.items, model.positions):
        assert vectors.std().item() == pytest.approx(0.02, rel=0.03)
