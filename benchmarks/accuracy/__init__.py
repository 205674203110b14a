"""The cells of `accuracy_gate.py`: one module a kind of figure."""
