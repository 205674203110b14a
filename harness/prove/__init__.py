"""The gate proves itself: faults on purpose, judged by the real gate, and a score of those that were caught."""
