"""Reads orders from a messy CSV file and writes statistics about them."""

import csv
import io
import json
import re
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

COLUMNS = ["order_id", "date", "region", "quantity", "price"]
DATE_FORMS = [(r"\d{4}-\d{2}-\d{2}", "%Y-%m-%d"), (r"\d{2}/\d{2}/\d{4}", "%d/%m/%Y")]
PRICE = re.compile(r"\$?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?", re.ASCII)
QUANTITY = re.compile(r"\d+", re.ASCII)


class Unusable(Exception):
    """The input cannot be processed at all."""


class Rejected(Exception):
    """A row is not a valid order; the message is the reason."""


@dataclass
class Order:
    order_id: str
    date: date
    region: str
    quantity: int
    price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.price


def read_rows(path: Path) -> list[dict[str, str]]:
    """The values of the five columns of each row that is not empty."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    header_line = text.partition("\n")[0]
    separator = ";" if header_line.count(";") > header_line.count(",") else ","
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    names = [name.strip().lower() for name in next(records, [])]
    for column in COLUMNS:
        if column not in names:
            raise Unusable(f"{path} has no column {column}")
    rows = []
    for record in records:
        values = [value.strip() for value in record]
        if any(values):
            values += [""] * (len(names) - len(values))
            rows.append({column: values[names.index(column)] for column in COLUMNS})
    return rows


def parse_date(text: str) -> date:
    for pattern, form in DATE_FORMS:
        if re.fullmatch(pattern, text, re.ASCII):
            try:
                return datetime.strptime(text, form).date()
            except ValueError:
                break
    raise Rejected("bad date")


def parse_order(row: dict[str, str], seen: set[str]) -> Order:
    if not all(row.values()):
        raise Rejected("missing value")
    is_duplicate = row["order_id"] in seen
    seen.add(row["order_id"])
    day = parse_date(row["date"])
    if not QUANTITY.fullmatch(row["quantity"]) or int(row["quantity"]) < 1:
        raise Rejected("bad quantity")
    if not PRICE.fullmatch(row["price"]):
        raise Rejected("bad price")
    if is_duplicate:
        raise Rejected("duplicate")
    price = Decimal(row["price"].lstrip("$").replace(",", ""))
    return Order(row["order_id"], day, row["region"].lower(), int(row["quantity"]), price)


def parse_orders(rows: list[dict[str, str]]) -> tuple[list[Order], list[tuple[int, str, str]]]:
    """The valid orders, and the number, id and reason of each rejected row."""
    orders, rejected, seen = [], [], set()
    for number, row in enumerate(rows, start=1):
        try:
            order = parse_order(row, seen)
        except Rejected as reason:
            rejected.append((number, row["order_id"], str(reason)))
        else:
            orders.append(order)
    return orders, rejected


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def sums(orders: list[Order], key) -> dict[str, Decimal]:
    """The revenue of each group of orders."""
    revenue = defaultdict(Decimal)
    for order in orders:
        revenue[key(order)] += order.amount
    return revenue


def summary(orders: list[Order], rejected: list) -> dict:
    amounts = [order.amount for order in orders]
    dates = [order.date.isoformat() for order in orders]
    by_month = sums(orders, lambda order: order.date.strftime("%Y-%m"))
    return {
        "rows": len(orders) + len(rejected),
        "valid": len(orders),
        "rejected": len(rejected),
        "revenue": float(cents(sum(amounts, Decimal()))),
        "average": float(cents(statistics.mean(amounts))) if orders else None,
        "median": float(cents(statistics.median(amounts))) if orders else None,
        "first_date": min(dates, default=None),
        "last_date": max(dates, default=None),
        "by_month": {month: float(cents(revenue)) for month, revenue in sorted(by_month.items())},
    }


def regions(orders: list[Order]) -> list[tuple]:
    rows = []
    for region, revenue in sorted(sums(orders, lambda order: order.region).items(), key=lambda item: (-item[1], item[0])):
        quantities = [order.quantity for order in orders if order.region == region]
        rows.append((region, len(quantities), sum(quantities), cents(revenue)))
    return rows


def write_csv(path: Path, header: list[str], rows: list[tuple]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: process.py INPUT OUTPUT_DIR", file=sys.stderr)
        return 2
    try:
        orders, rejected = parse_orders(read_rows(Path(arguments[0])))
    except Unusable as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    out = Path(arguments[1])
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary(orders, rejected), indent=2, ensure_ascii=False)
    (out / "summary.json").write_text(text + "\n", encoding="utf-8")
    write_csv(out / "by_region.csv", ["region", "orders", "quantity", "revenue"], regions(orders))
    write_csv(out / "rejected.csv", ["row", "order_id", "reason"], rejected)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
