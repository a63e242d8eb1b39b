package accesstest

import (
	"net/http"
	"strings"
	"time"
)

// Metadata are the claims of an application's signed metadata. [client]
type Metadata struct {
	Type        string `json:"type"` // "match"
	Hostname    string `json:"hostname"`
	AppHostname string `json:"app_hostname,omitempty"` // as defined, with wildcard
	AuthDomain  string `json:"auth_domain"`            // the team domain
	AUD         string `json:"aud"`
	IssuedAt    int64  `json:"iat"`
}

// MetadataFault falsifies the metadata of an application. Each is what a
// client must refuse, except MetadataGenuine.
type MetadataFault int

const (
	MetadataGenuine    MetadataFault = iota
	MetadataAbsent                   // no header, as under Bypass or without Access
	MetadataWrongKey                 // signed by another key under the team's key id
	MetadataUnknownKey               // signed by a key that the team does not publish
	MetadataAlgNone                  // alg "none"
	MetadataHS256                    // HMAC keyed with the public key
	MetadataUnsigned                 // empty signature
	MetadataExpired                  // issued 25 h ago
	MetadataFuture                   // issued 1 h ahead
	MetadataOtherHost                // names another host
	MetadataOtherTeam                // correctly signed by App.OtherTeam for this host
	MetadataOtherType                // type is not "match"
	MetadataNoAUD                    // empty audience
	MetadataForeign                  // auth_domain is no team domain, but attacker.example.net
	MetadataGarbage                  // not a JWT
	MetadataOversized                // a header of 64 KiB
)

var metadataFaultNames = [...]string{"genuine", "absent", "wrong key", "unknown key", "alg none", "HS256", "unsigned", "expired",
	"future", "other host", "other team", "other type", "no audience", "foreign", "garbage", "oversized"}

// String names the fault, for the names of subtests.
func (f MetadataFault) String() string { return metadataFaultNames[f] }

// MetadataFaults are all faults.
func MetadataFaults() []MetadataFault {
	var all []MetadataFault
	for f := MetadataAbsent; f <= MetadataOversized; f++ {
		all = append(all, f)
	}
	return all
}

func (a *Application) addMetadata(w http.ResponseWriter, r *http.Request, app App) {
	team := app.Team
	now := a.edge.now()
	m := Metadata{Type: "match", Hostname: hostname(r.Host), AppHostname: app.Host + app.Path, AuthDomain: team.domain, AUD: app.AUD, IssuedAt: now.Unix()}
	how := Genuine
	switch app.Metadata {
	case MetadataAbsent:
		return
	case MetadataWrongKey:
		how = WrongKey
	case MetadataUnknownKey:
		how = UnknownKey
	case MetadataAlgNone:
		how = AlgNone
	case MetadataHS256:
		how = HS256
	case MetadataUnsigned:
		how = Unsigned
	case MetadataExpired:
		m.IssuedAt = now.Add(-25 * time.Hour).Unix()
	case MetadataFuture:
		m.IssuedAt = now.Add(time.Hour).Unix()
	case MetadataOtherHost:
		m.Hostname, m.AppHostname = "other.example.org", "other.example.org"
	case MetadataOtherTeam:
		if app.OtherTeam == nil {
			panic("accesstest: MetadataOtherTeam without App.OtherTeam")
		}
		team = app.OtherTeam
		m.AuthDomain = team.domain
	case MetadataOtherType:
		m.Type = "none"
	case MetadataNoAUD:
		m.AUD = ""
	case MetadataForeign:
		m.AuthDomain = "attacker.example.net"
	case MetadataGarbage:
		w.Header().Set(headerMetadata, "not.a.jwt")
		return
	case MetadataOversized:
		w.Header().Set(headerMetadata, strings.Repeat("a", 64<<10))
		return
	}
	w.Header().Set(headerMetadata, team.Sign(m, how))
}

// serveResource is the protected-resource document. [observed] without Managed
// OAuth, [agents] with it.
func (a *Application) serveResource(w http.ResponseWriter, r *http.Request, app App) {
	if app.Bypass {
		http.NotFound(w, r)
		return
	}
	resource := "https://" + r.Host
	if app.OAuth != nil && app.OAuth.Resource != "" {
		resource = app.OAuth.Resource
	}
	doc := map[string]any{
		"resource":              resource,
		"protected":             true,
		"team_domain":           app.Team.domain,
		"authorization_servers": []string{app.Team.URL()},
	}
	method := map[string]string{
		"name":          "cloudflared",
		"description":   "Use `cloudflared access curl` to reach this resource",
		"documentation": "https://developers.cloudflare.com/cloudflare-one/tutorials/cli/",
	}
	if app.OAuth != nil && !app.OAuth.MethodList {
		doc["authentication_method"] = method["name"]
		doc["authentication_method_description"] = method["description"]
		doc["authentication_method_documentation"] = method["documentation"]
	} else {
		doc["authentication_methods"] = []any{method}
	}
	if app.OAuth != nil && app.OAuth.Document != nil {
		app.OAuth.Document(doc)
	}
	if app.OversizedDocuments {
		doc["padding"] = strings.Repeat("a", 10<<20)
	}
	writeJSON(w, http.StatusOK, doc)
}
