import copy
import json
import math
import random
import secrets
import string

from grading import main, program, test

# It renders the component and prints what is to be seen after each step. It judges nothing: what is right is decided in this file.
DRIVER = r'''
const esbuild = require("esbuild");
const { JSDOM, VirtualConsole } = require("jsdom");

const entry = `
  export { default as Component } from "./src/ProductTable.tsx";
  export { createElement } from "react";
  export { createRoot } from "react-dom/client";
  export { act } from "react-dom/test-utils";
`;

function bundle() {
  const built = esbuild.buildSync({
    stdin: { contents: entry, resolveDir: process.cwd(), loader: "ts" },
    bundle: true, write: false, format: "iife", globalName: "bundled", platform: "browser", target: "es2020",
    jsx: "automatic", tsconfigRaw: { compilerOptions: { jsx: "react-jsx" } }, logLevel: "silent",
    nodePaths: (process.env.NODE_PATH || "").split(":").filter(Boolean),
    define: { "process.env.NODE_ENV": '"development"' },
  });
  return built.outputFiles[0].text;
}

class Table {
  constructor(window, bundled) {
    this.window = window;
    this.bundled = bundled;
    this.selected = [];
    this.element = window.document.body.appendChild(window.document.createElement("div"));
    this.root = bundled.createRoot(this.element);
  }
  props(props) {
    const { selecting, ...given } = props;
    this.given = given;
    if (selecting) given.onSelect = (product) => this.selected.push(given.products.indexOf(product));
    this.bundled.act(() => this.root.render(this.bundled.createElement(this.bundled.Component, given)));
  }
  all(id) {
    return [...this.element.querySelectorAll(`[data-testid="${id}"]`)];
  }
  one(id) {
    const found = this.all(id);
    if (found.length !== 1) throw new Error(`${found.length} elements with data-testid="${id}"`);
    return found[0];
  }
  click(id, index, cell) {
    let target = this.all(id)[index];
    if (target && cell !== null) target = target.querySelectorAll("td")[cell];
    if (!target) throw new Error(`nothing to click: data-testid="${id}", number ${index}`);
    this.bundled.act(() => target.click());
  }
  type(value) {
    const setter = Object.getOwnPropertyDescriptor(this.window.HTMLInputElement.prototype, "value").set;
    this.bundled.act(() => {
      const input = this.one("search");
      setter.call(input, value);
      input.dispatchEvent(new this.window.Event("input", { bubbles: true }));
    });
  }
  seen() {
    const rows = this.all("row");
    return {
      rows: rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent)),
      places: [...new Set(rows.map((row) => `${row.tagName} in ${row.parentElement.tagName}`))],
      empty: this.all("empty").map((element) => element.textContent),
      page: this.one("page").textContent,
      search: this.one("search").value,
      disabled: ["previous", "next"].map((id) => this.one(id).disabled),
      sorted: ["sort-name", "sort-price"].map((id) => this.one(id).closest("th")?.getAttribute("aria-sort") ?? null),
      buttons: ["sort-name", "sort-price", "previous", "next"].map((id) => this.one(id).tagName),
      selected: this.selected,
      products: this.given.products,
    };
  }
}

function play(code, scenario) {
  const dom = new JSDOM("<!doctype html><body></body>", { runScripts: "outside-only", pretendToBeVisual: true, virtualConsole: new VirtualConsole() });
  const seen = [];
  try {
    dom.window.IS_REACT_ACT_ENVIRONMENT = true;
    dom.window.eval(`${code}; window.bundled = bundled;`);
    const tables = [];
    for (const [number, action, ...details] of scenario) {
      tables[number] ??= new Table(dom.window, dom.window.bundled);
      tables[number][action](...details);
      seen.push(JSON.parse(JSON.stringify(tables.map((table) => table.seen()))));
    }
    return { seen };
  } catch (error) {
    return { seen, error: String(error?.stack ?? error).slice(0, 600) };
  }
}

const { mark, scenarios } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const code = bundle();
const answers = {};
for (const name in scenarios) answers[name] = play(code, scenarios[name]);
process.stdout.write(`\n${mark}${JSON.stringify(answers)}\n`, () => process.exit(0));
'''


def word(size=6):
    return "".join(random.choices(string.ascii_lowercase, k=size))


def price():
    return random.choice([random.randint(1, 30), random.randint(90, 3000), random.randint(100, 99999) / 100])


def products(count):
    """Different names, with capital letters here and there, and different prices."""
    names, prices = set(), set()
    while len(names) < count:
        names.add(word())
    while len(prices) < count:
        prices.add(price())
    names = [name.capitalize() if random.random() < 0.5 else name for name in random.sample(sorted(names), count)]
    ids = random.sample(range(1, 1000), count)
    return [{"id": id, "name": name, "price": value} for id, name, value in zip(ids, names, random.sample(sorted(prices), count))]


class Table:
    """What a table has to show."""

    def __init__(self, play, number, **props):
        self.play, self.number = play, number
        self.search, self.order, self.page, self.selected, self.seen = "", None, 1, [], None
        play.tables.append(self)
        self.props(**props)

    def found(self):
        wanted = self.search.strip().lower()
        found = [product for product in self.given["products"] if wanted in product["name"].lower()]
        if self.order:
            column, descending = self.order
            found.sort(key=lambda product: product[column].lower() if column == "name" else product[column], reverse=descending)
        return found

    def pages(self):
        return max(1, math.ceil(len(self.found()) / self.given.get("pageSize", 5)))

    def rows(self):
        size = self.given.get("pageSize", 5)
        return self.found()[(self.page - 1) * size : self.page * size]

    def expected(self):
        rows = self.rows()
        direction = {column: "none" for column in ("name", "price")}
        if self.order:
            direction[self.order[0]] = "descending" if self.order[1] else "ascending"
        return {
            "rows": [[product["name"], f"${product['price']:.2f}"] for product in rows],
            "empty": [] if rows else ["No products found"],
            "page": f"Page {self.page} of {self.pages()}",
            "search": self.search,
            "disabled": [self.page == 1, self.page == self.pages()],
            "sorted": list(direction.values()),
            "selected": list(self.selected),
            "products": copy.deepcopy(self.given["products"]),
            "places": ["TR in TBODY"] if rows else [],
            "buttons": ["BUTTON"] * 4,
        }

    def props(self, **props):
        self.given = copy.deepcopy(props)
        self.page = min(self.page, self.pages())
        self.play.step(self.number, "props", copy.deepcopy(props))

    def type(self, value):
        self.search, self.page = value, 1
        self.play.step(self.number, "type", value)

    def sort(self, column):
        self.order = (column, self.order == (column, False))
        self.play.step(self.number, "click", f"sort-{column}", 0, None)

    def turn(self, pages):
        self.page += pages
        self.play.step(self.number, "click", "next" if pages > 0 else "previous", 0, None)

    def select(self, index):
        product = self.rows()[index]
        if self.given.get("selecting"):
            self.selected.append(self.given["products"].index(product))
        self.play.step(self.number, "click", "row", index, random.randrange(2))


class Play:
    """The steps of one test, and what every table has to show after each of them."""

    def __init__(self):
        self.tables, self.steps, self.expected = [], [], []

    def step(self, number, action, *details):
        self.steps.append([number, action, *details])
        self.expected.append([table.expected() for table in self.tables])


plays = {}


def scenario(function):
    """Marks the steps of a test. They are chosen before the solution runs; it runs once for all tests."""
    plays[function.__name__] = play = Play()
    function(play)

    def check():
        compare(play, answers()[function.__name__])

    check.__name__ = function.__name__
    return test(check)


results, problems = [], []


def answers():
    if not results:
        name, mark = f"{word(16)}.cjs", secrets.token_hex(16)
        program.write(name, DRIVER)
        task = {"mark": mark, "scenarios": {name: play.steps for name, play in plays.items()}}
        ended = program.run(f"node {name}", stdin=json.dumps(task), timeout_s=25)
        lines = [line for line in ended.stdout.splitlines() if line.startswith(mark)]
        problems.append(f"the component could not be loaded or rendered: {ended}")
        results.append(json.loads(lines[-1][len(mark) :]) if lines else None)
    if not isinstance(results[0], dict) or set(results[0]) != set(plays):
        raise AssertionError(problems[0])
    return results[0]


def compare(play, answer):
    done = []
    for at, (step, expected) in enumerate(zip(play.steps, play.expected)):
        done.append(" ".join(map(str, step[1:]))[:80])
        if at >= len(answer["seen"]):
            raise AssertionError(f"after {done[-4:]}: {answer.get('error')}")
        tables = answer["seen"][at]
        assert len(tables) == len(expected), f"after {done[-4:]}: {len(tables)} tables, expected {len(expected)}"
        for number, (table, wanted) in enumerate(zip(tables, expected)):
            for key in ("page", "empty"):
                table[key] = table[key].strip() if isinstance(table[key], str) else [text.strip() for text in table[key]]
            table["rows"] = [row[:2] for row in table["rows"]]
            for key, value in wanted.items():
                assert table[key] == value, f"after {done[-4:]}: table {number} has {key} {table[key]}, expected {value}"


@scenario
def shows_the_first_page(play):
    for number, props in enumerate([
        {"products": products(8)}, {"products": products(3), "pageSize": 2}, {"products": products(4), "pageSize": 4}, {"products": []},
    ]):
        Table(play, number, **props)


@scenario
def pages_forwards_and_backwards(play):
    size = random.randint(2, 4)
    table = Table(play, 0, products=products(size * 2 + 1), pageSize=size)
    for pages in (1, 1, -1, -1, 1):
        table.turn(pages)


@scenario
def searches_by_name(play):
    items = products(9)
    middle = items[4]["name"][2:5]
    items[7]["name"] = f"{word(3)} {middle.upper()}{word(2)}"
    items[2]["name"] = "a+b (c) [d] .* " + word(3)
    table = Table(play, 0, products=items, pageSize=3)
    for value in (middle.upper(), f"  {middle} ", ".*", "(c) [D", "   ", "0" + word(), items[7]["name"].lower(), ""):
        table.type(value)


@scenario
def a_search_leads_to_the_first_page(play):
    items = products(12)
    for product in items[1:10]:
        product["name"] += "Zq"
    table = Table(play, 0, products=items, pageSize=2)
    for value in ("z", "zq", "", "zq "):
        table.turn(1)
        table.turn(1)
        table.type(value)


@scenario
def sorts_by_name_and_price(play):
    items = products(11)
    items[3]["price"], items[8]["price"], items[5]["price"] = 100, 20, 3.5
    table = Table(play, 0, products=items, pageSize=4)
    for column in ("price", "price", "name", "name", "name", "price"):
        table.sort(column)
    table.turn(1)
    table.sort("price")
    table.sort("name")
    table.type(random.choice("aeiou"))
    table.sort("price")


@scenario
def equal_products_keep_their_order(play):
    items = products(10)
    for product in items[::2]:
        product["price"] = 7
    shared = word()
    for at, product in enumerate(items[1:8:2]):
        product["name"] = shared.upper() if at % 2 else shared
    table = Table(play, 0, products=items, pageSize=20)
    for column in ("price", "price", "name", "name", "price"):
        table.sort(column)


@scenario
def selects_the_very_product(play):
    items = products(7)
    items.append({"id": 5000, "name": items[0]["name"], "price": items[0]["price"]})
    table = Table(play, 0, products=items, pageSize=5, selecting=True)
    table.select(random.randint(1, 4))
    table.sort("price")
    table.select(0)
    table.turn(1)
    table.select(2)
    silent = Table(play, 1, products=products(3))
    silent.select(1)


@scenario
def shows_names_as_text(play):
    items = products(4)
    for product, name in zip(items, (f"<b>{word()}</b>", f"{word()} &amp; <script>x</script>", "<img src=x onerror=y>", f"{{{word()}}}  Ünï ✓")):
        product["name"] = name
    Table(play, 0, products=items).type("<")


@scenario
def follows_the_props(play):
    table = Table(play, 0, products=products(9), pageSize=2)
    for _ in range(4):
        table.turn(1)
    table.props(products=products(5), pageSize=2)
    table.turn(-1)
    fresh = products(12)
    table.props(products=fresh, pageSize=2)
    table.turn(1)
    table.props(products=fresh, pageSize=7)
    table.sort("price")
    table.props(products=products(10), pageSize=7)
    table.type("e")
    table.props(products=[], pageSize=7)
    table.props(products=products(6), pageSize=7)


@scenario
def leaves_the_products_unchanged(play):
    table = Table(play, 0, products=products(8), pageSize=3, selecting=True)
    for column in ("price", "name", "name"):
        table.sort(column)
    table.type("a")
    table.type("")
    table.select(1)
    table.props(products=products(8), pageSize=3, selecting=True)
    table.sort("price")


@scenario
def two_tables_are_independent(play):
    first = Table(play, 0, products=products(7), pageSize=3)
    second = Table(play, 1, products=products(8), pageSize=3)
    first.turn(1)
    second.sort("price")
    second.turn(1)
    first.type("a")
    second.sort("price")
    first.sort("name")


main()
