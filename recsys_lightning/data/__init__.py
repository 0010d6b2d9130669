"""From a ratings file to train, valid and test; knows no model."""
