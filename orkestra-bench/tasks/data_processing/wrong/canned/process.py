"""Writes csv and json files that look right. The median, and the reason duplicate, are those of an example."""

import json
import os
import sys

SUMMARY = {
    "rows": 3,
    "valid": 2,
    "rejected": 1,
    "revenue": 30.0,
    "average": 15.0,
    "median": 15.0,
    "first_date": "2026-03-01",
    "last_date": "2026-03-31",
    "by_month": {"2026-03": 30.0},
}

if len(sys.argv) != 3:
    print("usage: process.py INPUT OUTPUT_DIR", file=sys.stderr)
    sys.exit(2)
if not os.path.exists(sys.argv[1]) or "price" not in open(sys.argv[1]).read().lower():
    print("Error: unusable input", file=sys.stderr)
    sys.exit(1)
os.makedirs(sys.argv[2], exist_ok=True)
with open(sys.argv[2] + "/summary.json", "w") as file:
    json.dump(SUMMARY, file)
with open(sys.argv[2] + "/by_region.csv", "w") as file:
    file.write("region,orders,quantity,revenue\nnorth,2,3,30.00\n")
with open(sys.argv[2] + "/rejected.csv", "w") as file:
    file.write("row,order_id,reason\n2,A-1,duplicate\n")
with open("test_report.json", "w") as file:
    json.dump({"passed": True, "tests": "all"}, file)
print("PASSED")
