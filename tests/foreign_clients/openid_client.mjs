// openid-client with what the operator published.

import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';

import { main, outcome } from './cases.mjs';
import { Person } from './person.mjs';

/** The client that a Secret or ConfigMap describes: everything but its keys comes from discovery. */
async function configured(keys) {
  const secret = keys['client-secret'];
  const authentication = secret ? client.ClientSecretPost(secret) : client.None();
  const options = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] };
  return client.discovery(new URL(keys['issuer-uri']), keys['client-id'], undefined, authentication, options);
}

/** The claims of an access token, verified as a resource server would. */
async function verified(keys, token) {
  const set = createRemoteJWKSet(new URL(keys['jwk-set-uri']));
  const expected = { issuer: keys['issuer-uri'], typ: 'at+jwt' };
  return (await jwtVerify(token, set, expected)).payload;
}

/** An authorization request, with everything that protects it. */
async function request(config, keys, scope, change = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const checks = {
    pkceCodeVerifier: verifier,
    expectedState: client.randomState(),
    expectedNonce: client.randomNonce(),
  };
  const parameters = {
    redirect_uri: keys['redirect-uri'],
    scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...change,
  };
  const given = Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== undefined));
  return { url: client.buildAuthorizationUrl(config, given), checks };
}

async function signedIn(config, keys, person, scope) {
  const { url, checks } = await request(config, keys, scope);
  const called = await new Person(person).answer(url);
  return client.authorizationCodeGrant(config, called, checks);
}

const ALL = 'openid profile email offline_access';

const cases = {
  async discovery({ applications: { worker } }) {
    return (await configured(worker)).serverMetadata();
  },

  async client_credentials({ applications: { worker } }) {
    const config = await configured(worker);
    const { access_token: token, ...rest } = await client.clientCredentialsGrant(config, { scope: worker.scope });
    return { ...rest, claims: await verified(worker, token) };
  },

  /** The other way in which a confidential client may authenticate; the secret has characters that matter there. */
  async basic({ applications: { worker } }) {
    const config = await client.discovery(
      new URL(worker['issuer-uri']),
      worker['client-id'],
      undefined,
      client.ClientSecretBasic(worker['client-secret']),
      { execute: [client.allowInsecureRequests] },
    );
    return { scope: (await client.clientCredentialsGrant(config, { scope: worker.scope })).scope };
  },

  async code({ applications: { portal }, ada }) {
    const config = await configured(portal);
    const scope = `openid profile email ${portal['user-scope']}`;
    const { url, checks } = await request(config, portal, scope, {
      code_challenge: undefined,
      code_challenge_method: undefined,
    });
    delete checks.pkceCodeVerifier;
    const called = await new Person(ada).answer(url);
    const tokens = await client.authorizationCodeGrant(config, called, checks);
    return {
      called: called.href.split('?')[0],
      kinds: Object.keys(tokens).sort(),
      id: tokens.claims(),
      claims: await verified(portal, tokens.access_token),
      person: await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub),
      introspected: await client.tokenIntrospection(config, tokens.access_token),
    };
  },

  async code_with_pkce({ applications: { desktop }, ada }) {
    const config = await configured(desktop);
    const tokens = await signedIn(config, desktop, ada, `${ALL} ${desktop['user-scope']}`);
    const claims = await verified(desktop, tokens.access_token);
    const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
    return { kinds: Object.keys(tokens).sort(), id: tokens.claims(), claims, person };
  },

  async pkce_is_not_optional({ applications: { desktop }, ada }) {
    const config = await configured(desktop);
    const refused = async (change) => {
      const { url, checks } = await request(config, desktop, desktop['user-scope'], change);
      delete checks.expectedNonce;
      const called = await new Person(ada).answer(url);
      return outcome(() => client.authorizationCodeGrant(config, called, checks));
    };
    const { url, checks } = await request(config, desktop, `openid ${desktop['user-scope']}`);
    const called = await new Person(ada).answer(url);
    const other = { ...checks, pkceCodeVerifier: client.randomPKCECodeVerifier() };
    return {
      none: await refused({ code_challenge: undefined, code_challenge_method: undefined }),
      plain: await refused({ code_challenge_method: 'plain' }),
      another: await outcome(() => client.authorizationCodeGrant(config, called, other)),
    };
  },

  async refresh({ applications: { desktop }, ada }) {
    const config = await configured(desktop);
    const first = await signedIn(config, desktop, ada, `${ALL} ${desktop['user-scope']}`);
    const second = await client.refreshTokenGrant(config, first.refresh_token);
    const rotated = first.refresh_token !== second.refresh_token;
    const claims = await verified(desktop, second.access_token);
    const replayed = await outcome(() => client.refreshTokenGrant(config, first.refresh_token));
    const family = await outcome(() => client.refreshTokenGrant(config, second.refresh_token));
    const without = await signedIn(config, desktop, ada, `openid ${desktop['user-scope']}`);
    return { rotated, claims, replayed, family, without: without.refresh_token ?? null };
  },

  async revocation({ applications: { portal }, ada }) {
    const config = await configured(portal);
    const scope = `${ALL} ${portal['user-scope']}`;
    const one = await signedIn(config, portal, ada, scope);
    await client.tokenRevocation(config, one.access_token);
    const access = await client.tokenIntrospection(config, one.access_token);
    const person = await outcome(() => client.fetchUserInfo(config, one.access_token, one.claims().sub));
    const untouched = await client.refreshTokenGrant(config, one.refresh_token);
    await client.tokenRevocation(config, untouched.refresh_token);
    return {
      access,
      person,
      refresh: await outcome(() => client.refreshTokenGrant(config, untouched.refresh_token)),
      grant: await client.tokenIntrospection(config, untouched.access_token),
    };
  },

  async introspection({ applications: { worker, portal } }) {
    const config = await configured(worker);
    const { access_token: token } = await client.clientCredentialsGrant(config, { scope: worker.scope });
    return {
      own: await client.tokenIntrospection(config, token),
      foreign: await client.tokenIntrospection(await configured(portal), token),
      nonsense: await client.tokenIntrospection(config, 'nonsense'),
    };
  },

  /** The client compares who answered with whom it asked (RFC 9207). */
  async mix_up({ applications: { portal }, ada }) {
    const config = await configured(portal);
    const attempt = async (tamper) => {
      const { url, checks } = await request(config, portal, `openid ${portal['user-scope']}`);
      const called = await new Person(ada).answer(url);
      tamper(called.searchParams);
      return outcome(async () => ({ tokens: Object.keys(await client.authorizationCodeGrant(config, called, checks)) }));
    };
    return {
      intact: await attempt(() => {}),
      missing: await attempt((answer) => answer.delete('iss')),
      another: await attempt((answer) => answer.set('iss', 'https://attacker.example')),
      state: await attempt((answer) => answer.set('state', 'another')),
    };
  },

  async denied({ applications: { portal }, ada }) {
    const config = await configured(portal);
    const { url, checks } = await request(config, portal, `openid ${portal['user-scope']}`);
    const called = await new Person(ada).answer(url, 'cancel');
    return outcome(() => client.authorizationCodeGrant(config, called, checks));
  },

  /** Every grant that the type of an application, or the types of its scopes, does not allow. */
  async refusals({ applications: { worker, robot, portal, desktop }, ada }) {
    const credentials = async (keys, scope) => {
      const config = await configured(keys);
      return outcome(() => client.clientCredentialsGrant(config, { scope }));
    };
    const code = async (keys, scope) => {
      const config = await configured(keys);
      const { url, checks } = await request(config, keys, scope);
      const called = await new Person(ada).answer(url);
      return outcome(() => client.authorizationCodeGrant(config, called, checks));
    };
    const redeem = async (keys, grant, parameters) => {
      const config = await configured(keys);
      return outcome(() => client.genericGrantRequest(config, grant, parameters));
    };
    const wrong = { ...worker, 'client-secret': 'wrong' };
    const claimed = { ...desktop, 'client-secret': 'invented' };
    const redirect_uri = worker['redirect-uri'];
    return {
      credentials_of_a_desktop: await credentials(desktop, desktop['user-scope']),
      credentials_with_user_scopes_only: await credentials(portal, portal['user-scope']),
      credentials_with_a_user_scope: await credentials(worker, worker['user-scope']),
      credentials_with_an_unknown_scope: await credentials(worker, 'OR.Machines'),
      credentials_with_offline_access: await credentials(worker, `${worker.scope} offline_access`),
      wrong_secret: await credentials(wrong, worker.scope),
      a_secret_of_a_desktop: await credentials(claimed, desktop['user-scope']),
      request_of_one_without_user_scopes: await code(robot, 'OR.Default'),
      code_without_user_scopes: await redeem(robot, 'authorization_code', { code: 'x', redirect_uri }),
      refresh_without_user_scopes: await redeem(robot, 'refresh_token', { refresh_token: 'x' }),
      request_with_an_application_scope: await code(worker, 'openid OR.Queues'),
      password: await redeem(worker, 'password', { username: ada.email, password: ada.password }),
      device: await redeem(worker, 'urn:ietf:params:oauth:grant-type:device_code', { device_code: 'x' }),
    };
  },
};

await main(cases);
