"""What many runs have shown."""
