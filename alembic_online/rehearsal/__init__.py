"""A rehearsal of the pending revisions, on a scratch database beside the real one, which is only read.

Guarantees: the revisions run as in a real run, by Alembic and by this migrator's environment, up, down, and up again.
What each statement locks and rewrites is measured and compared with the plan. The scratch database is dropped
afterwards. If something could not be measured or copied, that is reported.

A revision that creates roles, or changes something else outside of its database, does so in a rehearsal, too.

dump        the schema, as pg_dump writes it
scratch     the scratch database, for as long as it is needed
copy        fills it: the schema, Alembic's tables
sample      ... and some rows
lock_observation   how the locks of a statement can be seen
snapshot    which tables exist, and what is locked
watch       the locks of statements that can't be in a transaction
trace       what each statement did
planned     what the plan says
compare     what was planned, and what was measured
schemas     the difference of two schemas
round_trip  up, down, and up again
report      all that was found
show        the report, on a terminal
rehearse    all of this, from beginning to end
"""
