"""Owns the steps: one module for each revision, never changed once released."""
