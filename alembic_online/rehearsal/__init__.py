"""A rehearsal of what is pending, on a scratch database beside the real one, which is only read.

Guarantees: the revisions run as in a real run, by Alembic and by this migrator's environment, up, down, and up again.
What each statement locks and rewrites is measured and set against the plan. The scratch database is gone afterwards.
Where something could not be measured or copied, that is reported.

A revision that makes roles, or reaches out of its database in another way, does so in a rehearsal, too.

dump        the schema, as pg_dump writes it
scratch     the database, for as long as it is needed
copy        the schema and the bookkeeping in it
sample      and some rows
kinds       which statements can be seen in which way
snapshot    what is there, and what is locked
watch       the locks of what can't be in a transaction
trace       what each statement did
compare     what was planned, and what was measured
legs        the way up, down, and up again
report      all that was found
"""
