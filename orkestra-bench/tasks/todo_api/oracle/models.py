"""What clients send and receive."""

from typing import Annotated

from pydantic import BaseModel, StringConstraints

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class TodoInput(BaseModel):
    """A todo without its id."""

    title: Title
    description: str = ""
    done: bool = False


class TodoChanges(BaseModel):
    """Any of the fields. The defaults are never used: only what is given is changed."""

    title: Title = ""
    description: str = ""
    done: bool = False


class Todo(BaseModel):
    """A todo."""

    id: int
    title: str
    description: str
    done: bool
