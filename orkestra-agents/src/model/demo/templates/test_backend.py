"""Drives backend/service.py through HTTP, request by request, against contract.json."""

import http.client
import json
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.service import make_server  # noqa: E402  (the path above comes first)

PATH = "/api/@RESOURCE@"
EXAMPLE = @EXAMPLE@


class BackendTest(unittest.TestCase):
    def setUp(self):
        self.server = make_server()
        threading.Thread(target=self.server.serve, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def test_health(self):
        self.assertEqual(self.ask("GET", "/health"), (200, {"status": "ok"}))

    def test_list_is_empty_at_first(self):
        self.assertEqual(self.ask("GET", PATH), (200, []))

    def test_create_answers_201_with_the_new_@SINGULAR@(self):
        status, item = self.ask("POST", PATH, EXAMPLE)
        self.assertEqual(status, 201, "contract.json: POST answers 201 Created")
        self.assertEqual(item, {"id": 1, **EXAMPLE})

    def test_create_refuses_what_is_not_a_@SINGULAR@(self):
        for body in [{}, {"@REQUIRED@": " "}, {"@REQUIRED@": 1}, []]:
            status, answer = self.ask("POST", PATH, body)
            self.assertEqual(status, 400, body)
            self.assertIn("error", answer)

    def test_read_replace_and_delete(self):
        self.ask("POST", PATH, EXAMPLE)
        self.assertEqual(self.ask("GET", f"{PATH}/1"), (200, {"id": 1, **EXAMPLE}))
        changed = {**EXAMPLE, "@REQUIRED@": "changed"}
        self.assertEqual(self.ask("PUT", f"{PATH}/1", changed), (200, {"id": 1, **changed}))
        self.assertEqual(self.ask("DELETE", f"{PATH}/1"), (204, None))
        self.assertEqual(self.ask("GET", f"{PATH}/1")[0], 404)

    def test_unknown_ids_and_paths_answer_404(self):
        self.assertEqual(self.ask("GET", f"{PATH}/99")[0], 404)
        self.assertEqual(self.ask("PUT", f"{PATH}/99", EXAMPLE)[0], 404)
        self.assertEqual(self.ask("DELETE", f"{PATH}/99")[0], 404)
        self.assertEqual(self.ask("GET", "/nowhere")[0], 404)


if __name__ == "__main__":
    unittest.main()
