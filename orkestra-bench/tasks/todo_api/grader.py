import contextlib
import functools
import http.client
import json
import random
import string

from grading import NotStarted, main, program, test

FIELDS = {"id": int, "title": str, "description": str, "done": bool}
failures = []


class Service:
    """The service on a file of todos, which is a new one if none is given."""

    def __init__(self, environment=None):
        self.file = f"{word()}.dat"
        self.environment = environment or f"TODO_FILE={self.file}"
        self.start()

    def start(self):
        self.port = random.randint(20000, 29999)
        command = f"env -u TODO_FILE {self.environment} python3 -m uvicorn main:app --host 127.0.0.1 --port {self.port}"
        try:
            # After a start that failed, the tests that follow wait for a shorter time.
            self.server = program.start(command, self.port, timeout_s=3 if failures else 8)
        except NotStarted as error:
            failures.append(error)
            raise

    def move(self):
        """Kills the service and starts it elsewhere, with nothing but its file, and what SQLite keeps beside it."""
        program.renew(*[path for path in program.files() if path.startswith(self.file)])
        shared.cache_clear()
        self.start()

    def request(self, method, path, json_body=None):
        return program.http(self.port, method, path, json_body, timeout_s=3)

    def create(self, **fields):
        fields.setdefault("title", word())
        reply = self.request("POST", "/todos", fields)
        assert reply.status == 201, f"POST /todos with {fields}: {reply!r}"
        return checked(reply.json())

    def expect_todo(self, method, path, body, todo):
        reply = self.request(method, path, body)
        assert reply.status == 200, f"{method} {path} with {body}: {reply!r}"
        assert checked(reply.json()) == todo, f"{method} {path} with {body}: {reply!r}, it should be {todo}"

    def list(self, query=""):
        reply = self.request("GET", f"/todos{query}")
        assert reply.status == 200 and isinstance(reply.json(), list), f"GET /todos{query}: {reply!r}"
        return [checked(todo) for todo in reply.json()]

    def at_once(self, requests):
        """Sends requests (method, path, body) at the same time, each on a connection of its own; returns (status, body) of each."""
        streams = [program.connect(self.port, timeout_s=4) for _ in requests]
        for stream, (method, path, body) in zip(streams, requests):
            data = json.dumps(body).encode()
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            stream.sendall(f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)
        replies = []
        for stream in streams:
            response = http.client.HTTPResponse(stream)
            response.begin()
            replies.append((response.status, response.read(100_000)))
            stream.close()
        return replies


def word():
    return "".join(random.choices(string.ascii_lowercase, k=10))


def checked(todo):
    """The todo, which must have exactly the fields of a todo."""
    assert isinstance(todo, dict) and set(todo) == set(FIELDS), f"this is not a todo: {todo!r}"
    assert all(type(todo[name]) is kind for name, kind in FIELDS.items()) and todo["id"] > 0, f"this is not a todo: {todo!r}"
    return todo


def expect_not_found(reply):
    assert reply.status == 404 and reply.json() == {"detail": "Todo not found"}, reply


@functools.cache
def shared():
    """A service that several tests use. It is stopped with the sandbox."""
    return Service()


@contextlib.contextmanager
def own_service(environment=None):
    service = Service(environment)
    try:
        yield service
    finally:
        service.server.stop()


@test
def creates_and_reads_todos():
    title, description = f"{word()} ä {word()}", f"  {word()}\n\"{word()}\" "
    todos = [shared().create(title=title), shared().create(title=f" \t{title}\n", description=description, done=True)]
    for todo, description, done in zip(todos, ["", description], [False, True]):
        assert todo == {"id": todo["id"], "title": title, "description": description, "done": done}, todo
        shared().expect_todo("GET", f"/todos/{todo['id']}", None, todo)
    assert todos[0]["id"] != todos[1]["id"], todos
    longest = random.choice(string.ascii_letters) * 100
    assert shared().create(title=f"  {longest} ")["title"] == longest


@test
def lists_with_filter_and_paging():
    with own_service() as service:
        assert service.list() == [], "the file is new, so there are no todos yet"
        todos = [service.create(done=number % 3 == 0) for number in range(23)]
        done, open_ = [todo for todo in todos if todo["done"]], [todo for todo in todos if not todo["done"]]
        offset, limit = random.randint(2, 6), random.randint(3, 7)
        for query, wanted in [
            ("", todos[:20]),
            ("?limit=100", todos),
            (f"?offset={offset}", todos[offset : offset + 20]),
            (f"?limit={limit}", todos[:limit]),
            (f"?offset={offset}&limit={limit}", todos[offset : offset + limit]),
            ("?done=true", done),
            ("?done=false", open_),
            (f"?done=false&offset={offset}&limit={limit}", open_[offset : offset + limit]),
            (f"?limit=2&done=true&offset={offset}", done[offset : offset + 2]),
            ("?offset=23", []),
        ]:
            found = service.list(query)
            assert found == wanted, f"GET /todos{query}: {found}, it should be {wanted}"


@test
def replaces_a_todo():
    todo = shared().create(description=word(), done=True)
    path, title, description = f"/todos/{todo['id']}", word(), word()
    full = {"title": title, "description": description, "done": True}
    shared().expect_todo("PUT", path, full, {"id": todo["id"], **full})
    shared().expect_todo("GET", path, None, {"id": todo["id"], **full})
    short = {"id": todo["id"], "title": title[::-1], "description": "", "done": False}
    shared().expect_todo("PUT", path, {"title": f" {title[::-1]} "}, short)
    shared().expect_todo("GET", path, None, short)


@test
def changes_only_the_given_fields():
    other, todo = shared().create(), shared().create(description=word(), done=True)
    path = f"/todos/{todo['id']}"
    changes = [{"title": word()}, {"description": word()}, {"done": False}, {"description": "", "done": True}]
    for change in changes:
        todo = todo | change
        shared().expect_todo("PATCH", path, change, todo)
        shared().expect_todo("GET", path, None, todo)
    title = word()
    shared().expect_todo("PATCH", path, {"title": f"\t{title} "}, todo | {"title": title})
    shared().expect_todo("GET", f"/todos/{other['id']}", None, other)


@test
def deletes_a_todo():
    first, second, third = shared().create(), shared().create(), shared().create()
    path = f"/todos/{second['id']}"
    reply = shared().request("DELETE", path)
    assert reply.status == 204 and reply.data == b"", reply
    expect_not_found(shared().request("GET", path))
    expect_not_found(shared().request("DELETE", path))
    listed = shared().list("?limit=100")
    assert second not in listed and first in listed and third in listed, listed


@test
def answers_404_for_unknown_ids():
    path = f"/todos/{shared().create()['id'] + random.randint(1000, 9999)}"
    before = shared().list("?limit=100")
    for method, body in [("GET", None), ("DELETE", None), ("PUT", {"title": word()}), ("PATCH", {"done": True})]:
        expect_not_found(shared().request(method, path, body))
    assert shared().list("?limit=100") == before, "a request that was answered with 404 changed something"


@test
def refuses_invalid_todos():
    todo = shared().create(description=word(), done=True)
    before = shared().list("?limit=100")
    one = f"/todos/{todo['id']}"
    wrong = [{"title": ""}, {"title": " \t\n "}, {"title": "x" * 101}, {"title": 17}, {"title": word(), "done": "maybe"}]
    requests = [(method, path, body) for body in wrong for method, path in [("POST", "/todos"), ("PUT", one), ("PATCH", one)]]
    requests += [("POST", "/todos", {"description": word()}), ("PUT", one, {"done": False}), ("PATCH", one, {"done": "maybe"})]
    requests += [("PATCH", one, {"description": word(), "title": ""})]
    for method, path, body in requests:
        reply = shared().request(method, path, body)
        assert reply.status == 422, f"{method} {path} with {body}: {reply!r}"
    assert shared().list("?limit=100") == before, "a request that was answered with 422 changed something"


@test
def refuses_invalid_query_parameters():
    shared().create()
    for query in ["limit=0", "limit=101", "offset=-1", "limit=-5", f"offset=2&limit={random.randint(102, 999)}"]:
        reply = shared().request("GET", f"/todos?{query}")
        assert reply.status == 422, f"GET /todos?{query}: {reply!r}"


@test
def keeps_todos_when_it_is_killed():
    with own_service() as service:
        todos = [service.create(title=f"ä {word()}", description=word(), done=bool(number % 2)) for number in range(4)]
        service.request("PATCH", f"/todos/{todos[0]['id']}", {"done": True})
        todos[0]["done"] = True
        service.request("DELETE", f"/todos/{todos[1]['id']}")
        todos.append(service.create())
        service.move()
        found, wanted = service.list(), [todos[0], *todos[2:]]
        assert found == wanted, f"after the service was killed and started again: {found}, it should be {wanted}"


@test
def never_gives_an_id_twice():
    program.run("rm -f todos.db*", timeout_s=3)
    # Without the variable, the file is todos.db.
    with own_service(" ") as service:
        ids = [service.create()["id"] for _ in range(3)]
        assert "todos.db" in program.files(), f"todos.db was not created: {program.files()[:40]}"
        service.request("DELETE", f"/todos/{ids[-1]}")
        ids.append(service.create()["id"])
        for id_ in ids[1:]:
            service.request("DELETE", f"/todos/{id_}")
        service.server.stop()
        service.start()
        assert [todo["id"] for todo in service.list()] == ids[:1], "todos are not the same after it was started again"
        ids.append(service.create()["id"])
        assert len(set(ids)) == len(ids), f"an id was given twice: {ids}"


@test
def handles_requests_at_the_same_time():
    titles = [word() for _ in range(12)]
    replies = shared().at_once([("POST", "/todos", {"title": title}) for title in titles])
    assert all(status == 201 for status, _ in replies), replies
    created = [checked(json.loads(body)) for _, body in replies]
    assert [todo["title"] for todo in created] == titles and len({todo["id"] for todo in created}) == len(titles), created
    change = {"title": word(), "description": word(), "done": True}
    path = f"/todos/{created[0]['id']}"
    replies = shared().at_once([("PATCH", path, {name: value}) for name, value in change.items()])
    assert all(status == 200 for status, _ in replies), replies
    shared().expect_todo("GET", path, None, created[0] | change)
    for todo in created[1:]:
        shared().expect_todo("GET", f"/todos/{todo['id']}", None, todo)


main()
