"""Drift: how the schema differs from the models, and from what the last run has left.

Guarantees: nothing here fails a run, or changes the schema. What can't be compared is said, and does not hide the rest.
Only the catalogs are read, by a few statements for a thousand tables, not by some for each.

inventory    what the schemas hold, in the words of Postgres
wanted       what a table of the models holds
reader       reads it, as SQLAlchemy would create it
definitions  constraints and indexes, in a form that can be compared
expressions  expressions, compared by Postgres
comparison   what was found so far
parts        constraints and indexes, compared with the models
models       all of a table, compared with the models
record       what the schemas held after the last run; what differs from that was changed by hand
report       both, in words
"""
