"""A chat with rooms over WebSocket; everything is kept in memory."""

import asyncio
import json
from collections import deque

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

HISTORY_MESSAGES = 20
NAME_CHARACTERS_MAX = 20
TEXT_CHARACTERS_MAX = 1000

app = FastAPI()


class Room:
    """The members of a room and its last messages."""

    def __init__(self):
        self.members = {}
        self.history = []
        self.next_id = 1

    def users(self):
        return sorted(self.members)

    def broadcast(self, message):
        for member in self.members.values():
            member.outbox.append(message)
            member.wake()

    def enter(self, name, member):
        member.outbox.append({"type": "history", "messages": self.history[:HISTORY_MESSAGES]})
        self.members[name] = member
        self.broadcast({"type": "joined", "name": name, "users": self.users()})

    def say(self, name, text):
        message = {"id": self.next_id, "name": name, "text": text}
        self.next_id += 1
        self.history.append(message)
        self.broadcast({"type": "message", **message})

    def leave(self, name):
        del self.members[name]
        self.broadcast({"type": "left", "name": name, "users": self.users()})


class Member:
    """A connection with the messages that it has yet to be sent, so that a slow client does not hold up the others."""

    def __init__(self, socket):
        self.socket = socket
        self.outbox = deque()
        self.waiting = asyncio.Event()

    def wake(self):
        self.waiting.set()

    async def send_all(self):
        while True:
            while self.outbox:
                await self.socket.send_text(json.dumps(self.outbox.popleft()))
            self.waiting.clear()
            await self.waiting.wait()


rooms = {}


def text_of(frame):
    """The text that a client wants to say, or `None` for a bad message."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("type") != "message":
        return None
    text = message.get("text")
    if not isinstance(text, str) or not text.strip() or len(text) > TEXT_CHARACTERS_MAX:
        return None
    return text


async def refuse(socket, reason):
    await socket.send_json({"type": "error", "reason": reason})
    await socket.close(code=1008)


async def listen(socket, room, name, member):
    while True:
        frame = await socket.receive()
        if frame["type"] == "websocket.disconnect":
            return
        text = text_of(frame.get("text") or "")
        if text is None:
            member.outbox.append({"type": "error", "reason": "bad_message"})
            member.wake()
        else:
            room.say(name, text)


@app.websocket("/ws/{room_name}")
async def chat(socket: WebSocket, room_name: str, name: str = ""):
    await socket.accept()
    name = name.strip()
    try:
        if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
            return await refuse(socket, "bad_name")
        room = rooms.setdefault(room_name, Room())
        if name in room.members:
            return await refuse(socket, "name_taken")
    except WebSocketDisconnect:
        return None
    # From the check of the name to this line nothing is awaited: two clients cannot get the same name.
    member = Member(socket)
    room.enter(name, member)
    sender = asyncio.create_task(member.send_all())
    try:
        await listen(socket, room, name, member)
    finally:
        room.leave(name)
        sender.cancel()
        # A connection that breaks while something is sent is not an error of the chat.
        await asyncio.gather(sender, return_exceptions=True)


@app.get("/rooms")
async def list_rooms():
    return {"rooms": [{"room": name, "users": rooms[name].users()} for name in sorted(rooms) if rooms[name].members]}


@app.get("/rooms/{room_name}/history")
async def history(room_name: str):
    return {"messages": rooms[room_name].history[:HISTORY_MESSAGES] if room_name in rooms else []}
