"""How the training interactions become batches."""
