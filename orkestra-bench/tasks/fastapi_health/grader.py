import contextlib
import functools
import random
import re
import string
import time

from grading import NotStarted, main, program, test

FLAG = "ready.flag"
failures = []


def start(environment=""):
    """Starts the service, without the variable APP_VERSION if it is not given here."""
    port = random.randint(20000, 29999)
    command = f"env -u APP_VERSION {environment} python3 -m uvicorn main:app --host 127.0.0.1 --port {port}"
    try:
        # After a start that failed, the tests that follow wait for a shorter time.
        return program.start(command, port, timeout_s=3 if failures else 8)
    except NotStarted as error:
        failures.append(error)
        raise


@contextlib.contextmanager
def service(environment=""):
    """A function that sends requests to a service that is started for one test."""
    with start(environment) as server:
        yield lambda method, path: program.http(server.port, method, path, timeout_s=3)


@functools.cache
def shared_service():
    """The same for a service that several tests use. It is stopped with the sandbox."""
    server = start()
    return lambda method, path: program.http(server.port, method, path, timeout_s=3)


def remove_flag():
    program.run(f"rm -f {FLAG}", timeout_s=3)


def expect(reply, status, body):
    assert reply.status == status, f"{reply!r}, the status code should be {status}"
    assert reply.json() == body, f"{reply!r}, the body should be {body}"
    # In Python, 1 == True.
    assert all(type(reply.json()[name]) is type(value) for name, value in body.items()), reply


def uptime(request):
    reply = request("GET", "/health")
    assert reply.status == 200, reply
    seconds = reply.json().get("uptime_seconds")
    assert type(seconds) in (int, float), reply
    return seconds


@test
def health_is_ok():
    request = shared_service()
    reply = request("GET", "/health")
    assert reply.status == 200 and "json" in reply.headers.get("Content-Type", ""), reply
    assert set(reply.json()) == {"status", "uptime_seconds"} and reply.json()["status"] == "ok", reply
    assert type(reply.json()["uptime_seconds"]) in (int, float), reply


@test
def uptime_counts_from_the_start():
    before = time.monotonic()
    with service() as request:
        started = time.monotonic()
        values = []
        for seconds in [1.2, 0.6]:
            time.sleep(seconds)
            least = time.monotonic() - started
            values.append(uptime(request))
            most = time.monotonic() - before
            assert least - 0.15 <= values[-1] <= most + 0.15, f"the uptime is {values[-1]} s after {least:.2f} to {most:.2f} s"
        values.append(uptime(request))
        assert any(abs(value - round(value)) > 0.0001 for value in values), f"the uptime has no decimal places: {values}"


@test
def ready_while_the_file_exists():
    request = shared_service()
    remove_flag()
    expect(request("GET", "/ready"), 503, {"ready": False})
    program.write(FLAG, "")
    expect(request("GET", "/ready"), 200, {"ready": True})
    remove_flag()
    expect(request("GET", "/ready"), 503, {"ready": False})


@test
def ready_in_any_order():
    program.write(FLAG, "yes\n")
    with service() as request:
        expect(request("GET", "/ready"), 200, {"ready": True})
        for _ in range(5):
            if random.random() < 0.5:
                program.write(FLAG, "")
                expect(request("GET", "/ready"), 200, {"ready": True})
            else:
                remove_flag()
                expect(request("GET", "/ready"), 503, {"ready": False})
            assert request("GET", "/health").status == 200, "a service that is not ready is alive"
    remove_flag()


@test
def version_is_that_of_the_environment():
    numbers = ".".join(str(random.randint(0, 99)) for _ in range(3))
    version = numbers + "-" + "".join(random.choices(string.ascii_lowercase, k=5))
    with service(f"APP_VERSION={version}") as request:
        expect(request("GET", "/version"), 200, {"version": version})


@test
def version_without_the_variable():
    expect(shared_service()("GET", "/version"), 200, {"version": "dev"})
    with service("APP_VERSION=") as request:
        expect(request("GET", "/version"), 200, {"version": "dev"})


@test
def refuses_other_paths_and_methods():
    request = shared_service()
    missing = "".join(random.choices(string.ascii_lowercase, k=8))
    for path in [f"/{missing}", f"/health/{missing}"]:
        reply = request("GET", path)
        assert reply.status == 404, f"GET {path}: {reply!r}"
    for method, path in [("POST", "/health"), ("DELETE", "/ready"), ("PUT", "/version")]:
        reply = request(method, path)
        assert reply.status == 405, f"{method} {path}: {reply!r}"


@test
def openapi_lists_the_routes():
    reply = shared_service()("GET", "/openapi.json")
    assert reply.status == 200, reply
    paths = reply.json().get("paths") or {}
    for path in ["/health", "/ready", "/version"]:
        assert "get" in paths.get(path, {}), f"GET {path} is not in the OpenAPI description: {paths}"


@test
def requirements_list_the_packages():
    lines = program.read("requirements.txt").lower().splitlines()
    for package in ["fastapi", "uvicorn"]:
        assert any(re.match(rf"\s*{package}(?![\w.-])", line) for line in lines), f"{package} is not listed: {lines}"


main()
