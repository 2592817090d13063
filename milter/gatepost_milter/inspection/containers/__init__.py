"""Owns what is inside of things: one module for each family of containers, and the walk that goes through them."""
