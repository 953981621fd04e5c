"""Whose work a node takes: groups of accounts, accounts of nodes, and what each node's last call said of both."""

import sqlalchemy as sa
from alembic import op

from gogrid_desktop.coordinator.store.migrate import some

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("groups", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("invites", sa.Column("account", sa.Text(), nullable=True))
    op.add_column("nodes", sa.Column("account", sa.Text(), nullable=True))
    every_work = '["chat","batch","embedding"]'
    op.add_column("nodes", sa.Column("work", sa.Text(), nullable=False, server_default=every_work))
    op.add_column("nodes", sa.Column("share_with", sa.Text(), nullable=False, server_default="everyone"))
    op.add_column("nodes", sa.Column("groups", sa.Text(), nullable=False, server_default="[]"))
    op.create_index(
        "jobs_queued_of",
        "jobs",
        ["account", "model", "order_at", "id"],
        unique=False,
        **some("state = 'queued'"),
    )
