import pytest
from fastapi.testclient import TestClient

import main


@pytest.fixture
def client():
    main.rooms.clear()
    with TestClient(main.app) as client:
        yield client


def enter(client, name, room="kitchen"):
    return client.websocket_connect(f"/ws/{room}?name={name}")


def test_members_hear_each_other(client):
    with enter(client, "ada") as ada:
        assert ada.receive_json() == {"type": "history", "messages": []}
        assert ada.receive_json() == {"type": "joined", "name": "ada", "users": ["ada"]}
        with enter(client, "bob") as bob:
            assert ada.receive_json() == {"type": "joined", "name": "bob", "users": ["ada", "bob"]}
            bob.receive_json(), bob.receive_json()
            bob.send_json({"type": "message", "text": "hi"})
            said = {"type": "message", "id": 1, "name": "bob", "text": "hi"}
            assert ada.receive_json() == said and bob.receive_json() == said
        assert ada.receive_json() == {"type": "left", "name": "bob", "users": ["ada"]}


def test_a_taken_name_is_refused(client):
    with enter(client, "ada"), enter(client, " ada ") as second:
        assert second.receive_json() == {"type": "error", "reason": "name_taken"}
        assert client.get("/rooms").json() == {"rooms": [{"room": "kitchen", "users": ["ada"]}]}


@pytest.mark.parametrize("frame", ["", "hello", "[]", '{"type": "message", "text": " "}', '{"type": "message", "text": 5}'])
def test_bad_messages(client, frame):
    with enter(client, "ada") as ada:
        ada.receive_json(), ada.receive_json()
        ada.send_text(frame)
        assert ada.receive_json() == {"type": "error", "reason": "bad_message"}
        ada.send_json({"type": "message", "text": "fine"})
        assert ada.receive_json()["id"] == 1


def test_the_history_is_bounded(client):
    with enter(client, "ada") as ada:
        for number in range(25):
            ada.send_json({"type": "message", "text": str(number)})
        for _ in range(27):
            ada.receive_json()
    assert [message["text"] for message in client.get("/rooms/kitchen/history").json()["messages"]] == [str(number) for number in range(5, 25)]
