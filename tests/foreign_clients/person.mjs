// A person at a browser, as far as pages, forms, cookies and redirects go.

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', '#x27': "'", '#x2f': '/' };

function unescaped(text) {
  return text.replace(/&(#?\w+);/g, (whole, name) => ENTITIES[name.toLowerCase()] ?? whole);
}

function attribute(tag, name) {
  const found = new RegExp(`\\s${name}="([^"]*)"`).exec(tag);
  return found && unescaped(found[1]);
}

export class Person {
  #cookies = new Map();

  constructor({ email, password }) {
    this.email = email;
    this.password = password;
  }

  async #send(url, options = {}) {
    const cookie = [...this.#cookies].map((pair) => pair.join('=')).join('; ');
    const response = await fetch(url, { ...options, redirect: 'manual', headers: { ...options.headers, cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      this.#cookies.set(name, value);
    }
    const location = response.headers.get('location');
    return { url, status: response.status, html: await response.text(), next: location && new URL(location, url) };
  }

  /** Follows redirects as long as they stay at the server. */
  async #follow(page) {
    while (page.next?.origin === new URL(page.url).origin) {
      page = await this.#send(page.next);
    }
    return page;
  }

  /** Sends the form with this id, with what it holds already. */
  async #submit(page, id, filled) {
    const form = new RegExp(`<form id="${id}"[^]*?</form>`).exec(page.html)?.[0];
    if (!form) {
      throw new Error(`there is no form ${id}: ${page.status} ${page.html}`);
    }
    const body = new URLSearchParams(filled);
    for (const [tag] of form.matchAll(/<input[^>]*type="hidden"[^>]*>/g)) {
      body.set(attribute(tag, 'name'), attribute(tag, 'value'));
    }
    const page_ = await this.#send(new URL(attribute(form, 'action'), page.url), { method: 'POST', body });
    return page_;
  }

  /**
   * Answers an authorization request: signs in where that is asked for, and decides. Gives back the address at which the
   * application is called, or the page that the person is left with.
   */
  async answer(request, decision = 'allow') {
    let page = await this.#follow(await this.#send(request));
    if (page.html.includes('<form id="login"')) {
      const filled = { email: this.email, password: this.password };
      page = await this.#follow(await this.#submit(page, 'login', filled));
    }
    if (page.html.includes('<form id="consent"')) {
      page = await this.#follow(await this.#submit(page, 'consent', { decision }));
    }
    return page.next ?? page;
  }
}
