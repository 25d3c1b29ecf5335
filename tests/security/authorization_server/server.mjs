// An authorization server that we did not write: npm's oidc-provider, which is certified by the OpenID Foundation, set up as one that
// serves SMART apps would be. It tells where it is in one line of JSON on its standard output, and lives until it is told to end.
//
// Standard input is one line of JSON: { audience, clients, accounts }. POST /-/rotate gives it a new signing key beside the old one.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const RESOURCE_SCOPES = [
  'launch/patient', 'fhirUser', 'patient/*.rs', 'patient/*.cruds', 'patient/Account.rs', 'patient/Observation.rs?category=laboratory',
  'user/*.cruds', 'system/*.rs', 'system/*.cruds',
].join(' ');

const lines = createInterface({ input: process.stdin });
const { audience, clients, accounts } = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);

let keys = [newKey()];
let callback;
const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/-/rotate') {
    keys = [newKey(), ...keys];
    callback = provider().callback();
    response.end();
  } else {
    callback(request, response);
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
callback = provider().callback();
process.stdout.write(`${JSON.stringify({ issuer })}\n`);

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), use: 'sig', alg: 'RS256' };
}

function provider() {
  const made = new Provider(issuer, {
    clients,
    jwks: { keys },
    cookies: { keys: ['only for tests'] },
    scopes: ['openid', 'offline_access', 'launch/patient', 'fhirUser', 'patient/*.rs', 'patient/*.cruds', 'patient/Account.rs', 'system/*.rs'],
    clientAuthMethods: ['none', 'client_secret_basic', 'private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384'] },
    extraParams: ['aud', 'launch'],
    pkce: { required: () => true },
    ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 3600, IdToken: 600, Interaction: 600, Session: 3600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId === 'phb-fhir' },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => client.clientId === token.clientId },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx) => ctx.oidc.params.aud ?? audience, // SMART apps call the resource `aud`
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource, client) => ({
          audience: resource,
          scope: RESOURCE_SCOPES,
          accessTokenFormat: client.clientId.startsWith('opaque') ? 'opaque' : 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (_ctx, token) => contextOf(token),
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
  });
  made.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route === 'token' && ctx.body?.access_token) {
      Object.assign(ctx.body, launchOf(ctx.oidc.entities.AccessToken)); // SMART App Launch: the context beside the token
    }
  });
  return made;
}

// What the access token says of who signed in, and of whom they opened.
function contextOf(token) {
  const { patient, ...rest } = accounts[token.accountId] ?? {};
  return token.accountId ? { ...rest, ...launchOf(token) } : undefined;
}

function launchOf(token) {
  const patient = accounts[token?.accountId]?.patient;
  return patient && token.scope?.split(' ').includes('launch/patient') ? { patient } : {};
}
