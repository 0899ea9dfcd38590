"""All SQL and all rules: plain functions, the session first. They flush where they must, and never commit."""
