"""Owns ``python -m gatepost_milter.cli``: how one part of gatepost asks another, whatever the search path is."""

from gatepost_milter.cli import main

main(prog_name="gatepost")
