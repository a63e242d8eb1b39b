package githelper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loginMemory is a LoginStore that counts.
type loginMemory struct {
	mu         sync.Mutex
	m          map[string][]byte
	gets, puts int
}

func (s *loginMemory) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	b, ok := s.m[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (s *loginMemory) Put(_ context.Context, key string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	s.m[key] = b
	return nil
}

func (s *loginMemory) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	delete(s.m, key)
	return nil
}

func (s *loginMemory) List(_ context.Context, prefix string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.m)), func(k string) bool { return !strings.HasPrefix(k, prefix) }), nil
}

// loginBed is a helper as git sees it.
type loginBed struct {
	t     *testing.T
	store *loginMemory
	now   time.Time
	l     *Logins
}

func newLoginBed(t *testing.T) *loginBed {
	b := &loginBed{t: t, store: &loginMemory{m: map[string][]byte{}}, now: time.Unix(2e9, 0)}
	var mu sync.Mutex
	b.l = &Logins{
		Store: b.store,
		Now:   func() time.Time { return b.now },
		Lock:  func(context.Context, string) (func(), error) { mu.Lock(); return mu.Unlock, nil },
	}
	return b
}

// request is text in which blanks part the lines; "~" is an empty line's worth of nothing, to show that there is none.
func (b *loginBed) request(text string) *Request {
	b.t.Helper()
	r, err := ReadRequest(strings.NewReader(strings.ReplaceAll(text, " ", "\n") + "\n\n"))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// do does an operation and returns what is answered, its lines parted by blanks.
func (b *loginBed) do(operation, text string) string {
	b.t.Helper()
	r := b.request(text)
	switch operation {
	case "store":
		if _, err := b.l.Save(b.t.Context(), r); err != nil {
			b.t.Fatal(err)
		}
		return ""
	case "erase":
		if err := b.l.Erase(b.t.Context(), r); err != nil {
			b.t.Fatal(err)
		}
		return ""
	}
	a, err := b.l.Get(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	if a == nil {
		return ""
	}
	var out bytes.Buffer
	if _, err := a.WriteTo(&out); err != nil {
		b.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(out.String()), "\n", " ")
}

type loginStep struct{ operation, request, answer string }

// loginCases are those of git's own suite for helpers (t/lib-credential.sh of git 2.55), each step as the helper sees it, and more.
var loginCases = []struct {
	name  string
	steps []loginStep
}{
	{"no existing data", []loginStep{{"get", "protocol=https host=example.com", ""}}},
	{"a password is kept", []loginStep{
		{"store", "protocol=https host=example.com username=store-user password=store-pass", ""},
		{"get", "protocol=https host=example.com", "username=store-user password=store-pass"},
		{"get", "protocol=https host=example.com username=store-user", "username=store-user password=store-pass"},
	}},
	{"another protocol, host or user", []loginStep{
		{"store", "protocol=https host=example.com username=store-user password=store-pass", ""},
		{"get", "protocol=http host=example.com", ""},
		{"get", "protocol=https host=other.tld", ""},
		{"get", "protocol=https host=example.com.other.tld", ""},
		{"get", "protocol=https host=sub.example.com", ""},
		{"get", "protocol=https host=example.com:8443", ""},
		{"get", "protocol=https host=example.com username=other", ""},
		{"get", "protocol=https host=example.com username=", ""},
		{"get", "protocol=smtp host=example.com", ""},
	}},
	{"one host, several spellings", []loginStep{
		{"store", "protocol=https host=Example.com:443 username=u password=p", ""},
		{"get", "protocol=https host=example.com", "username=u password=p"},
		{"get", "protocol=https host=EXAMPLE.com", "username=u password=p"},
		{"get", "protocol=http host=example.com:443", ""},
	}},
	{"a path", []loginStep{
		{"store", "protocol=http host=path.tld path=foo.git username=user password=pass", ""},
		{"get", "protocol=http host=path.tld path=foo.git", "username=user password=pass"},
		{"get", "protocol=http host=path.tld path=bar.git", ""},
		{"get", "protocol=http host=path.tld path=foo.git/info", ""},
		{"get", "protocol=http host=path.tld", ""}, // git's own helpers would answer
	}},
	{"paths beside the whole host", []loginStep{
		{"store", "protocol=https host=h.tld path=a.git username=u password=of-a", ""},
		{"store", "protocol=https host=h.tld path=b.git username=u password=of-b", ""},
		{"store", "protocol=https host=h.tld username=u password=of-all", ""},
		{"get", "protocol=https host=h.tld path=a.git username=u", "username=u password=of-a"},
		{"get", "protocol=https host=h.tld path=b.git", "username=u password=of-b"},
		{"get", "protocol=https host=h.tld path=c.git", ""},
		{"get", "protocol=https host=h.tld", "username=u password=of-all"},
		{"erase", "protocol=https host=h.tld path=a.git username=u password=of-a", ""},
		{"get", "protocol=https host=h.tld path=a.git", ""},
		{"get", "protocol=https host=h.tld path=b.git", "username=u password=of-b"},
	}},
	{"a host is forgotten", []loginStep{
		{"store", "protocol=https host=example.com username=a password=1", ""},
		{"store", "protocol=https host=example.com username=b path=x password=2", ""},
		{"store", "protocol=https host=other.com username=a password=3", ""},
		{"erase", "protocol=https host=example.com", ""},
		{"get", "protocol=https host=example.com", ""},
		{"get", "protocol=https host=example.com path=x", ""},
		{"get", "protocol=https host=other.com", "username=a password=3"},
	}},
	{"several users", []loginStep{
		{"store", "protocol=https host=example.com username=user1 password=pass1", ""},
		{"store", "protocol=https host=example.com username=user2 password=pass2", ""},
		{"get", "protocol=https host=example.com username=user1", "username=user1 password=pass1"},
		{"get", "protocol=https host=example.com username=user2", "username=user2 password=pass2"},
		{"get", "protocol=https host=example.com", "username=user2 password=pass2"},
		{"erase", "protocol=https host=example.com username=user1", ""},
		{"get", "protocol=https host=example.com username=user1", ""},
		{"get", "protocol=https host=example.com username=user2", "username=user2 password=pass2"},
	}},
	{"an empty user name", []loginStep{
		{"store", "protocol=https host=sso.tld username= password=", ""},
		{"get", "protocol=https host=sso.tld", "username= password="},
		{"erase", "protocol=https host=sso.tld username=", ""},
		{"get", "protocol=https host=sso.tld", ""},
	}},
	{"a password is overwritten", []loginStep{
		{"store", "protocol=https host=example.com username=user-overwrite password=pass1", ""},
		{"store", "protocol=https host=example.com username=user-overwrite password=pass2", ""},
		{"get", "protocol=https host=example.com username=user-overwrite", "username=user-overwrite password=pass2"},
		{"erase", "protocol=https host=example.com username=user-overwrite password=pass2", ""},
		{"get", "protocol=https host=example.com username=user-overwrite", ""},
	}},
	{"another password is not the one that was refused", []loginStep{
		{"store", "protocol=https host=example.com username=user-distinct-pass password=pass1", ""},
		{"erase", "protocol=https host=example.com username=user-distinct-pass password=pass2", ""},
		{"get", "protocol=https host=example.com username=user-distinct-pass", "username=user-distinct-pass password=pass1"},
	}},
	{"erase of nothing in particular erases nothing", []loginStep{
		{"store", "protocol=https host=example.com username=u password=p", ""},
		{"erase", "username=u", ""},
		{"erase", "protocol=https", ""},
		{"erase", "protocol=https host=", ""},
		{"get", "protocol=https host=example.com", "username=u password=p"},
	}},
	{"an expiry", []loginStep{
		{"store", "protocol=https host=example.com username=user-expiry password=pass password_expiry_utc=9999999999", ""},
		{"get", "protocol=https host=example.com username=user-expiry", "username=user-expiry password=pass password_expiry_utc=9999999999"},
		{"store", "protocol=https host=example.com username=user-expiry password=pass password_expiry_utc=9999999998", ""},
		{"get", "protocol=https host=example.com username=user-expiry", "username=user-expiry password=pass password_expiry_utc=9999999998"},
		{"store", "protocol=https host=example.com username=user-expiry password=pass", ""}, // git below 2.40
		{"get", "protocol=https host=example.com username=user-expiry", "username=user-expiry password=pass password_expiry_utc=9999999998"},
		{"store", "protocol=https host=example.com username=user-expiry password=new", ""},
		{"get", "protocol=https host=example.com username=user-expiry", "username=user-expiry password=new"},
	}},
	{"what has expired is not kept", []loginStep{
		{"store", "protocol=https host=example.com username=u password=p password_expiry_utc=1999999999", ""},
		{"get", "protocol=https host=example.com", ""},
	}},
	{"a refresh token", []loginStep{
		{"store", "protocol=https host=example.com username=user4 password=pass oauth_refresh_token=xyzzy", ""},
		{"get", "protocol=https host=example.com username=user4", "username=user4 password=pass oauth_refresh_token=xyzzy"},
		{"store", "protocol=https host=example.com username=user4 password=pass", ""}, // git below 2.41
		{"get", "protocol=https host=example.com username=user4", "username=user4 password=pass oauth_refresh_token=xyzzy"},
	}},
	{"authtype and credential", []loginStep{
		{"store", "capability[]=authtype authtype=Bearer credential=random-token protocol=https host=git.example.com", ""},
		{"get", "capability[]=authtype protocol=https host=git.example.com", "capability[]=authtype authtype=Bearer credential=random-token"},
		{"get", "protocol=https host=git.example.com", ""},
		{"store", "capability[]=authtype authtype=Bearer credential=other-token protocol=https host=git.example.com username=foobar", ""},
		{"get", "capability[]=authtype protocol=https host=git.example.com username=foobar", "capability[]=authtype authtype=Bearer credential=other-token username=foobar"},
		{"get", "capability[]=authtype protocol=https host=git.example.com username=barbaz", ""},
		{"erase", "capability[]=authtype protocol=https host=git.example.com username=foobar authtype=Bearer credential=random-token", ""},
		{"get", "capability[]=authtype protocol=https host=git.example.com username=foobar", "capability[]=authtype authtype=Bearer credential=other-token username=foobar"},
		{"erase", "capability[]=authtype protocol=https host=git.example.com authtype=Bearer credential=other-token", ""},
		{"get", "capability[]=authtype protocol=https host=git.example.com", "capability[]=authtype authtype=Bearer credential=random-token"},
	}},
	{"authtype beside a password, for a caller that knows only passwords", []loginStep{
		{"store", "protocol=https host=h.tld username=u password=p", ""},
		{"store", "capability[]=authtype authtype=Bearer credential=token protocol=https host=h.tld username=v", ""},
		{"get", "capability[]=authtype protocol=https host=h.tld", "capability[]=authtype authtype=Bearer credential=token username=v"},
		{"get", "protocol=https host=h.tld", "username=u password=p"},
	}},
	{"what is ephemeral is not kept", []loginStep{
		{"store", "capability[]=authtype authtype=Bearer credential=git2-token protocol=https host=git2.example.com ephemeral=1", ""},
		{"store", "capability[]=authtype protocol=https host=git2.example.com user=barbaz password=secret ephemeral=1", ""},
		{"store", "capability[]=authtype protocol=https host=git2.example.com username=barbaz password=secret ephemeral=true", ""},
		{"get", "capability[]=authtype protocol=https host=git2.example.com", ""},
	}},
	{"half of a login is none", []loginStep{
		{"store", "protocol=https host=h.tld username=u", ""},
		{"store", "protocol=https host=h.tld password=p", ""},
		{"store", "capability[]=authtype protocol=https host=h.tld authtype=Bearer", ""},
		{"store", "capability[]=authtype protocol=https host=h.tld authtype= credential=", ""},
		{"store", "authtype=Bearer credential=t protocol=https host=h.tld", ""}, // not said that it knows them
		{"get", "capability[]=authtype protocol=https host=h.tld", ""},
	}},
	{"a long secret", []loginStep{
		{"store", "protocol=https host=h.tld username=u password=" + strings.Repeat("x", 60000), ""},
		{"get", "protocol=https host=h.tld", "username=u password=" + strings.Repeat("x", 60000)},
	}},
	{"mail, and the file of a certificate", []loginStep{
		{"store", "protocol=smtp host=mail.example.com:587 username=me password=p", ""},
		{"store", "protocol=cert host= path=/home/me/client.pem username= password=q", ""},
		{"get", "protocol=smtp host=mail.example.com:587 username=me", "username=me password=p"},
		{"get", "protocol=cert host= path=/home/me/client.pem", "username= password=q"},
		{"get", "protocol=cert host= path=/home/me/other.pem", ""},
	}},
	{"bytes that are no text", []loginStep{
		{"store", "protocol=https host=h.tld username=u\xe9 path=\xff password=p\xff\xfe", ""},
		{"get", "protocol=https host=h.tld path=\xff", "username=u\xe9 password=p\xff\xfe"},
	}},
	{"names that are like keys", []loginStep{
		{"store", "protocol=https host=a/b username=u password=1", ""},
		{"store", "protocol=https host=a%2Fb username=u password=2", ""},
		{"store", "protocol=https/a host=b username=u password=3", ""},
		{"get", "protocol=https host=a/b", "username=u password=1"},
		{"get", "protocol=https host=a%2Fb", "username=u password=2"},
		{"get", "protocol=https host=a", ""},
	}},
}

func TestLogins(t *testing.T) {
	for _, tt := range loginCases {
		t.Run(tt.name, func(t *testing.T) {
			b := newLoginBed(t)
			for i, s := range tt.steps {
				gets := b.store.gets
				if got := b.do(s.operation, s.request); got != s.answer {
					t.Fatalf("step %d, %s %q:\ngot  %.200q\nwant %.200q", i+1, s.operation, s.request, got, s.answer)
				}
				if n := b.store.gets - gets; s.operation == "get" && n > 1 {
					t.Errorf("step %d: the store was asked %d times", i+1, n)
				}
			}
		})
	}
}

// Of a login that has expired, git below 2.40 would send the password all the same.
func TestLoginsThatExpire(t *testing.T) {
	b := newLoginBed(t)
	b.do("store", "protocol=https host=h.tld username=u password=old password_expiry_utc=2000000060 oauth_refresh_token=again")
	b.do("store", "protocol=https host=h.tld username=v password=other password_expiry_utc=2000000060")
	b.now = b.now.Add(time.Hour)
	for request, want := range map[string]string{
		"protocol=https host=h.tld username=u": "username=u oauth_refresh_token=again",
		"protocol=https host=h.tld username=v": "",
		"protocol=https host=h.tld":            "username=u oauth_refresh_token=again",
	} {
		if got := b.do("get", request); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
	b.do("store", "protocol=https host=h.tld username=w password=good")
	if got := b.do("get", "protocol=https host=h.tld"); got != "username=w password=good" {
		t.Errorf("one that has not expired: %q", got)
	}
}

// git says "store" after each request that worked.
func TestLoginsAreWrittenOnce(t *testing.T) {
	b := newLoginBed(t)
	for range 5 {
		b.do("store", "protocol=https host=h.tld username=u password=p password_expiry_utc=9999999999")
		b.do("store", "protocol=https host=h.tld username=v password=q")
		b.do("erase", "protocol=https host=h.tld username=v password=wrong")
	}
	if b.store.puts != 2 {
		t.Errorf("%d writes for two logins", b.store.puts)
	}
}

func TestLoginsAtOnce(t *testing.T) {
	b := newLoginBed(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			r := &Request{Protocol: "https", Host: "h.tld", Username: fmt.Sprint(i), Password: NewSecret("p"), given: map[string]bool{"username": true, "password": true}}
			if _, err := b.l.Save(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := b.l.All(t.Context())
	if err != nil || len(all) != 50 {
		t.Errorf("%d are kept, %v", len(all), err)
	}
}

func TestLoginsOfANewerVersion(t *testing.T) {
	b := newLoginBed(t)
	const newer = `{"v":2,"protocol":"aHR0cHM=","host":"aC50bGQ=","logins":"in another form"}`
	key := loginKey("https", "h.tld")
	b.store.m[key] = []byte(newer)
	b.do("store", "protocol=https host=other.tld username=u password=p")
	r := b.request("protocol=https host=h.tld username=u password=p")
	var e *NewerLoginsError
	if a, err := b.l.Get(t.Context(), r); a != nil || !errors.As(err, &e) || e.Version != 2 || e.Host != "h.tld" {
		t.Errorf("get: %v, %v", a, err)
	}
	if _, err := b.l.Save(t.Context(), r); !errors.As(err, &e) {
		t.Errorf("store: %v", err)
	}
	if err := b.l.Erase(t.Context(), r); !errors.As(err, &e) {
		t.Errorf("erase: %v", err)
	}
	if _, err := b.l.Add(t.Context(), StoredLogin{Protocol: "https", Host: "h.tld", Username: new("u"), Password: new(NewSecret("p"))}, true); !errors.As(err, &e) {
		t.Errorf("add: %v", err)
	}
	if all, err := b.l.All(t.Context()); len(all) != 1 || !errors.As(err, &e) {
		t.Errorf("all: %v, %v", all, err)
	}
	if string(b.store.m[key]) != newer {
		t.Errorf("it is now %s", b.store.m[key])
	}
	for _, garbage := range []string{"", "{}", "null", "x", `{"v":1,"logins":5}`, `{"v":1,"protocol":"aHR0cHM=","host":"ZXZpbA==","logins":[{"username":"dQ==","password":"dQ=="}]}`, `{"v":1,"protocol":"https","host":"hunter2"}`} {
		b.store.m[key] = []byte(garbage)
		if a, err := b.l.Get(t.Context(), r); a != nil || err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, %v", garbage, a, err)
		}
	}
}

func TestAddLogin(t *testing.T) {
	b := newLoginBed(t)
	login := func(password string) StoredLogin {
		return StoredLogin{Protocol: "https", Host: "H.tld:443", Username: new("u"), Password: new(NewSecret(password))}
	}
	for _, step := range []struct {
		password string
		replace  bool
		want     Addition
		kept     string
	}{
		{"one", false, Added, "one"},
		{"one", true, Present, "one"},
		{"two", false, Differs, "one"},
		{"two", true, Replaced, "two"},
	} {
		got, err := b.l.Add(t.Context(), login(step.password), step.replace)
		if err != nil || got != step.want {
			t.Errorf("%+v: %v, %v", step, got, err)
		}
		if got := b.do("get", "protocol=https host=h.tld"); got != "username=u password="+step.kept {
			t.Errorf("%+v: kept %q", step, got)
		}
	}
	secret := new(NewSecret("p"))
	for name, bad := range map[string]StoredLogin{
		"line break":     {Protocol: "https", Host: "h.tld", Username: new("u"), Password: new(NewSecret("p\nhost=evil"))},
		"return":         {Protocol: "https", Host: "h.tld\rx", Username: new("u"), Password: secret},
		"null byte":      {Protocol: "https", Host: "h.tld", Username: new("u\x00"), Password: secret},
		"too long":       {Protocol: "https", Host: "h.tld", Username: new("u"), Password: new(NewSecret(strings.Repeat("x", maxLine)))},
		"no host":        {Protocol: "https", Username: new("u"), Password: secret},
		"no protocol":    {Host: "h.tld", Username: new("u"), Password: secret},
		"no user":        {Protocol: "https", Host: "h.tld", Password: secret},
		"no password":    {Protocol: "https", Host: "h.tld", Username: new("u")},
		"no credential":  {Protocol: "https", Host: "h.tld", Auth: &Auth{Type: "Bearer"}},
		"a bad username": {Protocol: "https", Host: "h.tld", Username: new("u\n"), Auth: &Auth{Type: "Bearer", Credential: *secret}},
	} {
		if _, err := b.l.Add(t.Context(), bad, true); err == nil || strings.Contains(err.Error(), "evil") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is kept of a login comes back whole, and prints without its secrets.
func TestAllLogins(t *testing.T) {
	b := newLoginBed(t)
	b.do("store", "protocol=https host=b.tld username=u password=hunter2 password_expiry_utc=9999999999 oauth_refresh_token=hunter3")
	b.do("store", "capability[]=authtype protocol=https host=a.tld path=x.git authtype=Bearer credential=hunter4")
	all, err := b.l.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		line := s.Protocol + "://" + s.Host + "/" + s.Path
		if s.Password != nil {
			line += " " + *s.Username + " " + s.Password.Reveal() + " " + s.RefreshToken.Reveal() + " " + fmt.Sprint(s.Expiry.Unix())
		}
		if s.Auth != nil {
			line += " " + s.Auth.Type + " " + s.Auth.Credential.Reveal()
		}
		got = append(got, line)
	}
	if d := cmp.Diff([]string{"https://a.tld/x.git Bearer hunter4", "https://b.tld/ u hunter2 hunter3 9999999999"}, got); d != "" {
		t.Error(d)
	}
	if text := fmt.Sprintf("%v %+v %#v", all, all, all); strings.Contains(text, "hunter") {
		t.Errorf("secrets are printed: %s", text)
	}
}
