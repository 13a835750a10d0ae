"""Which scores compare, and the comparisons."""
