"""From measurements to verdicts: pure functions, which touch no clock, no file and no model."""
