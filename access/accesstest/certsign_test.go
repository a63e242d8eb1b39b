package accesstest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
)

func TestCertSign(t *testing.T) {
	e, _, c := edge(t, nil)
	svc := e.Team().AddServiceToken("ci")
	app := e.AddApp(accesstest.App{Host: sshHost, Allow: true, Services: []*accesstest.ServiceToken{svc}})
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	edSigner, _ := ssh.NewSignerFromKey(edKey)
	ecSigner, _ := ssh.NewSignerFromKey(ecKey)
	line := func(k ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(k)) }
	resp, _ := ask(t, c, "GET", "https://"+sshHost+"/", "CF-Access-Client-Id", svc.ID, "CF-Access-Client-Secret", svc.Secret())
	ofService := cookie(resp, "CF_Authorization").Value

	const issuer = "https://team.cloudflareaccess.com"
	post := func(key, jwt, issuer string) (int, string) {
		t.Helper()
		b, _ := json.Marshal(map[string]string{"public_key": key, "jwt": jwt, "issuer": issuer})
		resp, err := c.Post("https://team.cloudflareaccess.com/cdn-cgi/access/cert_sign", "application/json", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	good := app.Token("ada@example.com")
	revoked := app.Token("bob@example.com")
	e.Team().RevokeUser("bob@example.com")
	certLine := func() string {
		_, body := post(line(edSigner.PublicKey()), good, issuer)
		var got struct{ Certificate string }
		json.Unmarshal([]byte(body), &got)
		return got.Certificate
	}()
	for _, tc := range []struct {
		name, key, jwt, issuer string
		want                   int
		message                string
	}{
		{"ed25519", line(edSigner.PublicKey()), good, issuer, 200, ""},
		{"ecdsa", line(ecSigner.PublicKey()), good, issuer, 200, ""},
		{"issuer without scheme", line(edSigner.PublicKey()), good, "team.cloudflareaccess.com", 400, "Invalid issuer"},
		{"no key", "x", good, issuer, 400, "Invalid public key"},
		{"two keys", line(edSigner.PublicKey()) + line(ecSigner.PublicKey()), good, issuer, 400, "Invalid public key"},
		{"a certificate", certLine, good, issuer, 400, "Invalid public key"},
		{"org token", line(edSigner.PublicKey()), e.Team().OrgToken("ada@example.com"), issuer, 401, "Invalid JWT"},
		{"revoked", line(edSigner.PublicKey()), revoked, issuer, 401, "Invalid JWT"},
		{"service token's", line(edSigner.PublicKey()), ofService, issuer, 401, "Invalid JWT"},
	} {
		status, body := post(tc.key, tc.jwt, tc.issuer)
		var got struct {
			Status      int
			Message     string
			Certificate string
			ExpiresAt   time.Time `json:"expires_at"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != tc.want || !strings.Contains(got.Message, tc.message) {
			t.Errorf("%s: %d %s", tc.name, status, body)
			continue
		}
		if status != 200 {
			if got.Status != status {
				t.Errorf("%s: status %d in the body of a %d", tc.name, got.Status, status)
			}
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(got.Certificate))
		cert, ok := key.(*ssh.Certificate)
		if err != nil || !ok || line(cert.Key) != tc.key || strings.Join(cert.ValidPrincipals, ",") != "ada" || line(cert.SignatureKey) != line(e.Team().SSHCA()) ||
			int64(cert.ValidBefore) != got.ExpiresAt.Unix() {
			t.Errorf("%s: %v %+v", tc.name, err, cert)
		}
	}

	// The certificate logs in where the team's authority is trusted.
	sshd, err := origin.StartSSH(t.TempDir(), &origin.SSHOptions{UserCA: e.Team().SSHCA()})
	if err != nil {
		t.Fatal(err)
	}
	defer sshd.Close()
	key, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(certLine))
	signer, err := ssh.NewCertSigner(key.(*ssh.Certificate), edSigner)
	if err != nil {
		t.Fatal(err)
	}
	for user, ok := range map[string]bool{"ada": true, "root": false} {
		conn, err := ssh.Dial("tcp", sshd.Addr(), &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		if (err == nil) != ok {
			t.Errorf("as %s: %v", user, err)
		}
		if err == nil {
			conn.Close()
		}
	}

	e.Team().Set(func(s *accesstest.TeamSettings) {
		s.CertKeyTypes, s.PlainCertErrors, s.CertLifetime = []string{"ecdsa-sha2-nistp256"}, true, time.Hour
	})
	if status, body := post(line(edSigner.PublicKey()), good, issuer); status != 400 || !strings.HasPrefix(body, "unable to sign") {
		t.Errorf("key type that is not wanted: %d %s", status, body)
	}
	_, body := post(line(ecSigner.PublicKey()), good, issuer)
	var got struct {
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || time.Until(got.ExpiresAt) < 50*time.Minute {
		t.Errorf("lifetime: %s", body)
	}
	if resp, _ := ask(t, c, "GET", "https://team.cloudflareaccess.com/cdn-cgi/access/cert_sign"); resp.StatusCode != 405 {
		t.Errorf("GET: %s", resp.Status)
	}
	accepted := e.Requests(accesstest.ToPath("/cdn-cgi/access/cert_sign"), func(r accesstest.Request) bool {
		return r.Method == http.MethodPost && r.Presented(accesstest.CertToken)
	})
	if len(accepted) == 0 {
		t.Error("the log does not show the token")
	}
}
