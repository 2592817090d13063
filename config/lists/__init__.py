"""Owns the shipped lists of phrases; this package holds data only."""
