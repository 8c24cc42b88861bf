import asyncio

from aiohttp import web

import scraper


def crawl(pages, **options):
    """Serves the pages and scrapes them; returns what was found, by path, and the paths that were requested."""
    requested = []

    async def answer(request):
        requested.append(request.path_qs)
        status, body = pages.get(request.path_qs, (404, ""))
        return web.Response(status=status, text=body, content_type="text/html")

    async def run():
        app = web.Application()
        app.router.add_get("/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        settings = {"concurrency": 3, "timeout_s": 5, "retries": 1, "pages_max": 100, **options}
        try:
            return await scraper.scrape(f"http://127.0.0.1:{port}/", **settings)
        finally:
            await runner.cleanup()

    return asyncio.run(run()), requested


def test_reads_links_like_a_parser():
    text = '<title> A &amp; B </title><!-- <a href="/no">x</a> --><a href="b?x=1&amp;y=2#z">b</a><a href="mailto:a@b.c">m</a><a href="http://[">i</a>'
    assert scraper.read_page("http://site/a", text) == ("A & B", ["http://site/b?x=1&y=2"])


def test_ports_make_different_sites():
    assert scraper.read_page("http://site/a", '<a href="http://site:8080/">x</a><a href="//site:80/b">y</a>')[1] == ["http://site:80/b"]


def test_visits_each_page_once():
    found, requested = crawl({"/": (200, '<a href="/a">a</a><a href="/b">b</a>'), "/a": (200, '<a href="/b">b</a>'), "/b": (200, '<a href="/">top</a>')})
    assert len(found["pages"]) == 3 and found["failed"] == []
    assert sorted(requested) == ["/", "/a", "/b"]


def test_repeats_server_errors_only():
    found, requested = crawl({"/": (200, '<a href="/gone">a</a><a href="/broken">b</a>'), "/broken": (500, "")})
    assert [(failure["error"], failure["attempts"]) for failure in found["failed"]] == [("status 500", 2), ("status 404", 1)]
    assert sorted(requested) == ["/", "/broken", "/broken", "/gone"]


def test_stops_at_the_maximum():
    pages = {"/": (200, "".join(f'<a href="/{number}">n</a>' for number in range(9))), **{f"/{number}": (200, "") for number in range(9)}}
    found, requested = crawl(pages, pages_max=4)
    assert len(found["pages"]) == len(requested) == 4
