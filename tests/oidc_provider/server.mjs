// A certified OpenID provider with dynamic client registration. Its one argument says how it shall behave:
//
//   port              where it listens on loopback; 0 for any
//   management          rotate: RFC 7592, with a new registration access token after each update;
//                       reads: the same after each read, too; keep: without new tokens; none: RFC 7591 alone
//   secretLifetime      seconds until a client secret expires; absent: never
//   renews              whether each update then gives a new secret
//   initialAccessToken  what a registration must be asked for with
//
// Everything is kept in memory. Below /__admin lies what an administrator of the provider sees and does.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

import { Provider } from 'oidc-provider';

const behaviour = JSON.parse(process.argv[2]);
const now = () => Math.floor(Date.now() / 1000);

/** All that the provider stores: one map for each of its models. */
const stores = new Map();
const store = (model) => stores.get(model) ?? stores.set(model, new Map()).get(model);

/** The provider's own example of an adapter evicts what is old; a registration must stay. */
class Memory {
  constructor(model) {
    this.model = model;
    this.store = store(model);
  }

  async upsert(id, payload) {
    this.store.set(id, payload);
  }

  async find(id) {
    return this.store.get(id);
  }

  async findByUid(uid) {
    return [...this.store.values()].find((payload) => payload.uid === uid);
  }

  async findByUserCode(code) {
    return [...this.store.values()].find((payload) => payload.userCode === code);
  }

  async destroy(id) {
    this.store.delete(id);
  }

  async consume(id) {
    this.store.get(id).consumed = now();
  }

  async revokeByGrantId(grantId) {
    for (const known of stores.values()) {
      for (const [id, payload] of known) {
        if (payload.grantId === grantId) known.delete(id);
      }
    }
  }
}

const policies = {
  /** What a provider does whose secrets do not last. */
  expiring(ctx, properties) {
    if (!properties.client_secret) return;
    properties.client_secret_expires_at = now() + behaviour.secretLifetime;
    if (ctx.method !== 'PUT') return;
    if (behaviour.renews) {
      properties.client_secret = randomBytes(32).toString('base64url');
    } else {
      properties.client_secret_expires_at = ctx.oidc.client.clientSecretExpiresAt;
    }
  },
};

function configuration() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const managed = behaviour.management !== 'none';
  return {
    adapter: Memory,
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'one' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    scopes: ['openid', 'offline_access', 'invoices.read', 'invoices.write', 'reports'],
    ttl: { ClientCredentials: 600, AccessToken: 600, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
    features: {
      clientCredentials: { enabled: true },
      // Access tokens are JWTs, so that those who get one can check it.
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://invoices.example.com',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'invoices.read invoices.write reports',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
      introspection: { enabled: true },
      revocation: { enabled: true },
      registration: {
        enabled: true,
        initialAccessToken: true,
        issueRegistrationAccessToken: managed,
        policies,
      },
      registrationManagement: {
        enabled: managed,
        rotateRegistrationAccessToken: ['rotate', 'reads'].includes(behaviour.management),
      },
    },
  };
}

/** Gives a new registration access token with each read, as RFC 7592 section 2.1 lets a provider do. */
function rotatingReads(provider) {
  return async (ctx, next) => {
    await next();
    if (ctx.method !== 'GET' || ctx.oidc?.route !== 'client' || ctx.status !== 200) return;
    const old = await provider.RegistrationAccessToken.find(ctx.body.registration_access_token);
    const rotated = new provider.RegistrationAccessToken({ clientId: old.clientId, policies: old.policies });
    await old.destroy();
    ctx.body.registration_access_token = await rotated.save();
  };
}

/** Every request to the registration endpoints: method, client id (none for a create) and status. */
const requests = [];

/** The administrator's view: no part of any standard, for tests alone. */
async function administer(request, response, path) {
  const clients = store('Client');
  const [collection, id] = path;
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body ?? null));
  };
  if (collection === 'requests') return answer(200, requests);
  if (collection !== 'clients') return answer(404);
  if (!id) return answer(200, [...clients.values()]);
  if (request.method === 'PATCH') {
    if (!clients.has(id)) return answer(404);
    clients.set(id, { ...clients.get(id), ...await json(request) });
  } else if (request.method === 'DELETE') {
    clients.delete(id);
  }
  return answer(200, clients.get(id));
}

const server = createServer();
server.listen(behaviour.port ?? 0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration());
  if (behaviour.management === 'reads') provider.use(rotatingReads(provider));
  const InitialAccessToken = provider.InitialAccessToken;
  const token = new InitialAccessToken({
    jti: behaviour.initialAccessToken,
    ...(behaviour.secretLifetime ? { policies: ['expiring'] } : {}),
  });
  const initial = await token.save();
  const answer = provider.callback();
  server.on('request', (request, response) => {
    const path = new URL(request.url, issuer).pathname.split('/').slice(1);
    if (path[0] === '__admin') {
      administer(request, response, path.slice(1)).catch(() => response.destroy());
      return;
    }
    if (path[0] === 'reg') {
      response.on('finish', () => {
        requests.push({ method: request.method, client: path[1] ?? null, status: response.statusCode });
      });
    }
    answer(request, response);
  });
  console.log(`initial access token ${initial}`);
  console.log(`listening on ${issuer}`);
});
