"""What got looser since a git revision: budgets and baselines, with the reason that is recorded for each."""
