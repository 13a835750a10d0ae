"""One file per benchmark: samples, questions, scoring rule, metrics."""
