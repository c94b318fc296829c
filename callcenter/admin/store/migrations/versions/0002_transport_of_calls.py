"""The protocol that a call came over."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Calls that are there already do not say."""
    column = sa.Column("transport", sa.String(length=16), nullable=False, server_default="")
    op.add_column("calls", column)


def downgrade() -> None:
    """Without it again."""
    op.drop_column("calls", "transport")
