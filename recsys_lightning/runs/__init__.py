"""What one run leaves."""
