"""The HTTP service: reads and writes rows, and never touches the schema."""

__version__ = "0.3.0"
