"""Starting and ending the host: settings, faults, ports, signals, reload, the `func` entry."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.host.process import APPS, REPOSITORY, HostProcess, run_to_end
from tests.support.eventually import eventually

_HELLO = """
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="hello")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("one")
"""


def _app(
    folder: Path, source: str = _HELLO, host: str = '{"version": "2.0"}', local: str | None = None
) -> Path:
    app = folder / "app"
    app.mkdir()
    (app / "function_app.py").write_text(source)
    (app / "host.json").write_text(host)
    if local is not None:
        (app / "local.settings.json").write_text(local)
    return app


def _fails(app: Path, *options: str) -> str:
    code, _, error = run_to_end(app, "--port", "0", *options)
    assert code == 1
    return error


def test_folder_without_host_json(tmp_path: Path) -> None:
    error = _fails(tmp_path)
    assert error == (
        f"There is no host.json in {tmp_path}. Start from the folder of a function app, "
        "or name it with --script-root.\n"
    )


@pytest.mark.parametrize(
    ("host", "local", "expected"),
    [
        ('{\n "version": "2.0",\n}', None, "host.json, line 2, column 18: "),
        ("[]", None, "host.json must contain a JSON object, not list."),
        ('{"extensions": 3}', None, "'extensions' must be an object, not int."),
        (
            '{"extensions": {"durableTask": {"maxConcurrentActivityFunctions": "many"}}}',
            None,
            "'maxConcurrentActivityFunctions' must be a whole number, not 'many'.",
        ),
        (
            '{"extensions": {"durableTask": {"maxConcurrentEntityFunctions": 0}}}',
            None,
            "'maxConcurrentEntityFunctions' must be at least 1, not 0.",
        ),
        ('{"extensions": {"durableTask": {"hubName": "%NO_HUB%"}}}', None, "needs the setting NO_HUB"),
        (
            '{"extensions": {"http": {"customHeaders": {"X-A": "a\\nb"}}}}',
            None,
            "'X-A' of customHeaders cannot be sent as a header.",
        ),
        ("{}", '{"Values": {"A": {"B": 1}}}', "Values.A must be one value"),
        ("{}", '{"IsEncrypted": true}', "local.settings.json is encrypted"),
        ("{}", '{"Values": }', "local.settings.json, line 1, column 12: "),
        ("{}", '{"Host": {"LocalHttpPort": "x"}}', "'LocalHttpPort' must be a whole number"),
    ],
)
def test_faults_of_the_settings_files(tmp_path: Path, host: str, local: str | None, expected: str) -> None:
    error = _fails(_app(tmp_path, host=host, local=local))
    assert expected in error
    assert "Traceback" not in error


def test_unknown_keys_are_named_and_do_no_harm(tmp_path: Path) -> None:
    host = '{"verson": "2.0", "extensions": {"http": {"routePrefx": ""}, "durableTask": {"hub": 1}}}'
    with HostProcess(_app(tmp_path, host=host, local='{"values": {}}'), tmp_path) as running:
        assert running.client.get("/api/hello").status_code == 200
        log = running.log()
    assert "host.json: the key 'verson' is not known and is ignored; did you mean 'version'?" in log
    assert 'host.json has no "version": "2.0"; in Azure the app would not start.' in log
    assert (
        "extensions.http: the key 'routePrefx' is not known and is ignored; did you mean 'routePrefix'?"
        in log
    )
    assert "extensions.durableTask: the key 'hub' is not known and is ignored; did you mean 'hubName'?" in log
    assert "local.settings.json: the key 'values' is not known and is ignored; did you mean 'Values'?" in log


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_module\n", "imports 'no_such_module', which is not installed."),
        ("x = 1 +\n", "function_app.py failed to load: SyntaxError"),
        ("app = 1\n", "function_app.py defines no function app at top level."),
        (
            "import azure.functions as f\na = f.FunctionApp()\nb = f.FunctionApp()\n",
            "defines 2 function apps",
        ),
        (
            _HELLO + "\n@app.route(route='x')\ndef hello(req: func.HttpRequest) -> str:\n    return ''\n",
            "Function hello does not have a unique function name.",
        ),
        (_HELLO.replace('"hello"', '"hello/{id:number}"'), "the constraint 'number', which does not exist."),
        (_HELLO.replace('"hello"', '"{id}/{ID}"'), "uses the parameter 'ID' twice."),
        (
            _HELLO + "\n@app.timer_trigger(arg_name='t', schedule='0 61 * * * *')\n"
            "def tick(t: func.TimerRequest) -> None: ...\n",
            "Function tick: the schedule is wrong. '61': the minute field goes from 0 to 59.",
        ),
        (
            _HELLO + "\n@app.timer_trigger(arg_name='t', schedule='%NO_SCHEDULE%')\n"
            "def tick(t: func.TimerRequest) -> None: ...\n",
            "needs the setting NO_SCHEDULE",
        ),
    ],
)
def test_apps_that_do_not_load(tmp_path: Path, source: str, expected: str) -> None:
    assert expected in _fails(_app(tmp_path, source))


def test_the_real_error_comes_first(tmp_path: Path) -> None:
    app = _app(tmp_path, "import helper\n")
    (app / "helper.py").write_text("def find():\n    return {}['rate']\n\n\nRATE = find()\n")
    error = _fails(app)
    assert error.startswith('Traceback (most recent call last):\n  File "' + str(app))
    assert error.endswith("KeyError: 'rate'\n\nfunction_app.py failed to load: KeyError: 'rate'\n")
    assert "importlib" not in error
    assert "localhost" not in error


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, error = run_to_end(APPS / "blueprint", "--port", port)
    assert code == 1
    assert error == (
        f"Port {port} is in use by another process. Stop that process, or choose a port with --port "
        "(--port 0 takes a free one).\n"
    )


def test_ready_file_and_ready_line(tmp_path: Path) -> None:
    with HostProcess(_app(tmp_path), tmp_path) as host:
        ready = json.loads((tmp_path / "ready.json").read_text())
        assert ready["pid"] == host.process.pid
        assert f": http://localhost:{ready['port']}\n" in host.log()


def test_only_the_named_functions(tmp_path: Path) -> None:
    with HostProcess(APPS / "blueprint", tmp_path, options=["--functions", "renamed"]) as host:
        assert host.client.get("/api/renamed").status_code == 200
        assert host.client.get("/api/orders/1").status_code == 404
    assert "--functions names nobody, which this app does not have." in _fails(
        APPS / "blueprint", "--functions", "nobody"
    )


def test_invocations_are_listed_when_verbose(tmp_path: Path) -> None:
    app = _app(tmp_path)
    with HostProcess(app, tmp_path, options=["--verbose"]) as host:
        host.client.get("/api/hello")
        host.logged("Executed 'Functions.hello' (Succeeded, Id=")
    with HostProcess(app, tmp_path) as host:
        host.client.get("/api/hello")
        assert host.stop() == 0
        assert "Executed" not in host.log()


def test_log_level_of_host_json(tmp_path: Path) -> None:
    host_json = '{"version": "2.0", "logging": {"logLevel": {"default": "Error"}}}'
    source = _HELLO.replace(
        "    return", "    logging.warning('a warning')\n    logging.error('an error')\n    return"
    )
    with HostProcess(_app(tmp_path, "import logging\n" + source, host_json), tmp_path) as host:
        host.client.get("/api/hello")
        host.logged("an error")
        assert "a warning" not in host.log()


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    environment = {"GREETING": "hello from the environment"}
    with HostProcess(APPS / "http", tmp_path, environment=environment) as host:
        assert host.client.get("/v1/setting/GREETING").json() == "hello from the environment"


def test_threads_for_sync_functions(tmp_path: Path) -> None:
    with HostProcess(APPS / "http", tmp_path, environment={"PYTHON_THREADPOOL_THREAD_COUNT": "2"}) as host:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: host.client.get("/v1/sleep/300"), range(4)))
        assert sorted(round(answer.elapsed.total_seconds() / 0.3) for answer in answers) == [1, 1, 2, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_drains_requests_in_flight(tmp_path: Path, number: signal.Signals) -> None:
    with HostProcess(APPS / "http", tmp_path) as host, ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(host.client.get, f"/v1/{kind}/1000") for kind in ("sleep", "nap")]
        host.logged("sleep begins")
        host.logged("nap begins")
        assert host.stop(number) == 0
        assert [answer.result().text for answer in slow] == ["slept", "napped"]
        assert "Traceback" not in host.log()


def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    with HostProcess(APPS / "http", tmp_path) as host, ThreadPoolExecutor(1) as pool:
        pool.submit(host.client.get, "/v1/sleep/20000")
        host.logged("sleep begins")
        host.process.send_signal(signal.SIGTERM)
        eventually(lambda: not _accepts(host), what="the host has begun to stop")
        assert host.stop() == 130


def _accepts(host: HostProcess) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", host.client.base_url.port or 0), timeout=1):
            return True
    except OSError:
        return False


def test_cors(tmp_path: Path) -> None:
    options = ["--cors", "https://shop.example,https://other.example", "--cors-credentials"]
    with HostProcess(APPS / "blueprint", tmp_path, options=options) as host:
        asked = {"origin": "https://shop.example", "access-control-request-method": "PUT"}
        answer = host.client.options("/api/orders/1", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        other = host.client.get("/api/orders/1", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_watch_reloads_after_a_change_and_after_a_fault(tmp_path: Path) -> None:
    app = _app(tmp_path, _HELLO.replace('"one"', "parts.words.WORD") + "\nimport parts.words\n")
    (app / "parts").mkdir()
    (app / "parts" / "words.py").write_text("WORD = 'one'\n")
    with HostProcess(app, tmp_path, options=["--watch"]) as host:
        assert host.client.get("/api/hello").text == "one"
        (app / "notes.txt").write_text("not a part of the app")
        (app / "parts" / "words.py").write_text("WORD = 'two'\n")
        eventually(
            lambda: host.client.get("/api/hello").text == "two", within=20, what="the new version answers"
        )
        (app / "function_app.py").write_text("broken\n")
        host.logged("NameError: name 'broken' is not defined")
        host.logged("It starts again when a file of the app changes.")
        (app / "function_app.py").write_text(_HELLO.replace('"one"', '"three"'))
        eventually(
            lambda: host.client.get("/api/hello").text == "three", within=20, what="the mended one answers"
        )
        assert re.findall("(.*) has changed; the host restarts.", host.log().replace("] ", "]\n")) == [
            "words.py",
            "function_app.py",
            "function_app.py",
        ]
        assert host.stop() == 0
    assert not _accepts(host)


def test_watched_host_ends_with_its_supervisor(tmp_path: Path) -> None:
    with HostProcess(_app(tmp_path), tmp_path, options=["--watch"]) as host:
        pid = json.loads((tmp_path / "ready.json").read_text())["pid"]
        assert pid != host.process.pid
        host.process.kill()
        host.process.wait()
        eventually(lambda: not _accepts(host), what="the host has ended too")


def test_func_entry(tmp_path: Path) -> None:
    func = str(REPOSITORY / "localhost" / "bin" / "func")
    version = subprocess.run([sys.executable, func, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == "4.0.0\n"
    refused = subprocess.run([sys.executable, func, "new"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    ready = tmp_path / "ready.json"
    command = [func, "start", "--port", "0", "--ready-file", str(ready), "--state", str(tmp_path / "state")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        command, cwd=_app(tmp_path), stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        eventually(ready.exists, within=20, what="the host is ready")
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "\thello: http://localhost:" in output
