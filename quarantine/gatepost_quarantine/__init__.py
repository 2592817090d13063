"""Owns what is held and what is owed: the store, the courier, notices, release and audit."""
