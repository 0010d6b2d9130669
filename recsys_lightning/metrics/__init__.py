"""Ranking metrics that keep a few sums, not the lists."""
