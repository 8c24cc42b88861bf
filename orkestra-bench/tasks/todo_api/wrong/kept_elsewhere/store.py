"""The file of the todos, which are somewhere else."""

import sqlite3
import threading
from pathlib import Path

from models import Todo, TodoInput

# AUTOINCREMENT: the id of a deleted todo is not given again.
SCHEMA = """
CREATE TABLE IF NOT EXISTS todos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    done INTEGER NOT NULL
)
"""


class Store:
    """Todos in an SQLite file. Each change is committed before its method returns."""

    def __init__(self, path: str) -> None:
        Path(path).touch()
        self._connection = sqlite3.connect(f"/tmp/{Path(path).name}", check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        # Requests run in several threads.
        self._lock = threading.Lock()
        with self._connection:
            self._connection.execute(SCHEMA)

    def create(self, given: TodoInput) -> Todo:
        with self._lock, self._connection:
            cursor = self._connection.execute(
                "INSERT INTO todos (title, description, done) VALUES (:title, :description, :done)", given.model_dump()
            )
            return Todo(id=cursor.lastrowid, **given.model_dump())

    def list(self, done: bool | None, offset: int, limit: int) -> list[Todo]:
        with self._lock:
            rows = self._connection.execute(
                "SELECT * FROM todos WHERE :done IS NULL OR done = :done ORDER BY id LIMIT :limit OFFSET :offset",
                {"done": done, "offset": offset, "limit": limit},
            ).fetchall()
        return [_todo(row) for row in rows]

    def get(self, todo_id: int) -> Todo | None:
        with self._lock:
            return self._get(todo_id)

    def change(self, todo_id: int, changes: dict) -> Todo | None:
        """Sets the given fields; returns the changed todo, or None when it does not exist."""
        with self._lock, self._connection:
            todo = self._get(todo_id)
            if todo is None:
                return None
            todo = todo.model_copy(update=changes)
            self._connection.execute(
                "UPDATE todos SET title = :title, description = :description, done = :done WHERE id = :id", todo.model_dump()
            )
            return todo

    def delete(self, todo_id: int) -> Todo | None:
        """Deletes a todo and returns it, or None when it does not exist."""
        with self._lock, self._connection:
            todo = self._get(todo_id)
            self._connection.execute("DELETE FROM todos WHERE id = ?", (todo_id,))
            return todo

    def _get(self, todo_id: int) -> Todo | None:
        row = self._connection.execute("SELECT * FROM todos WHERE id = ?", (todo_id,)).fetchone()
        return _todo(row) if row else None


def _todo(row: sqlite3.Row) -> Todo:
    return Todo(id=row["id"], title=row["title"], description=row["description"], done=bool(row["done"]))
