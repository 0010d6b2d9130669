"""What the jobs of a multirun share."""
