"""weighin: every compressed model makes its weight before it ships."""

__version__ = "0.1.0"
