package accesstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshCA is the key that signs the team's short-lived certificates; the first
// use makes it.
func (t *Team) sshCA() ssh.Signer {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	if t.ssh == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		if t.ssh, err = ssh.NewSignerFromKey(key); err != nil {
			panic(err)
		}
	}
	return t.ssh
}

// SSHCA is the public key for an SSH server's TrustedUserCAKeys.
func (t *Team) SSHCA() ssh.PublicKey { return t.sshCA().PublicKey() }

// serveCertSign signs a public key for the person of an application token:
// POST {public_key, jwt, issuer} → {id, certificate, expires_at}; errors are
// {status, message}. [client] The principal is the local part of the e-mail
// address; how long a certificate holds is a setting.
func (t *Team) serveCertSign(w http.ResponseWriter, r *http.Request, rec *entry) {
	set := t.settings()
	refuse := func(status int, message string) {
		if set.PlainCertErrors {
			http.Error(w, "unable to sign: "+message, status)
			return
		}
		writeJSON(w, status, map[string]any{"status": status, "message": message})
	}
	var in struct {
		PublicKey string `json:"public_key"`
		JWT       string `json:"jwt"`
		Issuer    string `json:"issuer"`
	}
	if r.Method != http.MethodPost {
		refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in); err != nil {
		refuse(http.StatusBadRequest, "Bad Request. Invalid JSON.")
		return
	}
	if in.Issuer != t.URL() {
		refuse(http.StatusBadRequest, "Bad Request. Invalid issuer. Currently only cloudflareaccess subdomains are supported.") // [observed]
		return
	}
	claims, err := t.verify(in.JWT, "app")
	var app *Application
	if err == nil {
		app = t.edge.findApp(func(a *App) bool { return a.Team == t && slices.Contains(claims.AUD, a.AUD) })
		since := int64(0)
		if app != nil {
			t.edge.mu.Lock()
			since = app.revoked
			t.edge.mu.Unlock()
		}
		err = t.live(in.JWT, claims, since)
	}
	rec.credential(CertToken, err)
	if err != nil || app == nil || claims.Email == "" {
		refuse(http.StatusUnauthorized, "Unauthorized. Invalid JWT.")
		return
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(in.PublicKey))
	if _, isCert := key.(*ssh.Certificate); err != nil || isCert || len(strings.TrimSpace(string(rest))) > 0 {
		refuse(http.StatusBadRequest, "Bad Request. Invalid public key.")
		return
	}
	if len(set.CertKeyTypes) > 0 && !slices.Contains(set.CertKeyTypes, key.Type()) {
		refuse(http.StatusBadRequest, "Bad Request. Unsupported key type.")
		return
	}
	lifetime := orDefault(set.CertLifetime, 4*time.Minute)
	now := t.edge.now()
	local, _, _ := strings.Cut(claims.Email, "@")
	var serial [8]byte
	rand.Read(serial[:])
	cert := &ssh.Certificate{
		Key: key, Serial: binary.BigEndian.Uint64(serial[:]), CertType: ssh.UserCert, KeyId: claims.Email, ValidPrincipals: []string{local},
		ValidAfter: uint64(now.Add(-time.Minute).Unix()), ValidBefore: uint64(now.Add(lifetime).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": "", "permit-port-forwarding": "", "permit-agent-forwarding": "", "permit-X11-forwarding": "", "permit-user-rc": ""}},
	}
	if err := cert.SignCert(rand.Reader, t.sshCA()); err != nil {
		refuse(http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"id": uuid(), "certificate": string(ssh.MarshalAuthorizedKey(cert)), "expires_at": now.Add(lifetime).UTC().Format(time.RFC3339),
	})
}
