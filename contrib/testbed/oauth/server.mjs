// server.mjs - an OAuth 2.0 authorization server that nobody here wrote (npm oidc-provider), for access/oidc_test.go.
//
//   node server.mjs ISSUER RESOURCE SOCKET SECRET
//
// It listens on a Unix socket, behind a proxy that speaks TLS for ISSUER, prints "ready" and ends with its standard input.
// SECRET is that of the client "resource", which may introspect tokens (RFC 7662). All that it knows is lost at its end.
import { createServer } from 'node:http';
import { stdin, stdout, argv, exit } from 'node:process';
import { Provider } from 'oidc-provider';

const [, , issuer, resource, socket, secret] = argv;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'resource', client_secret: secret, redirect_uris: [], response_types: [], grant_types: [],
    token_endpoint_auth_method: 'client_secret_basic', introspection_endpoint_auth_method: 'client_secret_basic',
  }],
  features: {
    devInteractions: { enabled: true }, // its own pages: login, consent
    introspection: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, indicator) {
        if (indicator !== resource) throw new Error(`unknown resource ${indicator}`);
        return { scope: 'git', audience: resource, accessTokenFormat: 'opaque' };
      },
    },
    revocation: { enabled: true },
  },
  // Access asks for no offline_access: whoever registered the grant gets a refresh token.
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
});
provider.proxy = true;
provider.on('server_error', (ctx, error) => console.error(error));

// No scope means the one that there is (RFC 6749 §3.3); oidc-provider's own default is to grant nothing.
provider.use(async (ctx, next) => {
  if (ctx.path === '/auth' && !ctx.query.scope) ctx.query = { ...ctx.query, scope: 'git' };
  await next();
});

createServer(provider.callback()).listen(socket, () => stdout.write('ready\n'));
stdin.resume().once('end', () => exit(0));
