"""Pages as tests read them: tags, text, and whether everything that they refer to is there."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

VOID = {"meta", "link", "img", "input", "br", "wbr"}


class Page(HTMLParser):
    """Tags with their attributes, the text outside scripts and styles, and whether every tag is closed."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.pieces, self.open = [], [], []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        assert len(dict(attributes)) == len(attributes), (tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not set(self.open) & {"script", "style"}:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    def all(self, tag: str, **wanted: str) -> list[dict]:
        found = [attributes for name, attributes in self.tags if name == tag]
        return [a for a in found if all(value in (a.get(key) or "").split() for key, value in wanted.items())]

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def files(self) -> list[Path]:
        """What the page refers to, other than places of its own."""
        links = [a[key] for _, a in self.tags for key in ("href", "src") if key in a]
        return [
            self.path.parent / unquote(link.partition("#")[0])
            for link in links
            if link and not link.startswith(("#", "data:"))
        ]


def check(path: Path) -> Page:
    """A page that is sound: closed tags, ids once, files that exist, all pictures described, nothing from elsewhere."""
    page = Page(path)
    assert len(set(page.ids())) == len(page.ids())
    for file in page.files():
        assert file.is_file(), file
    for image in page.all("img"):
        assert image["alt"]
        assert image["loading"] == "lazy"
    for link in page.all("a"):
        if link["href"].startswith("#"):
            assert link["href"][1:] in page.ids()
    for label in [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]:
        assert label in page.ids()
    assert not re.search(r"https?:|//[\w.]+/|url\(|@import", page.source)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.source.startswith("<!doctype html>")
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == len(page.all("main")) == 1
    return page
