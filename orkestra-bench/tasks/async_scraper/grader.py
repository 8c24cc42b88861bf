import hashlib
import hmac
import json
import random
import secrets
import string

from grading import main, program, test

# The web server that the scraper visits. It runs beside the solution and under its user, so it is made hard to interfere with: it starts empty, and
# the grader sends it the site and a key before the solution runs for the first time. What it observed comes back signed with that key, which is only
# in its memory, and other processes of the user may not look into that.
SERVER = r'''
import asyncio, ctypes, hashlib, hmac, json, sys

ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no debugger, no /proc/PID/mem
state = {"key": None, "site": {}, "requests": [], "active": 0, "peak": 0}


def head(status, kind, size):
    return f"HTTP/1.1 {status} Answer\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode()


def control(path, body):
    if path == "/claim" and state["key"] is None:
        message = json.loads(body)
        state["key"], state["site"] = message["key"].encode(), message["site"]
        return 200, b"claimed"
    if path == "/observe" and state["key"]:
        seen = json.dumps({"requests": state["requests"], "peak": state["peak"]})
        proof = hmac.new(state["key"], body + seen.encode(), hashlib.sha256).hexdigest()
        return 200, json.dumps({"seen": seen, "proof": proof}).encode()
    return 404, b""


async def page(path, writer):
    rule = state["site"].get(path, {"status": 404})
    count = state["requests"].count(path)
    state["requests"].append(path)
    body = rule.get("body", "").encode()
    broken = count < rule.get("fail_times", 0)
    state["active"] += 1
    state["peak"] = max(state["peak"], state["active"])
    try:
        await asyncio.sleep(rule.get("delay", 0))
        if broken and rule["fail"] == "silent":
            await asyncio.sleep(6)
        if broken and rule["fail"] == "trickle":
            writer.write(head(200, "text/html", 1000))
            for _ in range(24):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.25)
    finally:
        # Before the last byte is sent: the scraper may begin the next request as soon as it has it.
        state["active"] -= 1
    if broken and rule["fail"] == "half":
        writer.write(head(200, "text/html", len(body) + 100) + body)
    elif broken and rule["fail"] == "status":
        writer.write(head(rule["fail_status"], "text/html", len(body)) + body)
    elif not broken:
        writer.write(head(rule.get("status", 200), rule.get("type", "text/html; charset=utf-8"), len(body)) + body)


async def serve(reader, writer):
    try:
        first = await reader.readexactly(1)
        if first < b"A":
            return  # TLS
        lines = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path = lines[0].split(" ")[:2]
        size = max([int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")], default=0)
        body = await reader.readexactly(size)
        if method == "POST":
            status, answer = control(path, body)
            writer.write(head(status, "text/plain", len(answer)) + answer)
        else:
            await page(path, writer)
        await writer.drain()
    except (OSError, ValueError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def run():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), limit=2**20)
    await server.serve_forever()

asyncio.run(run())
'''

given_up = []
ports = iter(random.sample(range(20000, 30000, 2), 10))


def word(prefix="", size=8):
    return prefix + "".join(random.choices(string.ascii_lowercase, k=size))


class Site:
    """A web site in a server of its own, and what the scraper finds in it."""

    def __init__(self, options):
        self.options, self.rules, self.pages, self.failed, self.found = options, {}, {}, {}, None
        self.port = next(ports)
        self.base = f"http://127.0.0.1:{self.port}"
        self.root = "/" + word(size=12)

    def path(self):
        return f"{self.root}/{word()}"

    def page(self, path, title, body, links, **rule):
        """A page; `links` are the paths that have to be found in it."""
        self.rules[path] = {"body": f"<html><head>{title}</head><body>{body}</body></html>", **rule}
        text = title.replace("<title>", "").replace("</title>", "").replace("&amp;", "&").strip()
        self.pages[path] = {"url": self.base + path, "title": text, "links": sorted({self.base + link for link in links})}

    def failure(self, path, error, attempts, **rule):
        self.rules[path] = rule
        self.failed[path] = {"url": self.base + path, "error": error, "attempts": attempts}

    def begin(self):
        """Starts the server and gives it the site. No program of the solution runs yet."""
        name, self.key = f"{word(size=16)}.py", secrets.token_hex(32)
        program.write(name, SERVER)
        self.server = program.start(f"python3 -I {name} {self.port}", self.port, timeout_s=8)
        claimed = program.http(self.port, "POST", "/claim", {"key": self.key, "site": self.rules})
        assert claimed.status == 200, claimed
        program.run(f"rm {name}")

    def observed(self):
        nonce = secrets.token_hex(16)
        answer = program.http(self.port, "POST", "/observe", body=nonce).json()
        proof = hmac.new(self.key.encode(), (nonce + answer["seen"]).encode(), hashlib.sha256).hexdigest()
        assert hmac.compare_digest(proof, answer["proof"]), "the observations do not come from the grader's server"
        return json.loads(answer["seen"])

    def crawl(self):
        """Runs the scraper once; later calls return what it found then."""
        if self.found is None:
            prepare()
            self.ended, self.found = scrape(self.base + self.start, self.options)
            self.seen = self.observed()
        return self.found


def scrape(url, options):
    if given_up:
        raise AssertionError(given_up[0])
    ended = program.run(f"python3 scraper.py {url} {options}", timeout_s=12)
    if ended.timed_out:
        given_up.append(f"the scraper does not end: {ended}")
    assert not ended.timed_out, ended
    try:
        found = json.loads(ended.stdout)
        lists = [sorted(found) and found["pages"], found["failed"]]
        assert all(isinstance(entry["url"], str) for entries in lists for entry in entries)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise AssertionError(f"standard output is not the JSON object that was asked for: {ended}") from None
    return ended, found


def compare(found, expected, fields):
    """The entries have exactly these values, in this order."""
    found = [{field: entry.get(field) for field in fields} for entry in found]
    expected = [{field: entry[field] for field in fields} for entry in sorted(expected, key=lambda entry: entry["url"])]
    for entry in expected:
        assert entry in found, f"missing: {entry}; found for this URL: {[other for other in found if other['url'] == entry['url']]}"
    for entry in found:
        assert entry in expected, f"not expected: {entry}"
    assert found == expected, f"not sorted by URL, or listed twice: {[entry['url'] for entry in found]}"


def plain_site():
    """Pages with all kinds of links, most of which lead to pages, and some to traps."""
    site = Site("")
    a, b, c, d, e, f, text, sub = [site.path() for _ in range(8)]
    sub += "/deep/page"
    query = f"{b}?x={word()}&y={random.randint(1, 99)}"
    # Every trap exists, so that a scraper that asks for it is answered and reports it.
    traps = [site.path() for _ in range(8)]
    for trap in traps:
        site.rules[trap] = {"body": f"<title>trap</title><a href='{traps[0]}'>t</a>"}
    site.traps, site.start = traps, a
    site.page(a, f"<title> {word('Start ')} &amp; more\n</title>", f"""
        <a href="{b}">b</a> <a class="x" href='{c.rsplit("/", 1)[1]}'>c</a> <A HREF="{site.base}{d}#part">d</A> <a href="#top">top</a>
        <a href="{query.replace("&", "&amp;")}">query</a> <a href="{sub}">deep</a> <a href="{b}#again">b</a> <a name="here">no link</a>
        <!-- <a href="{traps[0]}">comment</a> --> <script>var a = '<a href="{traps[1]}">script</a>';</script> <link rel="next" href="{traps[2]}">
        <img src="{traps[3]}"> <a data-href="{traps[4]}">data</a>
        """, [a, b, c, d, query, sub])
    site.page(b, "", f"""
        <a href="mailto:someone@127.0.0.1">mail</a> <a href="javascript:void(0)">script</a> <a href="tel:12345">tel</a> <a href="http://[bad/x">invalid</a>
        <a href="http://127.0.0.1:notaport/">invalid</a> <a href="http://localhost:{site.port}{traps[5]}">host</a> <a href="//localhost:{site.port}{traps[6]}">host</a>
        <a href="https://127.0.0.1:{site.port}{b}">scheme</a> <a href="http://127.0.0.1:{site.port - 1}{b}">port</a> <a href="http://127.0.0.1{b}">port</a>
        <a href="{a}">start</a> <a href="?page=2">next</a> <a href="{text}">text</a>
        """, [a, f"{b}?page=2", text])
    site.page(query, f"<title>{word('Q')}</title>", f'<a href="{e}">e</a><a href="{e}">e again</a>', [e])
    site.page(f"{b}?page=2", f"<title>{word('Page ')}</title>", f'<a href="{b}">first</a>', [b])
    site.page(sub, f"<title>{word('Deep ')}</title>", '<a href="other">other</a><a href="../up">up</a><a href=".">here</a>', [f"{sub[:-4]}other", f"{sub[:-9]}up", sub[:-4]])
    for path in (f"{sub[:-4]}other", f"{sub[:-9]}up", sub[:-4]):
        site.page(path, f"<title>{word('Sub ')}</title>", "<p>An end.</p>", [])
    for path, link in ((c, d), (d, c), (e, f), (f, a)):
        site.page(path, f"<title>{word('Ünï ')}</title>", f'<p>{word()}</p><a href="{link}">{word()}</a>', [link])
    site.page(text, "", "", [], type="text/plain")
    site.rules[text]["body"] = f'<title>no page</title><a href="{traps[7]}">text</a>'
    return site


def broad_site():
    """A page that leads to many slow ones."""
    limit = random.randint(3, 6)
    site = Site(f"--concurrency {limit}")
    paths = [site.path() for _ in range(4 * limit - 1)]
    site.limit, site.start = limit, site.path()
    site.page(site.start, "<title>Start</title>", "".join(f'<a href="{path}">x</a>' for path in paths), paths)
    for path in paths:
        site.page(path, f"<title>{word()}</title>", "", [], delay=random.uniform(0.3, 0.4))
    return site


def troubled_site():
    """Pages that fail, some of them once and some always. Every failure has one retry."""
    site = Site("--timeout 1.5 --retries 1 --concurrency 12")
    site.start, trap, linked = site.path(), site.path(), site.path()
    site.rules[trap] = {"body": "trap"}
    paths = {kind: site.path() for kind in ("503 once", "503", "500", "404", "403", "half once", "half", "silent", "trickle", "slow")}
    site.page(site.start, "<title>Start</title>", "".join(f'<a href="{path}">x</a>' for path in paths.values()), paths.values())
    link = f'<a href="{linked}">x</a>'
    for kind, rule in (("503 once", {"fail": "status", "fail_status": 503}), ("half once", {"fail": "half"})):
        site.page(paths[kind], f"<title>{word()}</title>", link, [linked], fail_times=1, **rule)
    site.page(linked, f"<title>{word()}</title>", "", [])
    # It is within the limit, and far slower than the other pages.
    site.page(paths["slow"], f"<title>{word()}</title>", "", [], delay=0.6)
    trap = f'<a href="{trap}">x</a>'
    for status, attempts in ((503, 2), (500, 2), (404, 1), (403, 1)):
        site.failure(paths[str(status)], f"status {status}", attempts, status=status, body=trap)
    # A connection that ends before the first byte would be no fair test: aiohttp itself asks once more then.
    site.failure(paths["half"], "connection", 2, fail="half", fail_times=99, body=trap)
    for kind in ("silent", "trickle"):
        site.failure(paths[kind], "timeout", 2, fail=kind, fail_times=99)
    site.paths = paths
    return site


def long_site():
    """A chain of pages, each of which links to two more."""
    site = Site(f"--max-pages {random.randint(6, 10)} --concurrency 2 --retries 0")
    paths = [site.path() for _ in range(30)]
    site.start, site.maximum = paths[0], int(site.options.split()[1])
    for at, path in enumerate(paths):
        links = paths[2 * at + 1 : 2 * at + 3]
        site.page(path, f"<title>{at}</title>", "".join(f'<a href="{link}">x</a>' for link in links), links, delay=0.05)
    return site


plain, broad, troubled, long = plain_site(), broad_site(), troubled_site(), long_site()
prepared = []


def prepare():
    """All servers have their site and their key before the solution runs for the first time."""
    if not prepared:
        prepared.append(True)
        for site in (plain, broad, troubled, long):
            site.begin()


@test
def visits_every_page():
    found = plain.crawl()
    assert plain.ended.exit_code == 0, plain.ended
    compare(found["pages"], plain.pages.values(), ("url", "title"))
    assert found["failed"] == [], found["failed"]


@test
def lists_the_links_of_each_page():
    compare(plain.crawl()["pages"], plain.pages.values(), ("url", "links"))


@test
def requests_each_url_once():
    for site in (plain, broad):
        site.crawl()
        requests = site.seen["requests"]
        assert sorted(requests) == sorted(site.pages), f"requested {sorted(requests)}, expected {sorted(site.pages)}"


@test
def stays_on_the_site():
    found = plain.crawl()
    asked = [path for path in plain.seen["requests"] if path in plain.traps]
    assert asked == [], f"it follows what is not a link, or leads to another site: {asked}"
    listed = {link for page in found["pages"] for link in page["links"]} | {page["url"] for page in found["pages"]}
    foreign = sorted(url for url in listed if not url.startswith(plain.base + "/"))
    assert foreign == [], f"links to other sites are listed: {foreign}"


@test
def never_exceeds_the_concurrency():
    broad.crawl()
    assert broad.seen["peak"] <= broad.limit, f"{broad.seen['peak']} requests at the same time with --concurrency {broad.limit}"
    long.crawl()
    assert long.seen["peak"] <= 2, f"{long.seen['peak']} requests at the same time with --concurrency 2"


@test
def uses_the_concurrency():
    compare(broad.crawl()["pages"], broad.pages.values(), ("url", "title", "links"))
    assert broad.seen["peak"] == broad.limit, f"at most {broad.seen['peak']} requests at the same time with --concurrency {broad.limit}"


def repeated(kinds):
    """What the scraper reports of these pages of the troubled site is right, and so is how often it asked for them."""
    found = troubled.crawl()
    paths = [troubled.paths[kind] for kind in kinds]
    for path in paths:
        asked = troubled.seen["requests"].count(path)
        expected = troubled.failed[path]["attempts"] if path in troubled.failed else 1 + bool(troubled.rules[path].get("fail_times"))
        assert asked == expected, f"{dict(zip(paths, kinds))[path]}: {asked} requests, expected {expected} with --retries 1"
    for name, fields in (("pages", ("url", "title", "links")), ("failed", ("url", "error", "attempts"))):
        entries = [entry for entry in found[name] if entry["url"].removeprefix(troubled.base) in paths]
        compare(entries, [entry for path, entry in getattr(troubled, name).items() if path in paths], fields)


@test
def tries_again_after_server_errors_and_lost_connections():
    repeated(["503 once", "503", "500", "half once", "half"])
    compare(troubled.crawl()["failed"], troubled.failed.values(), ("url",))
    assert troubled.ended.exit_code == 0, troubled.ended


@test
def does_not_repeat_other_failures():
    repeated(["404", "403"])
    expected = set(troubled.pages) | set(troubled.failed)
    asked = set(troubled.seen["requests"])
    assert asked == expected, f"requested besides: {asked - expected}, not requested: {expected - asked}"


@test
def gives_up_slow_requests():
    repeated(["silent", "trickle", "slow"])


@test
def stops_at_the_maximum_of_pages():
    found = long.crawl()
    requests = long.seen["requests"]
    assert len(requests) == len(set(requests)) == long.maximum, f"{len(requests)} requests with {long.options}"
    compare(found["pages"], [long.pages[path] for path in requests], ("url", "title", "links"))
    assert found["failed"] == [], found["failed"]


@test
def reports_a_start_page_that_fails():
    prepare()
    # Nobody listens on this port of the sandbox.
    url = f"http://127.0.0.1:{random.randint(30000, 31000)}/{word()}"
    ended, found = scrape(url, "--retries 1")
    assert ended.exit_code == 1, ended
    compare(found["failed"], [{"url": url, "error": "connection", "attempts": 2}], ("url", "error", "attempts"))
    assert found["pages"] == [], found["pages"]


main()
