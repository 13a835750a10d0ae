"""Runs on disk and the completion cache."""
