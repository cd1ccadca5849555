"""What a visualization run computes."""
