"""Owns the demonstration: a small MTA side that speaks SMTP in front and the milter protocol behind."""
