"""Owns the examination of one gateway: what is wrong around gatepost, and the command that mends it.

Facts are gathered in one place and judged in another, so that every check can be shown to fire by changing a
fact. The doctor never changes anything.
"""
