"""Running a case: jobs in worker processes, isolated, timed and cached."""
