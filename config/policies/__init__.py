"""Owns the shipped policy documents; this package holds data only."""
