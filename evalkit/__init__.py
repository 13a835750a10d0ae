"""evalkit: whether a fine-tuned chat model is better, by how much, and on what evidence."""
