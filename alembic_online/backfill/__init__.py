"""Rows are updated in batches while everybody uses them: `op.backfill`.

Guarantees: rows are written in batches of about 200 ms, each in a transaction of its own, which also commits the key
that the batch reached. So after a kill the batch under way is rolled back, and the next run goes on from that key. That
the backfill is finished is committed with the revision. A row that is right already is not written. Rows after the key
that was the last at the start are the inserting session's business, so a backfill ends however much is inserted. It
gives way: it rests as long as it works, and pauses while replicas lag, while others wait for locks, and on request.

definition   what is to be done, as SQL
batches      the same for one range of keys after the other
offline      the same as one script, for `--sql`
state        how far it is: the table `migration_backfills`
load         when it has to pause
pace         how large batches are, and how long one is retried
reports      progress, as others see it; and their requests to pause
execute      all of this, to the end
"""

from alembic_online.backfill.definition import Backfill
from alembic_online.backfill.execute import run_backfill
from alembic_online.backfill.offline import offline_sql
from alembic_online.backfill.state import finish

__all__ = ["Backfill", "finish", "offline_sql", "run_backfill"]
