"""Checks the page against contract.json: its parts fit together and it calls only endpoints that exist."""

import json
import re
import unittest
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "frontend" / "index.html").read_text(encoding="utf-8")
SCRIPT = (ROOT / "frontend" / "app.js").read_text(encoding="utf-8")
CONTRACT = json.loads((ROOT / "contract.json").read_text(encoding="utf-8"))


class Ids(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.names, self.scripts = set(), set(), set()
        self.feed(PAGE)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        if tag in ("input", "textarea"):
            self.names.add(attributes.get("name"))
        if tag == "script":
            self.scripts.add(attributes.get("src"))


class FrontendTest(unittest.TestCase):
    def test_the_page_loads_the_script(self):
        self.assertIn("/app.js", Ids().scripts)

    def test_every_element_that_the_script_wants_exists(self):
        wanted = set(re.findall(r'getElementById\("([^"]+)"\)', SCRIPT))
        self.assertTrue(wanted)
        self.assertLessEqual(wanted, Ids().ids)

    def test_the_form_has_the_fields_of_the_contract(self):
        schema = CONTRACT["schemas"]["@SCHEMA@"]
        self.assertEqual(Ids().names, set(schema["properties"]) - {"id"})

    def test_only_endpoints_of_the_contract_are_called(self):
        endpoints = {(one["method"], one["path"]) for one in CONTRACT["endpoints"]}
        base = re.search(r'const PATH = "([^"]+)"', SCRIPT).group(1)
        calls = set(re.findall(r'ask\("([A-Z]+)", (PATH|`\$\{PATH\}/\$\{item\.id\}`)', SCRIPT))
        self.assertEqual({method for method, _ in calls}, {"GET", "POST", "DELETE"})
        for method, path in calls:
            self.assertIn((method, base if path == "PATH" else f"{base}/{{id}}"), endpoints)


if __name__ == "__main__":
    unittest.main()
