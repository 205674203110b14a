"""What `weighin` (`python -m harness`) can be asked for: one file a subcommand, each with `add` and what it runs."""
