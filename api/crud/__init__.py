"""All SQL and all rules: plain functions, what they work in first.

That is a session or a transaction of the caller's, which they never commit; or the database (`db`), where each
statement is a transaction of its own unless they begin one.
"""
