"""Supply that comes within a channel's days, told when it does."""

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    # Straight to the driver's cursor: nothing in the file is a placeholder, and it holds many statements.
    cursor = op.get_bind().connection.cursor()
    cursor.execute(sql)
