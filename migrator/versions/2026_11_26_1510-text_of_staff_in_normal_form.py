"""text of staff in normal form

Why: from release 0.4.0 on, names, filters and files are in normal form C, and find only text in that form. What only
says where a line may end (U+00AD, U+200B, U+2060, U+FEFF) is removed, as it is from what is new. What the previous
release still writes in another form stays so until it is changed.

Revision: 1d122c4cabd6
Follows: 4894fea6593d
Created: 2026-11-26 15:10:52.456004+00:00

The previous release of the api is at work while this runs, and until the next one has been rolled out. Do only what it
can work with: add, but never rename or drop what it still uses. Never import from `api` here: this file must do the
same in a year.
"""

import sqlalchemy as sa
from alembic import op

revision = "1d122c4cabd6"
down_revision = "4894fea6593d"
branch_labels = None
depends_on = None
# "contract" takes away what older releases use, and waits until every api has `safe_from_release` ("0.4.0") or later.
phase = "expand"
safe_from_release = None


LINE = r"normalize(regexp_replace({0}, '[\u00ad\u200b\u2060\ufeff]', '', 'g'))"
PROSE = "normalize({0})"


def upgrade() -> None:
    op.backfill(
        "staff",
        {
            "name": LINE.format("name"),
            "job_title": LINE.format("job_title"),
            "phone": LINE.format("phone"),
            "notes": PROSE.format("notes"),
        },
    )


def downgrade() -> None:
    """Nothing to take back: the old release reads this form as well."""
