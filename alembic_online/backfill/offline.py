"""A backfill as one script, for `--sql`: the same batches, each committed by itself.

Guarantee: if it is stopped, only the batch under way is lost, and the next run writes only what is still wrong. It does
not store its progress, and can't be paused: it begins with the first row, does 1,000 rows at a time, rests as long as
it works, and tries again if it does not get its locks. Inside a transaction it fails, with an error of Postgres.
"""

from alembic_online.backfill.definition import Backfill, between, row

ROWS = 1000
TRIES = 300


def offline_sql(backfill: Backfill) -> str:
    """All of the backfill as one statement, without its semicolon."""
    # In a statement, Postgres takes a name for the table's column if there is one of that name: unlikely for these.
    first, last, end = (
        [f"backfill_{name}_{number}" for number, _ in enumerate(backfill.key, 1)] for name in ("first", "last", "end")
    )
    keys, table = backfill.keys, backfill.target
    declared = "\n".join(
        f"    {name} {table}.{key}%TYPE;" for names in (first, last, end) for name, key in zip(names, keys, strict=True)
    )
    into = {name: ", ".join(names) for name, names in (("first", first), ("last", last), ("end", end))}
    script = f"""
#variable_conflict use_column
DECLARE
{declared}
    backfill_began timestamptz;
BEGIN
    SELECT {backfill.forwards} INTO {into["first"]} FROM {table} ORDER BY {backfill.forwards} LIMIT 1;
    SELECT {backfill.forwards} INTO {into["last"]} FROM {table} ORDER BY {backfill.backwards} LIMIT 1;
    WHILE {first[0]} IS NOT NULL LOOP
        SET LOCAL enable_seqscan = off; -- until the COMMIT: a batch is found by the key's index
        SELECT {backfill.forwards} INTO {into["end"]} FROM (
            SELECT {backfill.forwards} FROM {table}
            WHERE {row(keys)} >= {row(first)} AND {row(keys)} <= {row(last)} ORDER BY {backfill.forwards} LIMIT {ROWS}
        ) AS batch ORDER BY {backfill.backwards} LIMIT 1;
        EXIT WHEN NOT FOUND;
        backfill_began := clock_timestamp();
        FOR backfill_try IN 1..{TRIES} LOOP
            BEGIN
                {backfill.update(f"{row(keys)} >= {row(first)} AND {row(keys)} <= {row(end)}")};
                EXIT;
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                IF backfill_try = {TRIES} THEN
                    RAISE;
                END IF;
            END;
            PERFORM pg_sleep(random());
        END LOOP;
        COMMIT;
        PERFORM pg_sleep(extract(epoch FROM clock_timestamp() - backfill_began));
        SELECT {backfill.forwards} INTO {into["first"]} FROM {table}
            WHERE {between(keys, end, last)} ORDER BY {backfill.forwards} LIMIT 1;
    END LOOP;
END """  # noqa: S608 - names are quoted
    mark = "$backfill$"
    while mark in script:
        mark = f"{mark[:-1]}_$"
    return f"DO {mark}{script}{mark}"
