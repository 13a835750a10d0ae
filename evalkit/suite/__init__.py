"""A YAML file to a Suite, or everything that is wrong with it."""
