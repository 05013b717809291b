"""Apps of every kind: ASGI, WSGI, blueprints, and ones with parts that cannot be served."""

from collections.abc import Iterator

import pytest

from tests.host.process import APPS, HostProcess


@pytest.fixture(scope="module")
def asgi_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with an `AsgiFunctionApp` and no route prefix."""
    with HostProcess(APPS / "asgi", tmp_path_factory.mktemp("asgi")) as host:
        yield host


def test_asgi_app(asgi_host: HostProcess) -> None:
    assert asgi_host.client.post("/show/a%20b?x=1", content="body").json() == {
        "path": "/show/a b",
        "query": "x=1",
        "state": True,
        "body": "body",
        "function": "http_app_func",
    }


def test_asgi_app_owns_the_root_but_not_the_pages_of_the_host(asgi_host: HostProcess) -> None:
    assert asgi_host.client.get("/").json()["path"] == "/"
    assert asgi_host.client.get("/admin/host/ping").status_code == 200


def test_asgi_app_answers_errors_itself(asgi_host: HostProcess) -> None:
    assert asgi_host.client.get("/no/such/page").text == "Not Found"
    assert asgi_host.client.delete("/show/x").status_code == 405
    answer = asgi_host.client.get("/fail")
    assert (answer.status_code, answer.content) == (500, b"")
    asgi_host.logged("RuntimeError: inside the ASGI app")


def test_asgi_app_is_told_that_it_ends(asgi_host: HostProcess) -> None:
    assert asgi_host.client.get("/").status_code == 200
    assert asgi_host.stop() == 0
    end = asgi_host.log().rpartition("RuntimeError: inside the ASGI app")[2]
    assert "the ASGI app has ended" in end
    assert "Traceback" not in end


def test_wsgi_app(tmp_path_factory: pytest.TempPathFactory) -> None:
    with HostProcess(APPS / "wsgi", tmp_path_factory.mktemp("wsgi")) as host:
        answer = host.client.put("/some/page?x=%C3%BC", content="body")
        assert (answer.text, answer.headers["x-kind"]) == ("PUT /some/page ü body", "wsgi")
        assert host.client.get("/missing").status_code == 404


def test_blueprints_and_default_routes(tmp_path_factory: pytest.TempPathFactory) -> None:
    with HostProcess(APPS / "blueprint", tmp_path_factory.mktemp("blueprint")) as host:
        assert host.client.get("/api/orders/12").text == "order 12"
        assert host.client.get("/api/renamed").text == "at the function's name"


def test_what_cannot_be_served_is_named_and_the_rest_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    with HostProcess(APPS / "mixed", tmp_path_factory.mktemp("mixed")) as host:
        assert host.client.get("/api/works").text == "works"
        assert host.client.get("/api/generic").text == "generic"
        refused = host.client.get("/api/enqueue")
        assert refused.status_code == 501
        assert "enqueue uses bindings that this host does not serve: queue" in refused.text
        log = host.log()
        assert "Function enqueue will not run: this host does not serve its bindings (queue)." in log
        assert "Function dequeue will not run: this host does not serve its trigger (queueTrigger)." in log
        assert "Function works will" not in log
