"""Implicit-feedback top-N recommendation with Hydra and PyTorch Lightning."""
