package accesstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// authority is the edge's certificate authority. Its certificates are by the
// true clock: TLS knows nothing of the edge's.
type authority struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
	leaf *ecdsa.PrivateKey // of every certificate

	mu     sync.Mutex
	minted map[string]*tls.Certificate
}

func newAuthority() *authority { return newAuthorityNamed("Emulated Access edge (accesstest)") }

func newAuthorityNamed(name string) *authority {
	a := &authority{minted: map[string]*tls.Certificate{}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		panic(err)
	}
	if a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		panic(err)
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if a.der, err = x509.CreateCertificate(rand.Reader, t, t, &a.key.PublicKey, a.key); err != nil {
		panic(err)
	}
	if a.cert, err = x509.ParseCertificate(a.der); err != nil {
		panic(err)
	}
	return a
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	return n
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der})
}

// A TLSFault is a certificate that a client must refuse.
type TLSFault int

const (
	TLSGenuine   TLSFault = iota
	TLSExpired            // a day ago
	TLSOtherName          // for wrong.example.org
	TLSUnknownCA          // by an authority of its own, as an inspecting proxy has: "Inspecting Proxy CA"
)

// SetTLS makes the edge show such a certificate to those who ask for host.
func (e *Edge) SetTLS(host string, f TLSFault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tls[hostname(host)] = f
}

func (e *Edge) tlsFault(host string) TLSFault {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tls[host]
}

// certificate returns the one for a name, or for loopback where a client sends none.
func (a *authority) certificate(name string, f TLSFault) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := fmt.Sprint(name, " ", f)
	if c := a.minted[key]; c != nil {
		return c, nil
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "accesstest"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, DNSNames: []string{name},
	}
	if name == "" {
		t.DNSNames, t.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	issuer, signer := a.cert, a.key
	switch f {
	case TLSExpired:
		t.NotBefore, t.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	case TLSOtherName:
		t.DNSNames, t.IPAddresses = []string{"wrong.example.org"}, nil
	case TLSUnknownCA:
		other := newAuthorityNamed("Inspecting Proxy CA")
		issuer, signer = other.cert, other.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, issuer, &a.leaf.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der, issuer.Raw}, PrivateKey: a.leaf}
	a.minted[key] = c
	return c, nil
}
