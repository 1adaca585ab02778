"""What carriers say a shipment costs, and until when."""

from pathlib import Path

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    # Straight to the driver's cursor: nothing in the file is a placeholder, and it holds many statements.
    cursor = op.get_bind().connection.cursor()
    cursor.execute(sql)
