"""Owns inspection: the bytes of a message become facts, under every reading that a mail client could take."""
