"""How often latency verdicts are wrong: the work, its truth, the gates, a stored run's answers and the table."""

# How far the truth lies from a limit, as a share.
MARGIN = 0.07
