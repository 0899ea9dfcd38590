<% part = context.get("parts", {}).get(up_revision) %>\
"""${message}

Why: ${part.why if part and part.why else "<say what this change is for, and which release of the api needs it>"}

Revision: ${up_revision}
Follows: ${down_revision | comma,n}
Created: ${create_date}

The previous release of the api is at work while this runs, and until the next one has been rolled out. Do only what it
can work with: add, but never rename or drop what it still uses. Never import from `api` here: this file must do the
same in a year.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
# "contract" takes away what older releases use, and waits until every api has `safe_from_release` ("0.4.0") or later.
phase = ${repr("contract" if part and part.safe_from_release else "expand")}
safe_from_release = ${repr(part.safe_from_release if part else None)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
