"""Runtimes: how a subject becomes an artifact on disk, and an artifact a callable again. One file each."""
