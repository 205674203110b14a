"""From YAML text to a validated Spec: no torch, no model and no data is touched on the way."""
