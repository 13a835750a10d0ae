"""Pure functions from scores to estimates and comparisons."""
