package accesstest

// The wire, stated once more from the documents and from what others saw of the service, so that a wrong
// constant in a client fails against this package. Sources, as cited below:
//
//	[agents]   https://developers.cloudflare.com/cloudflare-one/access-controls/authenticate-agents/
//	[service]  https://developers.cloudflare.com/cloudflare-one/access-controls/service-credentials/service-tokens/
//	[cookie]   https://developers.cloudflare.com/cloudflare-one/access-controls/applications/http-apps/authorization-cookie/
//	[oauth]    https://developers.cloudflare.com/cloudflare-one/access-controls/applications/http-apps/managed-oauth/
//	[session]  https://developers.cloudflare.com/cloudflare-one/access-controls/access-settings/session-management/
//	[cli]      https://developers.cloudflare.com/cloudflare-one/tutorials/cli/
//	[observed] answers of the service that third parties published
//	[client]   what the public client sends and expects (github.com/cloudflare/cloudflared, 2026.8)
//	[assumed]  nobody has published it; a client must not depend on it
const (
	// Cookies. [cookie]; CF_AppSession and CF_Session: [session].
	cookieAuthorization = "CF_Authorization" // application token on the application, org token on the team domain
	cookieAppSession    = "CF_AppSession"    // set with the redirect to the login, wanted back by "authorized"
	cookieBinding       = "CF_Binding"       // only with Binding Cookie enabled
	cookieSession       = "CF_Session"       // team domain

	// Request headers.
	headerAccessToken     = "Cf-Access-Token"            // [cli], [agents]
	headerClientID        = "Cf-Access-Client-Id"        // [service]
	headerClientSecret    = "Cf-Access-Client-Secret"    // [service]
	headerMetadataRequest = "Cf-Access-Metadata-Request" // [client]: "true"
	headerJumpDestination = "Cf-Access-Jump-Destination" // [client]: host:port behind a bastion

	// Answer headers.
	headerMetadata = "Cf-Access-Metadata" // [client]: the signed metadata
	headerAUD      = "Cf-Access-Aud"      // [observed]: on a 403 of an application that only service tokens may pass
	headerDomain   = "Cf-Access-Domain"   // [observed]: the same

	// Added for the origin. [cookie]
	headerAssertion = "Cf-Access-Jwt-Assertion"
	headerEmail     = "Cf-Access-Authenticated-User-Email"

	// Paths on the application. login, authorized: [observed], [client]; cli: [client]; logout: [session].
	pathPrefix     = "/cdn-cgi/access/"
	pathLogin      = "/cdn-cgi/access/login/" // on the team domain, followed by the application's host
	pathAuthorized = "/cdn-cgi/access/authorized"
	pathCLI        = "/cdn-cgi/access/cli"
	pathLogout     = "/cdn-cgi/access/logout"
	pathIdentity   = "/cdn-cgi/access/get-identity" // application and team domain; [cookie]
	pathCerts      = "/cdn-cgi/access/certs"        // team domain; [cookie]
	pathCertSign   = "/cdn-cgi/access/cert_sign"    // team domain; [client]
	pathResource   = "/.well-known/cloudflare-access-protected-resource"

	// The transfer service. [client]
	transferHost      = "login.cloudflareaccess.org"
	transferHostFed   = "login.fed.cloudflareaccess.org"
	transferPath      = "/transfer/"
	headerTransferKey = "Service-Public-Key"

	// Team domains end in one of these. [client]
	teamSuffix    = ".cloudflareaccess.com"
	teamSuffixFed = ".fed.cloudflareaccess.com"
)
