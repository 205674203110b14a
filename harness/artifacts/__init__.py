"""Reading and writing the files that artifacts consist of, one module a format, and what they hold."""
