"""Where interactions come from."""
