"""A small web application that knows its database and its cache."""

import os
from urllib.parse import urlsplit

from fastapi import FastAPI

app = FastAPI()


def address(variable: str, default_port: int) -> str:
    """Host and port of the URL in an environment variable, without its user and password."""
    url = urlsplit(os.environ.get(variable, ""))
    return f"{url.hostname}:{url.port or default_port}"


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/services")
def services():
    return {"database": address("DATABASE_URL", 5432), "cache": address("REDIS_URL", 6379)}
