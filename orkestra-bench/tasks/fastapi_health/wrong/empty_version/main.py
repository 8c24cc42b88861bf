"""A service that tells whether it is alive, whether it can work, and which version it is."""

import os
import time
from pathlib import Path

from fastapi import FastAPI, Response, status

STARTED = time.monotonic()
READY_FLAG = Path.cwd() / "ready.flag"
VERSION = os.environ.get("APP_VERSION", "dev")

app = FastAPI(title="Health")


@app.get("/health")
def health() -> dict[str, str | float]:
    """Whether the process is alive."""
    return {"status": "ok", "uptime_seconds": round(time.monotonic() - STARTED, 3)}


@app.get("/ready")
def ready(response: Response) -> dict[str, bool]:
    """Whether the service can do its work now."""
    is_ready = READY_FLAG.exists()
    if not is_ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"ready": is_ready}


@app.get("/version")
def version() -> dict[str, str]:
    """The version of the service."""
    return {"version": VERSION}
