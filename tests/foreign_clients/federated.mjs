// openid-client for an application that has no secret, but a token that somebody else has signed (RFC 7523).

import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';

import { main, outcome } from './cases.mjs';

/** Authenticates with the token as it is at that moment: kubelet replaces it before it expires. */
function projectedToken(read) {
  return async (_server, metadata, body) => {
    body.set('client_id', metadata.client_id);
    body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    body.set('client_assertion', await read());
  };
}

async function configured({ issuer, client: id }, read) {
  const options = { execute: [client.allowInsecureRequests] };
  return client.discovery(new URL(issuer), id, undefined, projectedToken(read), options);
}

const cases = {
  async client_credentials(input) {
    const { scope, assertion, another } = input;
    const config = await configured(input, () => assertion);
    const { access_token: token } = await client.clientCredentialsGrant(config, { scope });
    const metadata = config.serverMetadata();
    const set = createRemoteJWKSet(new URL(metadata.jwks_uri));
    const { payload: claims } = await jwtVerify(token, set, { issuer: metadata.issuer, typ: 'at+jwt' });
    const wrong = await configured(input, () => another);
    return { claims, another: await outcome(() => client.clientCredentialsGrant(wrong, { scope })) };
  },
};

await main(cases);
