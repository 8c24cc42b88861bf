"""A service that manages todos and keeps them in an SQLite file."""

import os
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Response

from models import Todo, TodoChanges, TodoInput
from store import Store

app = FastAPI(title="Todos")
store = Store(os.environ.get("TODO_FILE", "todos.db"))


def found(todo: Todo | None) -> Todo:
    """The todo, or a response with 404."""
    if todo is None:
        raise HTTPException(404, "Todo not found")
    return todo


@app.post("/todos", status_code=201)
def create(given: TodoInput) -> Todo:
    return store.create(given)


@app.get("/todos")
def list_todos(
    done: bool | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[Todo]:
    return store.list(done, offset, limit)


@app.get("/todos/{todo_id}")
def read(todo_id: int) -> Todo:
    return found(store.get(todo_id))


@app.put("/todos/{todo_id}")
def replace(todo_id: int, given: TodoInput) -> Todo:
    return found(store.change(todo_id, given.model_dump()))


@app.patch("/todos/{todo_id}")
def change(todo_id: int, given: TodoChanges) -> Todo:
    return found(store.change(todo_id, given.model_dump(exclude={"title"} if not given.title else None)))


@app.delete("/todos/{todo_id}", status_code=204)
def delete(todo_id: int) -> Response:
    found(store.delete(todo_id))
    return Response(status_code=204)
