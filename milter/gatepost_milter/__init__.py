"""Owns what runs while mail is in flight: collect, inspect, judge, hold, reply."""
