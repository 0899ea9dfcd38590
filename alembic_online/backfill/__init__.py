"""Rows put right while everybody uses them: `op.backfill`.

Guarantees: rows are written in batches of about 200 ms, each of which is a transaction of its own and is committed
together with the key that it came to. So a run that was killed goes on there, and what it had under way is rolled back
and done again; that all is done is committed with the revision. A row that is right already is not written. What comes
after the key that was the last at the start is left to who inserts it, so a backfill ends however much is inserted. It
gives way: it rests as long as it works, and pauses while replicas lag, while others wait for locks, and when asked to.

definition   what is to be done, as SQL
batches      the same for one range of keys after the other
offline      the same as one script, for `--sql`
state        how far it is: the table `migration_backfills`
load         when it has to pause
pace         how large batches are, and how often one is tried
reports      how far it is, for others; and their requests to pause
run          all of this, to the end
"""

from alembic_online.backfill.definition import Backfill
from alembic_online.backfill.execute import run_backfill
from alembic_online.backfill.offline import offline_sql
from alembic_online.backfill.state import finish

__all__ = ["Backfill", "finish", "offline_sql", "run_backfill"]
