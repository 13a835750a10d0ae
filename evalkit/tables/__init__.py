"""Table, Cell, and the one place where numbers are rounded."""
