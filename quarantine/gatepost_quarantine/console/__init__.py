"""Owns the review console: a web application in which people work through the quarantine.

It never reads hostile mail itself: a bounded child does, and what it says is shown under a policy that lets
nothing run and nothing be fetched.
"""
