"""Owns the sender pages: where the known sender of a held message answers, apart from the console."""
