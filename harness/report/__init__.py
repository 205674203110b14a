"""What a person reads: the terminal's table, report.json, the HTML page, the job summary."""
