"""Metrics: each in a file of its own, with its unit, its better direction and how it is measured."""
