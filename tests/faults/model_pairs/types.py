"""Names, types and defaults that models made up by Hypothesis have: all kinds, and odd characters everywhere."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

LONG = "a_name_that_is_nearly_as_long_as_postgres_allows_it_to_be"
TABLES = ("animals", "order", "Keepers", "per%cent", LONG)
SCHEMAS = (None, None, None, "shop", "Odd schema")
COLUMNS = ("name", "user", "Upper", "two words", 'quo"te', "100%", "co:lon", "it's", "größe", f"{LONG}_or_so")
TEXTS = ("plain", "keeper's", "100%", "%s %(a)s", ":x", "a::b", "\\", "\\:y", '"', "{}", "", "ü", "'quoted'", "a\nb")
KEPT = ("small", ":x")  # a label of each of the two enums that rows may have, so it always stays
LABELS = ("small", "Big", "keeper's", "100%", "two words", ":x")
# None of the texts violates one of them.
CHECKS = ("{} <> 'it''s not'", "{} <> ':y'", "{} NOT LIKE '100%%s'", "length({}) < 100", "{} !~ '^[\\:x]y'")
EXPRESSIONS = ("'it''s ' || {}", "'100%' || ':x'", "{}::text || '%s'", "coalesce({}::text, '\\')")

RANGES = ("int4range", "tstzrange")

TYPES: dict[str, tuple[Callable[[], sa.types.TypeEngine[Any]], tuple[Any, ...]]] = {
    "text": (sa.Text, TEXTS),
    "varchar": (lambda: sa.String(200), TEXTS),
    "boolean": (sa.Boolean, (sa.true(), sa.false(), "true", sa.text("false"))),
    "smallint": (sa.SmallInteger, ("1", "-1", sa.text("7"))),
    "integer": (sa.Integer, ("1", sa.text("-1"), sa.text("1 + 1"))),
    "bigint": (sa.BigInteger, ("1", sa.text("-1"))),
    "numeric": (lambda: sa.Numeric(10, 2), ("1.5", sa.text("-1.5"))),
    "double": (sa.Double, ("1.5", sa.text("'NaN'"))),
    "real": (sa.REAL, ("1.5",)),
    "date": (sa.Date, (sa.func.current_date(), "2020-02-29")),
    "time": (sa.Time, ("12:34:56",)),
    "timestamp": (sa.DateTime, ("2020-02-29 12:34:56", sa.func.localtimestamp())),
    "timestamptz": (
        lambda: sa.DateTime(timezone=True),
        (sa.func.now(), sa.func.clock_timestamp(), sa.text("CURRENT_TIMESTAMP"), sa.text("now() + interval '1 day'")),
    ),
    "interval": (sa.Interval, ("1 day", sa.text("'01:02:03'"))),
    "bytea": (sa.LargeBinary, ("\\x00ff", sa.text("'a'"))),
    "uuid": (sa.Uuid, (sa.func.gen_random_uuid(), "00000000-0000-0000-0000-000000000000")),
    "json": (sa.JSON, ("{}", '{"a": "it\'s 100% :x"}', sa.text("'[]'::json"))),
    "jsonb": (pg.JSONB, ("{}", '{"a": "b:c", "x":[1,2]}', sa.text("'[]'::jsonb"))),
    "text[]": (lambda: pg.ARRAY(sa.Text()), ("{}", sa.text("ARRAY['a', ':x']"), '{"it\'s",b}')),
    "integer[]": (lambda: pg.ARRAY(sa.Integer()), ("{}", "{1,2}", sa.text("'{}'"))),
    "inet": (pg.INET, ("127.0.0.1", "::1")),
    "int4range": (pg.INT4RANGE, ("empty", "[1,2)")),
    "tstzrange": (pg.TSTZRANGE, ("empty",)),
    "tsvector": (pg.TSVECTOR, (sa.text("to_tsvector('english', 'it''s')"),)),
    "bit": (lambda: pg.BIT(3), (sa.text("B'101'"),)),
}
