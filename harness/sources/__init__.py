"""Model sources: where a float model comes from, each in a file of its own. Sources are registered, not models."""
