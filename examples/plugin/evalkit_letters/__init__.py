"""A plug-in for evalkit: the benchmark `counting` and the format `table`, by their dotted paths."""
