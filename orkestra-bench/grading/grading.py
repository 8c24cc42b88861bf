"""What the hidden tests of a task import.

The tests run in a sandbox of their own. The solution runs in another one, which this module drives through the benchmark: it
starts programs there, talks to their ports, and reads and writes files. Nothing of the solution is ever imported here, and what the
solution prints is data. Standard input and output of this process belong to the protocol: print to standard error.

    from grading import main, program, test

    @test
    def prints_the_greeting():
        ended = program.run("python3 hello.py")
        assert ended.stdout == "Hello, World!\\n", ended

    main()
"""

import base64
import http.client
import io
import json
import os
import re
import struct
import sys
import traceback

_OUT, _IN = sys.stdout.buffer, sys.stdin.buffer
# A test that prints must not break the protocol.
sys.stdout = sys.stderr

DETAIL_CHARACTERS_MAX = 2000


class Missing(AssertionError):
    """A file of the solution does not exist, or cannot be read."""


class NotStarted(AssertionError):
    """A server of the solution does not accept connections."""


def _ask(do, **fields):
    _OUT.write(json.dumps({"do": do, **fields}).encode() + b"\n")
    _OUT.flush()
    line = _IN.readline()
    if not line:
        os._exit(3)
    return json.loads(line)


def _encoded(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


class Ended:
    """How a command ended."""

    def __init__(self, command, answer):
        self.command = command
        self.exit_code = answer["exit_code"]
        self.timed_out = answer["timed_out"]
        self.stdout = base64.b64decode(answer["stdout"]).decode(errors="replace")
        self.stderr = base64.b64decode(answer["stderr"]).decode(errors="replace")

    def __repr__(self):
        how = "timed out" if self.timed_out else f"exit code {self.exit_code}"
        return f"{self.command!r}: {how}, printed {self.stdout[-400:]!r}, errors {self.stderr[-600:]!r}"


class Server:
    """A program that listens on a port. Use it as a context manager: it is stopped at the end."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    def stop(self):
        """Kills it with everything that it started; returns the end of its output."""
        return _ask("stop", process=self.process)["output"]

    def output(self):
        """The end of what it has printed so far."""
        return _ask("read_process", process=self.process)["output"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Connection:
    """A byte stream to a port of the solution, with the methods of a socket that `http.client` needs."""

    def __init__(self, port, timeout_s=10):
        self.timeout_s, self.buffer = timeout_s, b""
        answer = _ask("open", port=port)
        if "error" in answer:
            raise NotStarted(answer["error"])
        self.id = answer["connection"]

    def settimeout(self, timeout_s):
        self.timeout_s = timeout_s

    def sendall(self, data):
        answer = _ask("send", connection=self.id, bytes=_encoded(bytes(data)))
        if "error" in answer:
            raise ConnectionError(answer["error"])

    def recv(self, size=65536):
        """At most `size` bytes; empty at the end of the stream."""
        if not self.buffer:
            answer = _ask("receive", connection=self.id, timeout_s=self.timeout_s)
            if answer.get("timed_out"):
                raise TimeoutError(f"nothing was received within {self.timeout_s} s")
            if "error" in answer:
                raise ConnectionError(answer["error"])
            self.buffer = base64.b64decode(answer["bytes"])
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.recv(size - len(data))
            if not piece:
                raise ConnectionError("the connection was closed")
            data += piece
        return data

    def makefile(self, *_, **__):
        return io.BufferedReader(_Raw(self))

    def close(self):
        _ask("close", connection=self.id)


class _Raw(io.RawIOBase):
    """What `http.client` reads a response from."""

    def __init__(self, connection):
        self.connection = connection

    def readable(self):
        return True

    def readinto(self, target):
        piece = self.connection.recv(len(target))
        target[: len(piece)] = piece
        return len(piece)


class Reply:
    """An HTTP response."""

    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data

    @property
    def text(self):
        return self.data.decode(errors="replace")

    def json(self):
        """The body as JSON; an assertion fails when it is not JSON."""
        try:
            return json.loads(self.data)
        except ValueError:
            raise AssertionError(f"the response is not JSON: {self!r}") from None

    def __repr__(self):
        return f"status {self.status}, body {self.text[:600]!r}"


class WebSocket:
    """A WebSocket client (RFC 6455) for text messages."""

    def __init__(self, port, path, headers=None, timeout_s=10):
        self.connection = Connection(port, timeout_s)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.connection.recv()
            if not piece:
                raise AssertionError(f"the WebSocket handshake was cut off: {head[:300]!r}")
            head += piece
        head, self.connection.buffer = head.split(b"\r\n\r\n", 1)
        self.status = int(head.split(None, 2)[1])
        if self.status != 101:
            self.connection.close()
            raise AssertionError(f"the WebSocket handshake was refused: {head[:300]!r}")

    def _send(self, opcode, data):
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.connection.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def send(self, text):
        self._send(1, text.encode())

    def receive(self, timeout_s=10):
        """The next text message. `TimeoutError` when none comes, `ConnectionError` when the peer closes."""
        self.connection.settimeout(timeout_s)
        message = b""
        while True:
            first, second = self.connection.read_exactly(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self.connection.read_exactly(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.connection.read_exactly(8))[0]
            data = self.connection.read_exactly(min(size, 10_000_000))
            opcode = first & 0x0F
            if opcode == 8:
                raise ConnectionError("the WebSocket was closed by the peer")
            if opcode == 9:
                self._send(10, data)
            elif opcode in (0, 1, 2):
                message += data
                if first & 0x80:
                    return message.decode(errors="replace")

    def receive_json(self, timeout_s=10):
        text = self.receive(timeout_s)
        try:
            return json.loads(text)
        except ValueError:
            raise AssertionError(f"the message is not JSON: {text[:300]!r}") from None

    def close(self):
        try:
            self._send(8, struct.pack(">H", 1000))
        except ConnectionError:
            pass
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Program:
    """The solution, in its sandbox. It works on a copy of the workspace; what a test writes there, later tests see."""

    def run(self, command, stdin="", timeout_s=10):
        """Runs a shell command until it ends, at most `timeout_s` seconds; then it and all that it started are killed."""
        return Ended(command, _ask("run", command=command, stdin=_encoded(stdin), timeout_s=timeout_s))

    def start(self, command, port, timeout_s=20):
        """Starts a server and waits until it accepts connections on `port`."""
        answer = _ask("start", command=command, port=port, timeout_s=timeout_s)
        if "error" in answer:
            raise NotStarted(f"{command!r} does not accept connections on port {port}: {answer['error']}")
        return Server(answer["process"], port)

    def http(self, port, method, path, json_body=None, headers=None, body=None, timeout_s=10):
        """Sends a request and returns the response."""
        headers = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body)
            headers.setdefault("Content-Type", "application/json")
        stream = Connection(port, timeout_s)
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.sock = stream
        # It closes its socket as soon as it has read the headers; the body is read after that.
        client.close = lambda: None
        try:
            client.request(method, path, body=body, headers={"Connection": "close", **headers})
            response = client.getresponse()
            return Reply(response.status, response.headers, response.read(20_000_000))
        except (http.client.HTTPException, ConnectionError) as error:
            raise AssertionError(f"{method} {path}: no valid HTTP response: {error!r}") from None
        finally:
            stream.close()

    def websocket(self, port, path, headers=None, timeout_s=10):
        return WebSocket(port, path, headers, timeout_s)

    def connect(self, port, timeout_s=10):
        return Connection(port, timeout_s)

    def files(self):
        """The paths of all files, sorted."""
        return sorted(_ask("files")["files"])

    def read(self, path):
        """The content of a file as text."""
        answer = _ask("read", path=path)
        if "error" in answer:
            raise Missing(f"cannot read {path}: {answer['error']}")
        return base64.b64decode(answer["bytes"]).decode(errors="replace")

    def write(self, path, content):
        """Writes a file beside the solution, such as input for it, or a driver that loads a module and prints what it does."""
        answer = _ask("write", path=path, bytes=_encoded(content))
        if "error" in answer:
            raise AssertionError(f"cannot write {path}: {answer['error']}")

    def renew(self, *keep):
        """Moves the solution to a new machine, as it were: every server ends, and of all that it wrote, only the files `keep` are left."""
        _ask("renew", keep=keep)


program = Program()
_tests = []


def test(function):
    """Marks a hidden test. Its name must be in the list `tests` of the task."""
    _tests.append(function)
    return function


def _missing_package(text):
    found = re.search(r"No module named '([\w.]+)'|Cannot find (?:module|package) '([^'./][^']*)'", text)
    if not found:
        return []
    return [f"the grading image does not have {found[1] or found[2]}: a solution may use only what the task names"]


def main():
    """Runs the tests in order, and reports each of them once."""
    for function in _tests:
        passed, detail = True, ""
        try:
            function()
        except Exception as error:  # a failure of any kind is the solution's
            passed = False
            where = traceback.extract_tb(error.__traceback__)
            lines = [f"line {frame.lineno}: {frame.line}" for frame in where if frame.filename.endswith("grader.py")]
            detail = "\n".join([f"{type(error).__name__}: {error}", *lines[-1:], *_missing_package(str(error))])
        _ask("report", test=function.__name__, passed=passed, detail=detail[:DETAIL_CHARACTERS_MAX])
    _ask("done")
