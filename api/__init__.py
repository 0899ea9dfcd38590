"""The HTTP service: reads and writes rows, and never touches the schema."""

__version__ = "0.1.0"
