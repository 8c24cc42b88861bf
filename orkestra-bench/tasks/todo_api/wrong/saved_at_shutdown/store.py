"""The todos, in memory while the service runs."""

import atexit
import json
import os
import threading

from models import Todo, TodoInput


class Store:
    """Todos that are read from a JSON file at the start and written to it at the end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._todos: dict[int, Todo] = {}
        self._last_id = 0
        if os.path.exists(path):
            with open(path) as file:
                kept = json.load(file)
            self._todos = {todo["id"]: Todo(**todo) for todo in kept["todos"]}
            self._last_id = kept["last_id"]
        atexit.register(self._save)
        self._save()

    def _save(self) -> None:
        with open(self._path, "w") as file:
            json.dump({"last_id": self._last_id, "todos": [todo.model_dump() for todo in self._todos.values()]}, file)

    def create(self, given: TodoInput) -> Todo:
        with self._lock:
            self._last_id += 1
            todo = Todo(id=self._last_id, **given.model_dump())
            self._todos[todo.id] = todo
            return todo

    def list(self, done: bool | None, offset: int, limit: int) -> list[Todo]:
        todos = [todo for todo in self._todos.values() if done is None or todo.done == done]
        return todos[offset : offset + limit]

    def get(self, todo_id: int) -> Todo | None:
        return self._todos.get(todo_id)

    def change(self, todo_id: int, changes: dict) -> Todo | None:
        with self._lock:
            todo = self._todos.get(todo_id)
            if todo is None:
                return None
            self._todos[todo_id] = todo.model_copy(update=changes)
            return self._todos[todo_id]

    def delete(self, todo_id: int) -> Todo | None:
        with self._lock:
            return self._todos.pop(todo_id, None)
