"""${message}."""

from alembic import op
import sqlalchemy as sa

from callcenter.admin.store.tables import Moment

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Goes to this revision."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Goes back."""
    ${downgrades if downgrades else "pass"}
