import json
import random
import string
import time
from urllib.parse import quote

from grading import NotStarted, main, program, test

START_S, WAIT_S, HISTORY = 8, 4, 20
given_up = []
late = []
running = []


def word(prefix="", size=8):
    return prefix + "".join(random.choices(string.ascii_lowercase, k=size))


def port():
    """The port of the solution, which all tests share; each uses rooms of its own."""
    if given_up:
        raise NotStarted(given_up[0])
    if not running:
        number = random.randint(20000, 29999)
        try:
            running.append(program.start(f"python3 -m uvicorn main:app --port {number}", number, timeout_s=START_S))
        except NotStarted as error:
            given_up.append(str(error))
            raise
    return running[0].port


def patiently(receive):
    """Waiting costs time: a solution may be late in a few tests, not in all."""
    try:
        return receive()
    except TimeoutError:
        late.append(1)
        if len(late) >= 5:
            given_up.append("too many answers never came")
        raise


def part(message, *fields):
    assert isinstance(message, dict), f"not an object: {message!r}"
    return {field: message.get(field) for field in fields}


def plain(messages):
    assert isinstance(messages, list), f"not a list: {messages!r}"
    return [part(message, "id", "name", "text") for message in messages]


class Client:
    """A member of a room, or one who tries to become a member."""

    def __init__(self, room, query):
        self.room = room
        self.socket = patiently(lambda: program.websocket(port(), f"/ws/{room}{query}", timeout_s=WAIT_S))

    def receive(self):
        return patiently(lambda: self.socket.receive_json(timeout_s=WAIT_S))

    def expect(self, **fields):
        """The next message has these fields."""
        message = self.receive()
        assert part(message, *fields) == fields, f"received {message}, expected {fields}"

    def send(self, text):
        self.socket.send(json_text(text))

    def silent(self, seconds=0.3):
        try:
            raise AssertionError(f"received {self.socket.receive(timeout_s=seconds)[:300]!r}, expected nothing")
        except TimeoutError:
            pass

    def refused(self, reason):
        self.expect(type="error", reason=reason)
        try:
            extra = self.socket.receive(timeout_s=WAIT_S)
        except ConnectionError:
            self.socket.connection.close()
            return
        except TimeoutError:
            raise AssertionError(f"the connection stays open after {reason}") from None
        raise AssertionError(f"received {extra[:300]!r} after {reason}")

    def leave(self):
        self.socket.close()

    def vanish(self):
        """Ends the connection without a closing handshake."""
        self.socket.connection.close()


def json_text(text):
    return json.dumps({"type": "message", "text": text})


def enter(room, name, users, history=()):
    """A client that has entered, and has read its first two messages."""
    client = Client(room, f"?name={quote(name)}")
    first = client.receive()
    assert part(first, "type") == {"type": "history"} and plain(first.get("messages")) == list(history), f"{first}, expected the history {history}"
    client.expect(type="joined", name=name, users=sorted(users))
    return client


def get(path):
    reply = patiently(lambda: program.http(port(), "GET", path, timeout_s=WAIT_S))
    assert reply.status == 200, f"GET {path}: {reply}"
    return reply.json()


def room_of(room):
    found = [entry.get("users") for entry in get("/rooms").get("rooms", []) if entry.get("room") == room]
    assert len(found) <= 1, found
    return found[0] if found else None


@test
def a_newcomer_gets_history_and_joins():
    room, first, second = word("room"), word("z"), word("a")
    ada = enter(room, first, [first])
    text = word("Grüße, ", 12)
    ada.send(text)
    said = {"id": 1, "name": first, "text": text}
    ada.expect(type="message", **said)
    bob = enter(room, second, [first, second], [said])
    ada.expect(type="joined", name=second, users=sorted([first, second]))
    third = "Zoë " + word(size=4)
    carol = enter(room, third, [first, second, third], [said])
    for client in (ada, bob):
        client.expect(type="joined", name=third, users=sorted([first, second, third]))
    for client in (ada, bob, carol):
        client.leave()


@test
def everyone_in_the_room_gets_a_message():
    room, names = word("room"), [word("n") for _ in range(3)]
    clients = []
    for count, name in enumerate(names, 1):
        clients.append(enter(room, name, names[:count]))
    for client, count in zip(clients, (2, 1, 0)):
        for _ in range(count):
            client.expect(type="joined")
    texts = [word("hi "), f"  {word()}\n<b>{word()}</b> ", word(size=1000), "🎈" + word()]
    for number, text in enumerate(texts, 1):
        speaker = random.randrange(3)
        clients[speaker].send(text)
        for client in clients:
            client.expect(type="message", id=number, name=names[speaker], text=text)
    for client in clients:
        client.silent(0.2)
    for client in clients:
        client.leave()


@test
def rooms_do_not_hear_each_other():
    name, other_name = word("n"), word("m")
    rooms = [word("room") for _ in range(2)]
    here, there = enter(rooms[0], name, [name]), enter(rooms[1], name, [name])
    guest = enter(rooms[0], other_name, [name, other_name])
    here.expect(type="joined", name=other_name)
    for number in (1, 2):
        here.send(word())
        for client in (here, guest):
            client.expect(type="message", id=number, name=name)
    there.silent()
    text = word()
    there.send(text)
    there.expect(type="message", id=1, name=name, text=text)
    guest.leave()
    here.expect(type="left", name=other_name, users=[name])
    there.silent()
    here.silent(0.1)
    here.leave()
    there.leave()


@test
def refuses_bad_names():
    room, name = word("room"), word("n")
    ada = enter(room, name, [name])
    for query in ("", "?name=", "?name=%20%20", f"?name={word(size=21)}"):
        Client(room, query).refused("bad_name")
    ada.silent()
    long = word(size=20)
    padded = Client(room, f"?name=%20{long}%20")
    assert part(padded.receive(), "type") == {"type": "history"}
    for client in (padded, ada):
        client.expect(type="joined", name=long, users=sorted([name, long]))
        client.leave()


@test
def a_taken_name_is_refused_and_its_owner_stays():
    room, name = word("room"), word("n")
    ada = enter(room, name, [name])
    Client(room, f"?name={name}").refused("name_taken")
    Client(room, f"?name=%20{name}").refused("name_taken")
    ada.silent()
    assert room_of(room) == [name], get("/rooms")
    other = name.upper()
    bob = enter(room, other, [name, other])
    ada.expect(type="joined", name=other, users=sorted([name, other]))
    text = word()
    bob.send(text)
    for client in (ada, bob):
        client.expect(type="message", id=1, name=other, text=text)
        client.leave()


@test
def bad_messages_are_answered_to_their_sender_only():
    room, names = word("room"), [word("n"), word("m")]
    ada = enter(room, names[0], names[:1])
    bob = enter(room, names[1], names)
    ada.expect(type="joined")
    bad = ["hello", "", "{", "[]", "5", "null", '"text"', "{}", '{"type": "message"}', '{"text": "hi"}', '{"type": "shout", "text": "hi"}']
    bad += ['{"type": "message", "text": 5}', '{"type": "message", "text": null}', '{"type": ["message"], "text": "hi"}']
    bad += [json_text(""), json_text(" \n\t "), json_text("x" * 1001)]
    for frame in bad:
        ada.socket.send(frame)
        try:
            ada.expect(type="error", reason="bad_message")
        except (AssertionError, ConnectionError) as error:
            raise AssertionError(f"{frame[:60]!r}: {error}") from None
    bob.silent()
    text = word()
    ada.send(text)
    for client in (ada, bob):
        client.expect(type="message", id=1, name=names[0], text=text)
        client.leave()
    kept = plain(get(f"/rooms/{room}/history").get("messages"))
    assert kept == [{"id": 1, "name": names[0], "text": text}], f"the history is {kept}"


@test
def leaving_is_announced_and_frees_the_name():
    room, names = word("room"), [word("n") for _ in range(3)]
    clients = [enter(room, name, names[: count + 1]) for count, name in enumerate(names)]
    for client, count in zip(clients, (2, 1, 0)):
        for _ in range(count):
            client.expect(type="joined")
    clients[1].leave()
    left = sorted([names[0], names[2]])
    for client in (clients[0], clients[2]):
        client.expect(type="left", name=names[1], users=left)
    again = enter(room, names[1], names)
    for client in (clients[0], clients[2]):
        client.expect(type="joined", name=names[1], users=sorted(names))
    for client in (clients[0], clients[2], again):
        client.leave()


@test
def a_lost_connection_counts_as_leaving():
    room, names = word("room"), [word("n"), word("m")]
    ada = enter(room, names[0], names[:1])
    for _ in range(2):
        bob = enter(room, names[1], names)
        ada.expect(type="joined", name=names[1])
        bob.vanish()
        ada.expect(type="left", name=names[1], users=names[:1])
    text = word()
    ada.send(text)
    ada.expect(type="message", id=1, name=names[0], text=text)
    assert room_of(room) == names[:1], get("/rooms")
    ada.leave()


@test
def history_is_bounded_and_outlives_the_members():
    room, name = word("room"), word("n")
    ada = enter(room, name, [name])
    said = []
    for number in range(1, HISTORY + random.randint(3, 9)):
        text = word()
        ada.send(text)
        ada.expect(type="message", id=number, name=name, text=text)
        said.append({"id": number, "name": name, "text": text})
    ada.leave()
    # The server notices the end of the connection a moment later.
    until = time.monotonic() + WAIT_S
    while room_of(room) is not None and time.monotonic() < until:
        time.sleep(0.05)
    assert room_of(room) is None, get("/rooms")
    kept = plain(get(f"/rooms/{room}/history").get("messages"))
    assert kept == said[-HISTORY:], f"the history is {kept}, expected {said[-HISTORY:]}"
    other, text = word("m"), word()
    bob = enter(room, other, [other], said[-HISTORY:])
    bob.send(text)
    bob.expect(type="message", id=len(said) + 1, name=other, text=text)
    bob.leave()


@test
def all_members_see_one_order():
    room, names = word("room"), [word("n") for _ in range(3)]
    clients = [enter(room, name, names[: count + 1]) for count, name in enumerate(names)]
    for client, count in zip(clients, (2, 1, 0)):
        for _ in range(count):
            client.expect(type="joined")
    texts = {name: [word() for _ in range(10)] for name in names}
    for step in range(10):
        for client, name in zip(clients, names):
            client.send(texts[name][step])
    seen = [[part(client.receive(), "type", "id", "name", "text") for _ in range(30)] for client in clients]
    assert seen[0] == seen[1] == seen[2], "the members received the messages in different orders"
    assert [message["id"] for message in seen[0]] == list(range(1, 31)), seen[0]
    for name in names:
        assert [message["text"] for message in seen[0] if message["name"] == name] == texts[name], "the order of one sender was changed"
    for client in clients:
        client.leave()


@test
def lists_rooms_and_history_over_http():
    base = word("room")
    people = {f"{base}{letter}": sorted([word("z"), word("a")]) for letter in "cab"}
    clients = []
    for room, names in people.items():
        clients += [enter(room, names[1], [names[1]]), enter(room, names[0], names)]
    listed = [part(entry, "room", "users") for entry in get("/rooms").get("rooms", [])]
    assert [entry["room"] for entry in listed] == sorted(entry["room"] for entry in listed), listed
    ours = [entry for entry in listed if entry["room"].startswith(base)]
    assert ours == [{"room": room, "users": people[room]} for room in sorted(people)], ours
    for room in (word("unused"), f"{base}a"):
        assert get(f"/rooms/{room}/history").get("messages") == [], get(f"/rooms/{room}/history")
    for client in clients:
        client.leave()


main()
