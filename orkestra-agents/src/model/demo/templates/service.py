"""@PROJECT@: a REST service for @RESOURCE@, with nothing but Python's standard library.

Paths, status codes and schemas are those of contract.json. Everything is kept in memory.
Run it with: python3 backend/service.py [port]
"""

import json
import re
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RESOURCE = "@RESOURCE@"
FIELDS = @FIELDS@
REQUIRED = "@REQUIRED@"
BODY_BYTES_MAX = 1_000_000
FRONTEND = Path(__file__).resolve().parents[1] / "frontend"
PAGES = {"/": ("index.html", "text/html"), "/app.js": ("app.js", "text/javascript")}
ITEM_PATH = re.compile(rf"/api/{RESOURCE}/(\d+)")


class Store:
    """The @RESOURCE@, by id. One lock: requests come from many threads."""

    def __init__(self):
        self.items = {}
        self.last_id = 0
        self.lock = threading.Lock()

    def all(self):
        with self.lock:
            return list(self.items.values())

    def get(self, item_id):
        with self.lock:
            return self.items.get(item_id)

    def add(self, fields):
        with self.lock:
            self.last_id += 1
            self.items[self.last_id] = {"id": self.last_id, **fields}
            return self.items[self.last_id]

    def replace(self, item_id, fields):
        with self.lock:
            if item_id not in self.items:
                return None
            self.items[item_id] = {"id": item_id, **fields}
            return self.items[item_id]

    def remove(self, item_id):
        with self.lock:
            return self.items.pop(item_id, None)


class Invalid(Exception):
    """The request's body is not a @SINGULAR@."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.answer(HTTPStatus.OK, {"status": "ok"})
        elif self.path == f"/api/{RESOURCE}":
            self.answer(HTTPStatus.OK, self.server.store.all())
        elif self.path in PAGES and (FRONTEND / PAGES[self.path][0]).is_file():
            name, kind = PAGES[self.path]
            self.send(HTTPStatus.OK, kind, (FRONTEND / name).read_bytes())
        else:
            self.answer_item(self.server.store.get(self.item_id()))

    def do_POST(self):
        if self.path != f"/api/{RESOURCE}":
            self.close_connection = True  # the body stays unread
            self.answer(HTTPStatus.NOT_FOUND, {"error": "no such path"})
            return
        try:
            self.answer(HTTPStatus.@CREATED@, self.server.store.add(self.fields()))
        except Invalid as problem:
            self.answer(HTTPStatus.BAD_REQUEST, {"error": str(problem)})

    def do_PUT(self):
        try:
            self.answer_item(self.server.store.replace(self.item_id(), self.fields()))
        except Invalid as problem:
            self.answer(HTTPStatus.BAD_REQUEST, {"error": str(problem)})

    def do_DELETE(self):
        if self.server.store.remove(self.item_id()) is None:
            self.answer_item(None)
        else:
            self.send(HTTPStatus.NO_CONTENT, None, b"")

    def item_id(self):
        found = ITEM_PATH.fullmatch(self.path)
        return int(found.group(1)) if found else None

    def fields(self):
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            raise Invalid("the body has no length or is too long")
        try:
            body = json.loads(self.rfile.read(int(length)) or b"null")
        except ValueError as problem:
            raise Invalid("the body is not JSON") from problem
        if not isinstance(body, dict):
            raise Invalid("the body is not an object")
        fields = {name: body.get(name, "") for name in FIELDS}
        if not all(isinstance(value, str) for value in fields.values()):
            raise Invalid("every field is a text")
        if not fields[REQUIRED].strip():
            raise Invalid(f"{REQUIRED} is missing")
        return fields

    def answer_item(self, item):
        if item is None:
            self.answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
        else:
            self.answer(HTTPStatus.OK, item)

    def answer(self, status, value):
        self.send(status, "application/json", json.dumps(value).encode())

    def send(self, status, kind, body):
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Tests read the output: no line per request."""


class Server(ThreadingHTTPServer):
    """The listening socket and the store behind it."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.store = Store()

    def server_bind(self):
        # NOTE: HTTPServer's own looks up a name for the address, which takes seconds where there is no network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def serve(self):
        self.serve_forever(poll_interval=0.02)


def make_server(port=0):
    """A server on the loopback interface; port 0 takes a free one."""
    return Server(port)


if __name__ == "__main__":
    serving = make_server(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    print(f"serving on http://127.0.0.1:{serving.server_port}/", flush=True)
    serving.serve()
