"""A person at a browser, as far as pages, forms, cookies and redirects go."""

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests


class Forms(HTMLParser):
    """The forms of a page by their ids: where they go, and what they hold already."""

    def __init__(self, page):
        super().__init__()
        self.found = {}
        self.current = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.current = {}
            self.found[attributes["id"]] = (attributes["action"], self.current)
        elif tag == "input" and attributes.get("type") == "hidden" and self.current is not None:
            self.current[attributes["name"]] = attributes["value"]


class Person:
    def __init__(self, email, password, **_):
        self.email = email
        self.password = password
        self.browser = requests.Session()

    def follow(self, response):
        """Follows redirects as long as they stay at the server: the last page, and where it leads."""
        while True:
            location = response.headers.get("location")
            target = location and urljoin(response.url, location)
            if target is None or urlsplit(target).netloc != urlsplit(response.url).netloc:
                return response, target
            response = self.browser.get(target, allow_redirects=False)

    def submit(self, page, form, filled):
        action, held = Forms(page.text).found[form]
        answer = self.browser.post(urljoin(page.url, action), data={**held, **filled}, allow_redirects=False)
        return self.follow(answer)

    def answer(self, request, decision="allow"):
        """Answers an authorization request: signs in where that is asked for, and decides. Gives back the address at
        which the application is called."""
        page, target = self.follow(self.browser.get(request, allow_redirects=False))
        if "login" in Forms(page.text).found:
            page, target = self.submit(page, "login", {"email": self.email, "password": self.password})
        if "consent" in Forms(page.text).found:
            page, target = self.submit(page, "consent", {"decision": decision})
        return target or f"{page.status_code} {page.url}"
