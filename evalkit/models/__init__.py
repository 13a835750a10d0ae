"""A ModelSpec to weights on disk."""
