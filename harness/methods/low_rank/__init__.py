"""Low rank: layers as products of smaller ones, and low-rank corrections that make up for what a step cost."""
