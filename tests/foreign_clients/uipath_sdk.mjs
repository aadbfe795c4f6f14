// UiPath's TypeScript SDK in Node, with what the operator published.

import { UiPath } from '@uipath/uipath-typescript/core';
import { Queues } from '@uipath/uipath-typescript/queues';

import { main } from './cases.mjs';

/** The SDK reports its use, and has no setting against it: requests reach the stand-in and nothing else. */
function confined(cloud) {
  const reach = globalThis.fetch;
  globalThis.fetch = (resource, options) =>
    new URL(resource.url ?? resource).origin === cloud ? reach(resource, options) : Promise.reject(new Error('confined'));
}

async function token(keys) {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: keys['client-id'],
    client_secret: keys['client-secret'],
    scope: keys.scope,
  });
  const answer = await fetch(keys['token-uri'], { method: 'POST', body });
  return (await answer.json()).access_token;
}

async function outcome(call) {
  try {
    return await call();
  } catch (error) {
    return { type: error.type, status: error.statusCode, message: error.message };
  }
}

const cases = {
  async by_token({ cloud, organization, tenant, applications: { robot }, folders }) {
    confined(cloud);
    const secret = await token(robot);
    const queues = new Queues(new UiPath({ baseUrl: cloud, orgName: organization, tenantName: tenant, secret }));
    const seen = {};
    for (const [path, folderId] of Object.entries(folders)) {
      seen[path] = await outcome(async () => {
        const { items } = await queues.getAll({ folderId, pageSize: 10 });
        const one = await queues.getById(items[0].id, folderId);
        return { names: items.map((queue) => queue.name), one: one.name };
      });
    }
    return seen;
  },
};

await main(cases);
