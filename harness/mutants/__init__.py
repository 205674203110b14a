"""Faults that the gate is proven with: one file a mutant, each with what it does and which budgets owe its catch."""
