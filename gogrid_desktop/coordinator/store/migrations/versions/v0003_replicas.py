"""Several processes on one database: when nodes reported and offers changed, jobs left, leases as columns."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LEASE = (
    ("lease_node", sa.Text(), "node"),
    ("lease_poll", sa.Text(), "poll"),
    ("lease_granted_at", sa.Float(), "granted_at"),
    ("lease_tokens", sa.BigInteger(), "tokens_at_grant"),
    ("lease_alone", sa.Boolean(), "alone"),
)


def upgrade() -> None:
    op.add_column("nodes", sa.Column("reported_at", sa.Float(), nullable=False, server_default="0"))
    op.add_column("nodes", sa.Column("offered_at", sa.Float(), nullable=False, server_default="0"))
    op.execute("UPDATE nodes SET reported_at = last_seen, offered_at = last_seen")
    op.create_index("nodes_last_seen", "nodes", ["last_seen"])
    op.create_index("nodes_offered_at", "nodes", ["offered_at"])
    op.add_column("requests", sa.Column("left", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        'UPDATE requests SET "left" = (SELECT count(*) FROM jobs'
        " WHERE jobs.request = requests.id AND jobs.state IN ('queued', 'leased'))"
    )
    for name, kind, _ in _LEASE:
        op.add_column("jobs", sa.Column(name, kind, nullable=True))
    if op.get_bind().dialect.name == "sqlite":  # on PostgreSQL there was no version before this one
        jobs = sa.table("jobs", sa.column("lease"), *(sa.column(name) for name, _, _ in _LEASE))
        values = {name: sa.func.json_extract(jobs.c.lease, f"$.{field}") for name, _, field in _LEASE}
        op.execute(sa.update(jobs).where(jobs.c.lease.is_not(None)).values(values))
    op.drop_column("jobs", "lease")
