"""All SQL and all rules, as plain functions. Their first parameter is what they work in.

That is the caller's session or transaction, which they never commit; or the database (`db`), in which each statement is
a transaction of its own, unless they begin one.
"""
