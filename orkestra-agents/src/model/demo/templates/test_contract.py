"""There is no service in this run: checks that the contract at least agrees with itself."""

import json
import unittest
from pathlib import Path

CONTRACT = json.loads((Path(__file__).resolve().parents[1] / "contract.json").read_text(encoding="utf-8"))


class ContractTest(unittest.TestCase):
    def test_every_schema_that_an_endpoint_names_exists(self):
        for endpoint in CONTRACT["endpoints"]:
            if "takes" in endpoint:
                self.assertIn(endpoint["takes"], CONTRACT["schemas"])

    def test_required_fields_are_described(self):
        for schema in CONTRACT["schemas"].values():
            self.assertLessEqual(set(schema["required"]), set(schema["properties"]))

    def test_no_endpoint_is_there_twice(self):
        endpoints = [(one["method"], one["path"]) for one in CONTRACT["endpoints"]]
        self.assertEqual(len(endpoints), len(set(endpoints)))


if __name__ == "__main__":
    unittest.main()
