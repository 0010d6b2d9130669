"""What a training batch is, and how it is learned from: one idea a family."""
