"""Engines answer requests; one file each (see `protocols.Engine`)."""
