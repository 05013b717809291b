"""The real services that Sluice needs on a developer's machine, started together and found again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from kernel.errors import Unavailable
from localhost.services import databases
from localhost.services.azurite import Azurite
from localhost.services.filelock import locked
from localhost.services.mail import MailCatcher
from localhost.services.ports import LOOPBACK
from localhost.services.postgres import PostgresServer
from localhost.services.valuefile import ValueFile


@dataclass(frozen=True)
class Endpoints:
    """Where the services are. What holds a password does not show in the repr.

    `database_url` is for the application role, `migration_url` for the role that owns the tables; both are
    SQLAlchemy URLs. `hub_url` is where the embedded host keeps its task hub (a PostgreSQL URI). `smtp_port`
    takes mail, which `inbox_url` shows.
    """

    database_url: str = field(repr=False)
    migration_url: str = field(repr=False)
    erp_host: str
    erp_port: int
    erp_database: str
    erp_user: str
    erp_password: str = field(repr=False)
    storage_connection_string: str = field(repr=False)
    hub_url: str = field(repr=False)
    smtp_port: int
    inbox_url: str


class Stack:
    """PostgreSQL, Azurite and a mail catcher for one project, their data below `state_dir`
    (`<project>/.sluice`).

    The services go on running when their starter dies; the next `start()` finds them and uses them.
    """

    def __init__(self, project_root: Path, state_dir: Path | None = None) -> None:
        self._state_dir = (state_dir or project_root / ".sluice").resolve()
        passwords = ValueFile(self._state_dir / "secrets.json")
        ports = ValueFile(self._state_dir / "ports.json")
        self.postgres = PostgresServer(self._state_dir, passwords, ports)
        self.azurite = Azurite(project_root.resolve(), self._state_dir, passwords, ports)
        self.mail = MailCatcher(self._state_dir, ports)

    def start(self, progress: Callable[[str], None] = lambda _text: None) -> Endpoints:
        """Have all services running. `progress` gets one sentence per step, from one thread at a time.

        Raises `kernel.errors.Unavailable` if one cannot be had; what was started before that is stopped.
        """
        say = _one_at_a_time(progress)
        try:
            with locked(
                self._state_dir / "services.lock", lambda: say("Waiting for another start to finish.")
            ):
                self._start_all(say)
        except OSError as exc:
            self.stop()
            raise Unavailable(
                f"The local services cannot start: {exc.strerror} ({exc.filename}). "
                f"Check the permissions and the free disk space of {self._state_dir}."
            ) from exc
        except BaseException:
            self.stop()
            raise
        return self.endpoints

    def stop(self) -> None:
        """Stop what this object has started; services that it found running go on."""
        for service in (self.mail, self.azurite, self.postgres):
            if service.started:
                service.stop()

    @property
    def endpoints(self) -> Endpoints:
        """Where the services are, once they have been started."""
        postgres = self.postgres
        return Endpoints(
            database_url=postgres.url("sluice", databases.APP),
            migration_url=postgres.url("sluice", databases.OWNER),
            erp_host=LOOPBACK,
            erp_port=postgres.port,
            erp_database="erp",
            erp_user=databases.ERP,
            erp_password=postgres.password(databases.ERP),
            storage_connection_string=self.azurite.connection_string,
            hub_url=postgres.url("taskhub", databases.HUB).replace("+psycopg", ""),
            smtp_port=self.mail.port,
            inbox_url=self.mail.inbox,
        )

    def end(self) -> None:
        """Stop the services of this state folder, whoever started them."""
        with locked(self._state_dir / "services.lock", lambda: None):
            self.mail.end()
            self.azurite.end()
            self.postgres.end()

    def install(self, progress: Callable[[str], None]) -> None:
        """Download what `start()` would download, and start nothing. Raises `Unavailable`."""
        self.azurite.install(progress)

    def _start_all(self, say: Callable[[str], None]) -> None:
        services = (self.postgres, self.azurite, self.mail)
        with ThreadPoolExecutor(len(services), thread_name_prefix="services") as threads:
            starting = [threads.submit(service.start, say) for service in services]
        for start in starting:
            start.result()


def _one_at_a_time(progress: Callable[[str], None]) -> Callable[[str], None]:
    lock = Lock()

    def say(text: str) -> None:
        with lock:
            progress(text)

    return say
