"""A model and rows to numbers."""
