"""The detectors behind the rules on what a message says: pure functions from texts and files to findings."""
