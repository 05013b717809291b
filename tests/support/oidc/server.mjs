// A certified OpenID provider that looks like a tenant of Entra ID: issuer `{origin}/{tenant}/v2.0`.
// It reads a line of JSON for each order on standard input: {"rotate": true} or {"claims": {...}, "alg": "ES256"}.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [port, tenant] = process.argv.slice(2);
const prefix = `/${tenant}/v2.0`;
const issuer = `http://127.0.0.1:${port}${prefix}`;
const order = { claims: {}, alg: 'RS256' };

function key(kind, options) {
  const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' });
  return { ...jwk, kid: randomUUID(), use: 'sig' };
}

function provider() {
  const made = new Provider(issuer, {
    jwks: { keys: [key('rsa', { modulusLength: 2048 }), key('ec', { namedCurve: 'P-256' })] },
    clients: [{
      client_id: 'tests', client_secret: 'tests-secret', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [],
    }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'all', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: order.alg } },
        }),
      },
    },
    extraTokenClaims: () => order.claims,
  });
  return made.callback();
}

let serve = provider();
createServer((request, response) => {
  request.originalUrl = request.url;
  request.url = request.url.slice(prefix.length);
  serve(request, response);
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));

createInterface({ input: process.stdin }).on('line', (line) => {
  const { rotate, ...rest } = JSON.parse(line);
  Object.assign(order, rest);
  if (rotate) serve = provider();
  console.log('done');
}).on('close', () => process.exit(0));
