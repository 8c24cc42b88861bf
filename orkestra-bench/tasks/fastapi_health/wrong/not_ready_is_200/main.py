"""A service that tells whether it is alive, whether it can work, and which version it is."""

import os
import time
from pathlib import Path

from fastapi import FastAPI

STARTED = time.monotonic()
READY_FLAG = Path.cwd() / "ready.flag"
VERSION = os.environ.get("APP_VERSION") or "dev"

app = FastAPI(title="Health", version=VERSION)


@app.get("/health")
def health() -> dict[str, str | float]:
    """Whether the process is alive."""
    return {"status": "ok", "uptime_seconds": round(time.monotonic() - STARTED, 3)}


@app.get("/ready")
def ready() -> dict[str, bool]:
    """Whether the service can do its work now."""
    # The caller maps a service that is not ready to 503.
    return {"ready": READY_FLAG.exists()}


@app.get("/version")
def version() -> dict[str, str]:
    """The version of the service."""
    return {"version": VERSION}
