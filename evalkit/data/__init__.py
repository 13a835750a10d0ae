"""Dataset names and files to checksummed records."""
