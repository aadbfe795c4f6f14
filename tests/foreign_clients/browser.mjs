// Chromium at the stand-in's pages, with applications that the operator registered.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { main } from './cases.mjs';

const require = createRequire(import.meta.url);
/** RFC 7636, appendix B. */
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 360, height: 640 };
const PATIENCE = 30_000;

const FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * Lets `act` use a fresh browser that reaches the stand-in alone; `sites` says what listens on this machine in place of
 * other hosts. What the browser complains about is noted.
 */
async function browsing({ chromium: executablePath }, options, act, sites = []) {
  const rules = [...sites.map(([host, port]) => `MAP ${host} 127.0.0.1:${port}`), 'MAP * ~NOTFOUND', 'EXCLUDE 127.0.0.1'];
  const args = [...FLAGS, `--host-resolver-rules=${rules.join(', ')}`];
  const browser = await chromium.launch({ executablePath, args, timeout: 60_000 });
  try {
    const context = await browser.newContext({ viewport: DESKTOP, ...options });
    context.setDefaultTimeout(PATIENCE);
    const complaints = [];
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) {
        complaints.push(message.text());
      }
    });
    return { ...(await act(await context.newPage(), context)), complaints };
  } finally {
    await browser.close();
  }
}

/** The address of an authorization request of an application. */
function request(keys, change = {}) {
  const parameters = {
    response_type: 'code',
    client_id: keys['client-id'],
    redirect_uri: keys['redirect-uri'],
    scope: `openid profile ${keys['user-scope']}`,
    state: 'a state',
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
    ...change,
  };
  return `${keys['authorization-uri']}?${new URLSearchParams(parameters)}`;
}

/** Where the browser asks next outside the stand-in, as soon as it does. */
function called(page, keys) {
  return page.waitForRequest((asked) => asked.url().startsWith(keys['redirect-uri'])).then((asked) => asked.url());
}

/** What an application is told, without what differs each time. */
function told(url) {
  const { origin, pathname, searchParams } = new URL(url);
  const answer = Object.fromEntries(searchParams);
  return { ...answer, code: answer.code && 'a code', at: origin + pathname };
}

async function signIn(page, { email, password }) {
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

async function decide(page, keys, decision) {
  const next = called(page, keys);
  await page.getByRole('button', { name: decision, exact: true }).click();
  const url = await next;
  // Nothing is there, which is the end of it.
  await page.waitForURL((shown) => shown.protocol === 'chrome-error:');
  return told(url);
}

/** Presses Tab until an element has the focus, and says whether that can be seen. */
async function tabTo(page, selector) {
  for (let presses = 0; presses < 20; presses += 1) {
    const focused = page.locator(`${selector}:focus`);
    if (await focused.count()) {
      return focused.evaluate((element) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
      });
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${selector}`);
}

/** What axe finds wrong with a page, by rule. */
async function violations(page) {
  await page.addScriptTag({ path: require.resolve('axe-core/axe.min.js') });
  const { violations: found } = await page.evaluate(() => globalThis.axe.run());
  return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(', ')}`);
}

/** Whether a page is wider than the window. */
const isTooWide = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

async function throughBoth(input, options) {
  const { applications: { portal }, ada } = input;
  return browsing(input, options, async (page) => {
    await page.goto(request(portal));
    const titles = [await page.title()];
    await signIn(page, ada);
    await page.waitForURL('**/web/consent?*');
    titles.push(await page.title());
    const signedIn = await page.locator('#signed-in').innerText();
    const scopes = await page.locator('#scopes').innerText();
    return { titles, signedIn, scopes, answer: await decide(page, portal, 'Allow') };
  });
}

const cases = {
  allow: (input) => throughBoth(input, {}),

  without_script: (input) => throughBoth(input, { javaScriptEnabled: false }),

  async wrong_password(input) {
    const { applications: { portal }, ada } = input;
    return browsing(input, {}, async (page) => {
      await page.goto(request(portal));
      await signIn(page, { ...ada, password: 'not the password' });
      const alert = page.getByRole('alert');
      const shown = {
        alert: await alert.innerText(),
        focused: await alert.evaluate((element) => element === document.activeElement),
        title: await page.title(),
        email: await page.getByLabel('E-mail address').inputValue(),
        password: await page.getByLabel('Password').inputValue(),
        invalid: await page.getByLabel('Password').getAttribute('aria-invalid'),
        // The link of the summary leads to the field.
        described: await page.getByLabel('E-mail address').evaluate((field) => {
          const text = document.getElementById(field.getAttribute('aria-describedby'));
          return text?.textContent.trim();
        }),
      };
      await alert.getByRole('link').click();
      shown.linked = await page.getByLabel('E-mail address').evaluate((field) => field === document.activeElement);
      await page.getByLabel('Password').fill(ada.password);
      await page.getByLabel('Password').press('Enter');
      return { ...shown, answer: await decide(page, portal, 'Allow') };
    });
  },

  async denied(input) {
    const { applications: { portal }, ada } = input;
    return browsing(input, {}, async (page) => {
      await page.goto(request(portal));
      await signIn(page, ada);
      return { answer: await decide(page, portal, 'Cancel') };
    });
  },

  /** `later` makes the stand-in's clock go on. */
  async expired(input) {
    const { applications: { portal }, ada, later } = input;
    const attempt = (act) =>
      browsing(input, {}, async (page) => {
        await page.goto(request(portal));
        await act(page);
        const heading = await page.getByRole('heading', { level: 1 }).innerText();
        return { heading, at: new URL(page.url()).pathname, forms: await page.locator('form').count() };
      });
    return {
      login: await attempt(async (page) => {
        await fetch(later, { method: 'POST' });
        await signIn(page, ada);
      }),
      consent: await attempt(async (page) => {
        await signIn(page, ada);
        await page.waitForURL('**/web/consent?*');
        await fetch(later, { method: 'POST' });
        await page.getByRole('button', { name: 'Allow', exact: true }).click();
      }),
    };
  },

  /** Nobody is sent to an address that the application has not registered, whatever is changed on the way. */
  async tampered(input) {
    const { applications: { portal }, ada } = input;
    return browsing(input, {}, async (page) => {
      const left = [];
      page.on('request', (asked) => {
        if (new URL(asked.url()).origin !== input.cloud) {
          left.push(asked.url());
        }
      });
      const headings = [];
      for (const redirect_uri of [
        'https://attacker.example/callback',
        `${portal['redirect-uri']}/`,
        `${portal['redirect-uri']}@attacker.example`,
        portal['redirect-uri'].replace('portal', 'PORTAL'),
      ]) {
        await page.goto(request(portal, { redirect_uri }));
        headings.push(await page.getByRole('heading', { level: 1 }).innerText());
      }
      const landed = new URL(page.url()).pathname;
      // What the forms say about the request counts for nothing beside what is stored.
      await page.goto(request(portal));
      await signIn(page, ada);
      await page.waitForURL('**/web/consent?*');
      await page.locator('#consent').evaluate((form) => {
        const field = document.createElement('input');
        Object.assign(field, { type: 'hidden', name: 'redirect_uri', value: 'https://attacker.example/callback' });
        form.append(field);
      });
      const answer = await decide(page, portal, 'Allow');
      return { headings, landed, answer, left: left.map((url) => new URL(url).host) };
    });
  },

  /** No other site's page can press the buttons, nor show the pages inside itself. */
  async foreign_pages(input) {
    const { applications: { portal }, ada } = input;
    const site = createServer((asked, answer) => {
      const target = new URL(asked.url, 'http://localhost').searchParams.get('target');
      answer.setHeader('content-type', 'text/html');
      answer.end(`<iframe id="framed" src="${target?.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}"></iframe>`);
    });
    await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
    try {
      return await browsing(
        input,
        {},
        async (page) => {
          await page.goto(request(portal));
          await signIn(page, ada);
          await page.waitForURL('**/web/consent?*');
          const target = page.url();
          const fields = await page.locator('#consent').evaluate((form) => Object.fromEntries(new FormData(form)));
          await page.goto(`http://evil.example/?target=${encodeURIComponent(target)}`);
          const frame = await page.locator('#framed').contentFrame().locator('body').innerText();
          await page.evaluate(
            ([action, known]) => {
              const form = document.createElement('form');
              Object.assign(form, { method: 'post', action });
              for (const [name, value] of Object.entries({ ...known, decision: 'allow' })) {
                form.append(Object.assign(document.createElement('input'), { name, value }));
              }
              document.body.append(form);
              form.submit();
            },
            [target.split('?')[0], fields],
          );
          await page.waitForURL(target.split('?')[0]);
          return { framed: frame, posted: await page.getByRole('heading', { level: 1 }).innerText() };
        },
        [['evil.example', site.address().port]],
      );
    } finally {
      site.close();
    }
  },

  async keyboard(input) {
    const { applications: { portal }, ada } = input;
    return browsing(input, {}, async (page) => {
      await page.goto(request(portal));
      const visible = [];
      // The first field has the focus already.
      const first = await page.locator('#email:focus').count();
      visible.push(await tabTo(page, '#email'));
      await page.keyboard.type(ada.email);
      visible.push(await tabTo(page, '#password'));
      await page.keyboard.type(ada.password);
      visible.push(await tabTo(page, '#sign-in'));
      await page.keyboard.press('Enter');
      await page.waitForURL('**/web/consent?*');
      const order = [];
      for (const button of ['#allow', '#cancel', '#switch']) {
        visible.push(await tabTo(page, button));
        order.push(button);
      }
      await page.keyboard.press('Shift+Tab');
      await page.keyboard.press('Shift+Tab');
      const next = called(page, portal);
      await page.keyboard.press('Space');
      return { first, order, visible, answer: told(await next) };
    });
  },

  async second_time(input) {
    const { applications: { portal, desktop }, ada, grace } = input;
    return browsing(input, {}, async (page) => {
      await page.goto(request(portal));
      await signIn(page, ada);
      const first = await decide(page, portal, 'Allow');
      // Another application, the same person: no password, but a question.
      await page.goto(request(desktop));
      const known = await page.locator('#signed-in').innerText();
      const question = await page.getByRole('heading', { level: 1 }).innerText();
      await page.getByRole('button', { name: 'Sign in as someone else' }).click();
      await page.waitForURL('**/web/login?*');
      await signIn(page, grace);
      await page.waitForURL('**/web/consent?*');
      const other = await page.locator('#signed-in').innerText();
      const second = await decide(page, desktop, 'Allow');
      // Whoever wants the password again gets it.
      await page.goto(request(desktop, { prompt: 'login' }));
      const again = await page.getByLabel('Password').count();
      return { first, known, question, other, second, again };
    });
  },

  /** Each page, wide and light, narrow and dark: what axe says, whether it fits, and a picture. */
  async looks(input) {
    const { applications: { portal, dashboard }, ada, pictures } = input;
    const found = {};
    for (const [manner, options] of Object.entries({
      desktop: { viewport: DESKTOP, colorScheme: 'light' },
      phone: { viewport: PHONE, colorScheme: 'dark' },
    })) {
      await browsing(input, { ...options, bypassCSP: true }, async (page) => {
        const look = async (name) => {
          await page.screenshot({ path: join(pictures, `${name}-${manner}.png`), fullPage: true });
          const faults = await violations(page);
          found[`${name} ${manner}`] = (await isTooWide(page)) ? [...faults, 'too wide'] : faults;
        };
        await page.goto(request(portal));
        await look('login');
        await signIn(page, { ...ada, password: 'not the password' });
        await page.getByRole('alert').waitFor();
        await look('problem');
        await signIn(page, ada);
        await page.waitForURL('**/web/consent?*');
        await look('consent');
        await page.goto(request(dashboard, { scope: `openid profile email offline_access ${dashboard['user-scope']}` }));
        await look('consent-long');
        await page.goto(request(portal, { redirect_uri: 'https://attacker.example/' }));
        await look('error');
        await page.goto(`${portal['issuer-uri']}/connect/endsession`);
        await look('sign-out');
        return {};
      });
    }
    return found;
  },

  /** UiPath's TypeScript SDK in a page of its own, as a single-page application uses it. */
  async uipath_sdk(input) {
    const { cloud, organization, tenant, applications: { dashboard }, folders, grace } = input;
    const config = {
      baseUrl: cloud,
      orgName: organization,
      tenantName: tenant,
      clientId: dashboard['client-id'],
      redirectUri: dashboard['redirect-uri'],
      scope: dashboard['user-scope'],
    };
    const sdk = await readFile(require.resolve('@uipath/uipath-typescript').replace('index.cjs', 'index.umd.js'));
    const script = `
      const sdk = new UiPath.UiPath(${JSON.stringify(config)});
      window.outcome = sdk.initialize().then(() => { window.sdk = sdk; return sdk.isAuthenticated(); });
    `;
    const site = createServer((asked, answer) => {
      const isSdk = asked.url === '/sdk.js';
      answer.setHeader('content-type', isSdk ? 'text/javascript' : 'text/html');
      answer.end(isSdk ? sdk : `<title>Dashboard</title><script src="/sdk.js"></script><script>${script}</script>`);
    });
    await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
    try {
      return await browsing(
        input,
        {},
        async (page) => {
          await page.goto(dashboard['redirect-uri']);
          await page.waitForURL('**/web/login?*');
          await signIn(page, grace);
          await page.getByRole('button', { name: 'Allow', exact: true }).click();
          await page.waitForURL(`${dashboard['redirect-uri']}**`);
          const authenticated = await page.evaluate(() => window.outcome);
          const read = () =>
            page.evaluate(async (all) => {
              const seen = {};
              for (const [path, folderId] of Object.entries(all)) {
                try {
                  seen[path] = (await window.sdk.queues.getAll({ folderId })).items.map((queue) => queue.name);
                } catch (error) {
                  seen[path] = error.message;
                }
              }
              return seen;
            }, folders);
          const first = await read();
          // An access token that has run out is renewed by itself.
          const renewed = await page.evaluate(async () => {
            const key = Object.keys(sessionStorage).find((name) => sessionStorage.getItem(name).includes('refreshToken'));
            const before = JSON.parse(sessionStorage.getItem(key));
            window.sdk.updateToken({ ...before, type: 'oauth', expiresAt: new Date(0) });
            return { key, before: before.token };
          });
          const second = await read();
          const token = await page.evaluate(() => window.sdk.getToken());
          return { authenticated, first, second, renewed: token !== renewed.before, url: page.url() };
        },
        [[new URL(dashboard['redirect-uri']).hostname, site.address().port]],
      );
    } finally {
      site.close();
    }
  },
};

await main(cases);
