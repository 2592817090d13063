"""Owns what every room shares: the words, the settings, and the documents a school writes."""
