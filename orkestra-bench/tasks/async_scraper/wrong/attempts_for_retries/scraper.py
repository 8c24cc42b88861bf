"""Visits all pages of a web site and prints their titles and links as JSON."""

import argparse
import asyncio
import json
import sys
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

import aiohttp

PAUSE_S = 0.2


class PageParser(HTMLParser):
    """Collects the title and the `href` attributes of a page."""

    def __init__(self):
        super().__init__()
        self.hrefs = []
        self.title = None
        self.in_title = False

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.hrefs += [value for name, value in attrs if name == "href" and value is not None]
        if tag == "title" and self.title is None:
            self.title, self.in_title = "", True

    def handle_endtag(self, tag):
        if tag == "title":
            self.in_title = False

    def handle_data(self, data):
        if self.in_title:
            self.title += data


def origin(url):
    """Scheme, host and port; ValueError for an invalid URL."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def read_page(url, text):
    """The title of a page and the links that stay on its site."""
    parser = PageParser()
    parser.feed(text)
    parser.close()
    links = set()
    for href in parser.hrefs:
        try:
            link = urldefrag(urljoin(url, href.strip())).url
            if origin(link) == origin(url):
                links.add(link)
        except ValueError:
            continue
    return (parser.title or "").strip(), sorted(links)


class Failed(Exception):
    """A request without a usable response."""

    def __init__(self, error, again):
        super().__init__(error)
        self.error, self.again = error, again


class Scraper:
    def __init__(self, session, timeout_s, retries, pages_max):
        self.session, self.timeout_s, self.retries, self.pages_max = session, timeout_s, retries, pages_max
        self.queue = asyncio.Queue()
        self.seen = set()
        self.pages, self.failed = [], []

    def add(self, url):
        if url not in self.seen and len(self.seen) < self.pages_max:
            self.seen.add(url)
            self.queue.put_nowait(url)

    async def fetch(self, url):
        """The text of an HTML page, or "" for content of another type."""
        try:
            async with asyncio.timeout(self.timeout_s), self.session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise Failed(f"status {response.status}", again=response.status >= 500)
                body = await response.read()
                if response.content_type != "text/html":
                    return ""
                return body.decode(response.charset or "utf-8", errors="replace")
        except TimeoutError:
            raise Failed("timeout", again=True) from None
        except aiohttp.ClientError:
            raise Failed("connection", again=True) from None

    async def visit(self, url):
        attempts = 0
        while True:
            attempts += 1
            try:
                text = await self.fetch(url)
            except Failed as failure:
                if failure.again and attempts < self.retries:
                    await asyncio.sleep(PAUSE_S)
                    continue
                self.failed.append({"url": url, "error": failure.error, "attempts": attempts})
                return
            title, links = read_page(url, text)
            self.pages.append({"url": url, "title": title, "links": links})
            for link in links:
                self.add(link)
            return

    async def work(self):
        while True:
            url = await self.queue.get()
            try:
                await self.visit(url)
            finally:
                self.queue.task_done()


async def scrape(start, concurrency, timeout_s, retries, pages_max):
    # A kept connection that the server has closed would be asked a second time by aiohttp itself.
    connector = aiohttp.TCPConnector(limit=concurrency, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        scraper = Scraper(session, timeout_s, retries, pages_max)
        scraper.add(urldefrag(start).url)
        workers = [asyncio.create_task(scraper.work()) for _ in range(concurrency)]
        await scraper.queue.join()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    by_url = {"key": lambda entry: entry["url"]}
    return {"pages": sorted(scraper.pages, **by_url), "failed": sorted(scraper.failed, **by_url)}


def main():
    parser = argparse.ArgumentParser(description="Visits all pages of a web site and prints what it found as JSON.")
    parser.add_argument("start_url")
    parser.add_argument("--concurrency", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=5.0)
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--max-pages", type=int, default=100)
    options = parser.parse_args()
    found = asyncio.run(scrape(options.start_url, options.concurrency, options.timeout, options.retries, options.max_pages))
    print(json.dumps(found, indent=2))
    start = urldefrag(options.start_url).url
    sys.exit(1 if any(failure["url"] == start for failure in found["failed"]) else 0)


if __name__ == "__main__":
    main()
