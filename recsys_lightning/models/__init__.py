"""The catalogue: one file a model, named like its configuration."""
