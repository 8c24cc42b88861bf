import csv
import datetime
import io
import json
import random
import string
from collections import defaultdict
from fractions import Fraction

from grading import main, program, test

COLUMNS = ["order_id", "date", "region", "quantity", "price"]
REGIONS = ["North", "South", "new york", "Süd", "East-2"]
FIELDS = {"rows", "valid", "rejected", "revenue", "average", "median", "first_date", "last_date", "by_month"}


timeouts = []


def process(arguments):
    # After a run that did not end, the tests that follow wait for a shorter time.
    ended = program.run(f"python3 process.py {arguments}", timeout_s=2 if timeouts else 6)
    if ended.timed_out:
        timeouts.append(ended)
    return ended


class Order:
    """A valid order with random values. The price has at most two decimal places, so sums are exact."""

    def __init__(self, **fields):
        self.id = fields.get("id") or "A-" + "".join(random.choices(string.ascii_uppercase + string.digits, k=8))
        self.date = fields.get("date") or datetime.date(2024, 1, 1) + datetime.timedelta(random.randint(0, 700))
        self.region = fields.get("region") or random.choice(REGIONS)
        self.quantity = fields.get("quantity") or random.randint(1, 40)
        self.price_cents = fields.get("price_cents") or random.randint(1, 2_000_00)

    @property
    def amount(self):
        return Fraction(self.quantity * self.price_cents, 100)

    def row(self, **changes):
        price = f"{self.price_cents // 100}.{self.price_cents % 100:02}"
        values = [self.id, self.date.isoformat(), self.region, str(self.quantity), price]
        return dict(zip(COLUMNS, values)) | changes

    def messy_row(self, **changes):
        """The same values, written in other ways."""
        region = random.choice([str.upper, str.lower, str.title])(self.region)
        price = random.choice(["", "$"]) + f"{self.price_cents // 100:,}.{self.price_cents % 100:02}"
        date = random.choice([self.date.isoformat(), self.date.strftime("%d/%m/%Y")])
        row = self.row(region=region, price=price, date=date) | changes
        return {name: random.choice(["", " ", "\t"]) + value + random.choice(["", "  "]) for name, value in row.items()}


def csv_text(rows, columns=COLUMNS, separator=",", line_end="\n"):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row.get(name.strip().lower(), "") for name in columns])
    return text.getvalue()


class Output:
    """What the program wrote for an input."""

    def __init__(self, text):
        name = "".join(random.choices(string.ascii_lowercase, k=8))
        program.write(f"{name}.csv", text)
        ended = process(f"{name}.csv out_{name}/statistics")
        assert ended.exit_code == 0, ended
        read = lambda file: program.read(f"out_{name}/statistics/{file}")
        try:
            self.summary = json.loads(read("summary.json"))
        except ValueError:
            raise AssertionError(f"summary.json is not JSON: {read('summary.json')[:300]!r}") from None
        assert isinstance(self.summary, dict) and set(self.summary) == FIELDS, f"the fields of summary.json: {self.summary}"
        self.regions = list(csv.reader(io.StringIO(read("by_region.csv"))))
        self.rejected = list(csv.reader(io.StringIO(read("rejected.csv"))))

    def expect(self, orders, rejected=()):
        """All three files, for these valid orders and rejected rows (number, id, reason)."""
        self.expect_summary(orders, len(rejected))
        self.expect_regions(orders)
        self.expect_rejected(rejected)

    def expect_summary(self, orders, rejected):
        counts = {"rows": len(orders) + rejected, "valid": len(orders), "rejected": rejected}
        dates = sorted(order.date.isoformat() for order in orders) or [None]
        wanted = counts | {"first_date": dates[0], "last_date": dates[-1]}
        found = {name: self.summary[name] for name in wanted}
        assert found == wanted, f"summary.json has {found}, it should have {wanted}"
        amounts = sorted(order.amount for order in orders)
        middle = amounts[(len(amounts) - 1) // 2 : len(amounts) // 2 + 1]
        expect_money("revenue", self.summary["revenue"], sum(amounts))
        expect_money("average", self.summary["average"], sum(amounts) / len(amounts) if amounts else None)
        expect_money("median", self.summary["median"], sum(middle) / len(middle) if amounts else None)
        months = defaultdict(Fraction)
        for order in orders:
            months[order.date.isoformat()[:7]] += order.amount
        found = self.summary["by_month"]
        assert isinstance(found, dict) and set(found) == set(months), f"by_month is {found}, its months should be {sorted(months)}"
        for month, revenue in months.items():
            expect_money(f"by_month[{month}]", found[month], revenue)

    def expect_regions(self, orders):
        groups = defaultdict(list)
        for order in orders:
            groups[order.region.lower()].append(order)
        revenue = {region: sum(order.amount for order in group) for region, group in groups.items()}
        wanted = [["region", "orders", "quantity", "revenue"]]
        for region in sorted(groups, key=lambda region: (-revenue[region], region)):
            quantity = sum(order.quantity for order in groups[region])
            wanted.append([region, str(len(groups[region])), str(quantity), f"{float(revenue[region]):.2f}"])
        assert self.regions == wanted, f"by_region.csv has {self.regions}, it should have {wanted}"

    def expect_rejected(self, rejected):
        wanted = [["row", "order_id", "reason"], *([str(number), order_id, reason] for number, order_id, reason in rejected)]
        assert self.rejected == wanted, f"rejected.csv has {self.rejected}, it should have {wanted}"


def expect_money(name, found, wanted):
    if wanted is None:
        assert found is None, f"{name} is {found!r}, it should be null"
        return
    assert type(found) in (int, float), f"{name} is {found!r}, it should be a number"
    near = abs(Fraction(found) - wanted) <= Fraction("0.0051")
    assert near and abs(found * 100 - round(found * 100)) < 0.0001, f"{name} is {found}, it should be {float(wanted):.3f}, rounded"


@test
def summary_of_clean_orders():
    for count in [1, 7, 8]:
        orders = [Order() for _ in range(count)]
        output = Output(csv_text(order.row() for order in orders))
        output.expect_summary(orders, 0)
        output.expect_rejected([])


@test
def regions_in_order_of_revenue():
    orders = [Order(region="zenith", price_cents=900_00 + random.randint(1, 9999)), Order(region="middle", quantity=1, price_cents=20)]
    orders += [Order(region=region) for region in ["ZENITH", "Zenith", "MIDDLE"]]
    random.shuffle(orders)
    # Two regions with the same revenue, the later name first.
    orders[2:2] = [Order(region=region, quantity=2, price_cents=5050) for region in ["West", "abroad"]]
    Output(csv_text(order.row() for order in orders)).expect_regions(orders)


@test
def reads_dates_and_prices_in_all_forms():
    day, month = random.randint(2, 12), 1
    date = datetime.date(2025, month, day)
    forms = [{"date": f"{day:02}/01/2025"}, {"date": f"2025-01-{day:02}"}]
    orders = [Order(date=date) for _ in forms]
    rows = [order.row(**form) for order, form in zip(orders, forms)]
    prices = {"$1,234.50": 123450, "7": 700, "0.5": 50, "$12": 1200, "1,000,000": 1_000_000_00, "2500.25": 250025}
    for text, price_cents in prices.items():
        orders.append(Order(price_cents=price_cents))
        rows.append(orders[-1].row(price=text))
    Output(csv_text(rows)).expect(orders)


@test
def rejects_rows_with_the_first_reason():
    changes = [
        ("missing value", {"region": ""}),
        ("missing value", {"quantity": "  ", "date": "31/02/2025"}),
        ("missing value", {"order_id": " ", "price": "free"}),
        ("bad date", {"date": "2025-02-30"}),
        ("bad date", {"date": "12/25/2025", "quantity": "0"}),
        ("bad date", {"date": "yesterday"}),
        ("bad quantity", {"quantity": "0"}),
        ("bad quantity", {"quantity": "-3", "price": "nan"}),
        ("bad quantity", {"quantity": "2.0"}),
        ("bad quantity", {"quantity": "two"}),
        ("bad price", {"price": "free"}),
        ("bad price", {"price": "nan"}),
        ("bad price", {"price": "-5.00"}),
        ("bad price", {"price": "1.2.3"}),
    ]
    random.shuffle(changes)
    orders, rows, rejected = [], [], []
    for reason, change in changes:
        if random.random() < 0.5:
            orders.append(Order())
            rows.append(orders[-1].row())
        order = Order()
        rows.append(order.row(**change))
        rejected.append((len(rows), change.get("order_id", order.id).strip(), reason))
    Output(csv_text(rows)).expect(orders, rejected)


@test
def first_valid_row_of_an_order_counts():
    first, second = Order(), Order()
    again = Order(id=first.id)
    bad = Order(id=second.id)
    rows = [bad.row(price="free"), first.row(), second.row(), again.row(), second.row(), again.row(date="soon")]
    rejected = [(1, second.id, "bad price"), (4, first.id, "duplicate"), (5, second.id, "duplicate"), (6, first.id, "bad date")]
    Output(csv_text(rows)).expect([first, second], rejected)


@test
def reads_semicolons_and_byte_order_mark():
    orders = [Order() for _ in range(6)]
    rows = [order.messy_row(note="one, two, three") for order in orders]
    columns = random.sample(["Order_ID ", " DATE", "Region", "note", "quantity", "PRICE"], 6)
    Output(csv_text(rows, columns, ";", "\r\n")).expect(orders)
    columns = random.sample(["order_id", "date", "region", "quantity", "price"], 5)
    Output("\ufeff" + csv_text([order.row() for order in orders], columns)).expect(orders)
    Output("\ufeff" + csv_text([order.row() for order in orders], columns, ";")).expect(orders)


@test
def reads_quoted_fields_and_short_rows():
    orders = [Order(id='B,"1"; x'), Order(region='East, "upper"'), Order(), Order()]
    notes = ["two\nlines; and, separators", 'a "quote"', "\n\n", ""]
    bad = Order(id='C,"2"')
    rows = [order.row(note=note) for order, note in zip(orders, notes)]
    rows.insert(2, bad.row(quantity="many", note="one\ntwo\nthree"))
    text = csv_text(rows, ["note", *COLUMNS], line_end=random.choice(["\n", "\r\n"]))
    text += f"short,{orders[2].id},2025-01-01\n"
    Output(text).expect(orders, [(3, bad.id, "bad quantity"), (6, orders[2].id, "missing value")])


@test
def messy_file_as_a_whole():
    orders, rows, rejected, number = [], [], [], 0
    for _ in range(60):
        order, kind = Order(), random.choice(["valid", "valid", "valid", "empty", "duplicate", "bad date", "bad price"])
        if kind == "empty":
            rows.append(dict.fromkeys(COLUMNS, random.choice(["", "  "])))
            continue
        number += 1
        change = {"bad date": {"date": "2025-00-10"}, "bad price": {"price": "n/a"}}.get(kind, {})
        if kind == "duplicate" and orders:
            change = {"order_id": random.choice(orders).id}
        if change:
            rejected.append((number, change.get("order_id", order.id), kind))
        else:
            orders.append(order)
        rows.append(order.messy_row(comment=random.choice(["", "x\ny", "a,b"]), **change))
    columns = random.sample(["Comment", *COLUMNS], 6)
    Output(csv_text(rows, columns, random.choice(",;"), random.choice(["\n", "\r\n"]))).expect(orders, rejected)


@test
def no_valid_rows():
    Output(csv_text([])).expect([])
    order = Order()
    Output(csv_text([order.row(quantity="0")])).expect([], [(1, order.id, "bad quantity")])


def expect_refusal(arguments, code, directory):
    ended = process(arguments)
    assert ended.exit_code == code and ended.stderr.strip() != "", f"{ended}, the exit code should be {code}, with a message"
    written = [path for path in program.files() if path.split("/")[0] == directory]
    assert written == [], f"{ended}, it should write no files: {written}"


@test
def refuses_unusable_input():
    program.write("good.csv", csv_text([Order().row()]))
    ended = process("good.csv out_good")
    assert ended.exit_code == 0, f"it does not accept good input: {ended}"
    expect_refusal("missing_input.csv out_missing", 1, "out_missing")
    columns = list(COLUMNS)
    columns.remove(random.choice(COLUMNS))
    program.write("columns.csv", csv_text([Order().row()], columns))
    expect_refusal("columns.csv out_columns", 1, "out_columns")


@test
def refuses_wrong_arguments():
    program.write("good.csv", csv_text([Order().row()]))
    ended = process("good.csv out_good")
    assert ended.exit_code == 0, f"it does not accept two arguments: {ended}"
    expect_refusal("", 2, "out_arguments")
    expect_refusal("good.csv", 2, "out_arguments")
    expect_refusal("good.csv out_arguments more", 2, "out_arguments")


main()
