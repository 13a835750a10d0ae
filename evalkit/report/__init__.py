"""Runs to tables to pages."""
