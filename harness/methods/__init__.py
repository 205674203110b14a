"""Compression methods: each a typed config plus one function from subject to subject, in a file of its own."""
