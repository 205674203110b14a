"""The gate inside pytest: spec files as modules, budgets as test functions, one run's state."""
