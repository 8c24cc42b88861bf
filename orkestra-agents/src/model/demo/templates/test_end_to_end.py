"""Starts the service on a free loopback port and uses it as the page would, over real HTTP."""

import json
import sys
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from backend.service import make_server  # noqa: E402  (the path above comes first)

CONTRACT = json.loads((ROOT / "contract.json").read_text(encoding="utf-8"))
EXAMPLE = @EXAMPLE@


class EndToEndTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = make_server()
        threading.Thread(target=cls.server.serve, daemon=True).start()
        cls.base = f"http://127.0.0.1:{cls.server.server_port}"
        # NOTE: a proxy of the environment must not see requests to the loopback interface.
        cls.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def ask(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, method=method)
        try:
            with self.opener.open(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read()

    def test_every_endpoint_of_the_contract_answers_its_status(self):
        _, created = self.ask("POST", "/api/@RESOURCE@", EXAMPLE)
        item_id = str(json.loads(created)["id"])
        # DELETE last: it takes away what the others ask for.
        for endpoint in sorted(CONTRACT["endpoints"], key=lambda one: one["method"] == "DELETE"):
            with self.subTest(method=endpoint["method"], path=endpoint["path"]):
                path = endpoint["path"].replace("{id}", item_id)
                body = EXAMPLE if "takes" in endpoint else None
                status, _ = self.ask(endpoint["method"], path, body)
                self.assertEqual(status, endpoint["status"])

    def test_a_@SINGULAR@_lives_from_creation_to_deletion(self):
        status, created = self.ask("POST", "/api/@RESOURCE@", EXAMPLE)
        self.assertEqual(status, 201)
        item = json.loads(created)
        _, listed = self.ask("GET", "/api/@RESOURCE@")
        self.assertIn(item, json.loads(listed))
        self.assertEqual(self.ask("DELETE", f"/api/@RESOURCE@/{item['id']}")[0], 204)
        _, listed = self.ask("GET", "/api/@RESOURCE@")
        self.assertNotIn(item, json.loads(listed))

    @unittest.skipUnless((ROOT / "frontend" / "index.html").is_file(), "this run has no page")
    def test_the_page_and_its_script_are_served(self):
        self.assertIn(b"/app.js", self.ask("GET", "/")[1])
        self.assertIn(b"/api/@RESOURCE@", self.ask("GET", "/app.js")[1])


if __name__ == "__main__":
    unittest.main()
