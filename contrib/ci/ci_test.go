// Package ci has no code: its test runs the templates for CI systems against an Access edge.
package ci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const host = "git.example.com"

func TestMain(m *testing.M) { scripttest.Main(m, nil, "access") }

// A job is a machine of a CI system with the secrets of a project.
type job struct {
	*scripttest.World
	t   *testing.T
	env []string // beside that of the world
	log strings.Builder
}

func newJob(t *testing.T) *job {
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Apps[host].Set(func(a *accesstest.App) { a.Allow, a.Strict = false, true })
	w.Set("CI=true")
	return &job{World: w, t: t}
}

func (j *job) withToken() *job {
	j.env = append(j.env, "CF_ACCESS_CLIENT_ID="+j.Service.ID, "CF_ACCESS_CLIENT_SECRET="+j.Service.Secret())
	return j
}

// run runs a script by the shell as the CI system does.
func (j *job) run(script string, shell ...string) error {
	cmd := j.Command(j.t.Context(), shell[0], append(shell[1:], script)...)
	cmd.Env = append(cmd.Env, j.env...)
	out, err := cmd.CombinedOutput()
	fmt.Fprintf(&j.log, "$ %s\n%s", script, out)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, &j.log)
	}
	return nil
}

var bash = []string{"bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"}

// cloned fails if the folders are no clones of the repository, or if the token was seen where it should not be.
func (j *job) cloned(folders ...string) {
	j.t.Helper()
	for _, f := range folders {
		if _, err := os.Stat(filepath.Join(j.Dir, f, "README.md")); err != nil {
			j.t.Errorf("%v\n%s", err, &j.log)
		}
	}
	secret := j.Service.Secret()
	for _, l := range j.Edge.Leaks(secret, host) {
		j.t.Errorf("leaked: %v", l)
	}
	for line := range strings.SplitSeq(j.log.String(), "\n") {
		if strings.Contains(line, secret) && !strings.HasPrefix(line, "::add-mask::") {
			j.t.Errorf("the log has the secret: %s", line)
		}
	}
	for _, f := range folders {
		if out, err := exec.Command("grep", "-rl", secret, filepath.Join(j.Dir, f)).Output(); err == nil {
			j.t.Errorf("files have the secret: %s", out)
		}
	}
}

// refused runs the template of a job whose token has expired: it fails at once, and the log says why.
func refused(t *testing.T, run func(*job) error) {
	t.Helper()
	j := newJob(t)
	j.withToken().Service.Disable(true)
	j.Edge.ClearLog()
	err := run(j)
	if err == nil || !strings.Contains(j.log.String(), "access: error: the service token for git.example.com is wrong, expired or disabled (status 401)") {
		t.Errorf("a token that is refused: %v\n%s", err, &j.log)
	}
	if n := len(j.Edge.Requests(accesstest.ToHost(host))); n != 1 {
		t.Errorf("%d requests with a token that is refused, want one", n)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func readYAML(t *testing.T, name string) map[string]any {
	t.Helper()
	v, err := parse(read(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v.(map[string]any)
}

// actions plays the runner of GitHub, Forgejo or Gitea Actions: each step has a shell of its own, and what steps add to GITHUB_ENV is in
// the environment of those that follow.
func (j *job) actions(work map[string]any, own string) error {
	build := work["jobs"].(map[string]any)["build"].(map[string]any)
	for name, v := range build["env"].(map[string]any) {
		if v != "${{ secrets."+name+" }}" {
			return fmt.Errorf("%s is %s", name, v)
		}
	}
	file := filepath.Join(j.Dir, "github_env")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	j.env = append(j.env, "GITHUB_ENV="+file, "GITHUB_ACTIONS=true")
	for _, s := range build["steps"].([]any) {
		step := s.(map[string]any)
		script, ok := step["run"].(string)
		if !ok {
			script = checkout(own, step["with"].(map[string]any))
		}
		if err := j.run(script, bash...); err != nil {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range heredoc.FindAllStringSubmatch(string(b), -1) {
			if m[2] != m[4] {
				return fmt.Errorf("GITHUB_ENV: %q", m[0])
			}
			j.env = append(j.env, m[1]+"="+m[3])
		}
	}
	return nil
}

// checkout is what actions/checkout does with the git of the machine, as far as Access is concerned.
func checkout(url string, with map[string]any) string {
	return fmt.Sprintf(`git init -q %[1]s
cd %[1]s
git remote add origin '%[2]s'
git -c protocol.version=2 fetch -q --no-tags --prune --depth=1 origin +refs/heads/main*:refs/remotes/origin/main*
git checkout -q --force -B main refs/remotes/origin/main
if [ %[3]s = recursive ]; then git -c protocol.version=2 submodule update -q --init --force --depth=1 --recursive; fi
`, with["path"], url, with["submodules"])
}

// super makes a repository on this machine whose submodule is on the server behind Access, and returns its URL.
func (j *job) super() string {
	j.t.Helper()
	dir := filepath.Join(j.Dir, "super")
	cmd := j.Command(j.t.Context(), "sh", "-ec", `git init -q -b main "$1"
cd "$1"
printf '[submodule "tools"]\n\tpath = tools\n\turl = https://git.example.com/demo.git\n' >.gitmodules
echo super >README.md
git add .
git update-index --add --cacheinfo "160000,$(git -C "$2" rev-parse main),tools"
git commit -qm super`, "sh", dir, filepath.Join(j.Dir, "origin", "demo.git"))
	if out, err := cmd.CombinedOutput(); err != nil {
		j.t.Fatalf("%v\n%s", err, out)
	}
	return "file://" + dir
}

var heredoc = regexp.MustCompile(`(?m)^(\w+)<<(\S+)\n(.*)\n(\S+)$`)

func TestActions(t *testing.T) {
	for name, folders := range map[string][]string{"github.yml": {"tools", "source", "source/tools"}, "forgejo.yml": {"source"}} {
		t.Run(name, func(t *testing.T) {
			work := readYAML(t, name)
			j := newJob(t).withToken()
			own := "https://git.example.com/demo.git" // the job's repository is behind Access
			if name == "github.yml" {
				own = j.super() // a submodule of it is
			}
			if err := j.actions(work, own); err != nil {
				t.Fatal(err)
			}
			j.cloned(folders...)
			if want := "::add-mask::" + j.Service.Secret() + "\n"; !strings.Contains(j.log.String(), want) {
				t.Error("the secret is not masked")
			}
			refused(t, func(j *job) error { return j.actions(work, own) })
		})
	}
}

func lines(v any) string {
	var b strings.Builder
	for _, l := range v.([]any) {
		b.WriteString(l.(string) + "\n")
	}
	return b.String()
}

// getSources is what GitLab Runner's shell goes on with after the hook, in the same shell.
const getSources = `
git init -q sources
cd sources
git remote add origin https://git.example.com/demo.git
git fetch -q --depth 20 origin main
git checkout -q -f FETCH_HEAD
`

func TestGitLab(t *testing.T) {
	build := readYAML(t, "gitlab.yml")["build"].(map[string]any)
	hook := lines(build["hooks"].(map[string]any)["pre_get_sources_script"])
	run := func(j *job) error {
		if err := j.run(hook+getSources, bash...); err != nil {
			return err
		}
		return j.run(lines(build["script"]), bash...)
	}
	j := newJob(t).withToken()
	if err := run(j); err != nil {
		t.Fatal(err)
	}
	j.cloned("sources", "tools")
	refused(t, run)

	_, hook, _ = strings.Cut(read(t, "gitlab-runner.toml"), "pre_get_sources_script = '''\n")
	hook, _, ok := strings.Cut(hook, "'''\n")
	if !ok {
		t.Fatal("gitlab-runner.toml has no hook")
	}
	run = func(j *job) error { return j.run(hook+getSources, bash...) }
	j = newJob(t)
	j.storeToken()
	if err := run(j); err != nil {
		t.Fatal(err)
	}
	j.cloned("sources")
	refused(t, run)
}

// storeToken is what a person does once on the machine of an agent.
func (j *job) storeToken() {
	j.t.Helper()
	cmd := j.Command(j.t.Context(), "access", "service-token", "add", "--client-id", j.Service.ID, host)
	cmd.Stdin = strings.NewReader(j.Service.Secret() + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		j.t.Fatalf("%v\n%s", err, out)
	}
}

func TestJenkins(t *testing.T) {
	file := read(t, "Jenkinsfile")
	if strings.Count(file, "{") != strings.Count(file, "}") || !strings.Contains(file, "ACCESS = credentials('access-service-token')") {
		t.Error("Jenkinsfile: unbalanced, or without the credentials that the scripts use")
	}
	scripts := regexp.MustCompile(`(?s)\bsh '''\n(.*?)'''`).FindAllStringSubmatch(file, -1)
	if len(scripts) != 2 {
		t.Fatalf("%d scripts", len(scripts))
	}
	run := func(j *job) error {
		j.env = []string{"ACCESS_USR=" + j.Service.ID, "ACCESS_PSW=" + j.Service.Secret()}
		for _, s := range scripts {
			if err := j.run(s[1], "sh", "-xec"); err != nil { // as the step sh does
				return err
			}
		}
		return nil
	}
	j := newJob(t)
	if err := run(j); err != nil {
		t.Fatal(err)
	}
	// Jenkins masks what credentials() made, which sh -x would show otherwise.
	masked := strings.ReplaceAll(j.log.String(), j.Service.Secret(), "****")
	j.log.Reset()
	j.log.WriteString(masked)
	j.cloned("source")
	refused(t, run)

	// The agent, with a program in place of java that does what the agent does: run git.
	run = func(j *job) error {
		bin := filepath.Join(j.Dir, "java")
		if err := os.WriteFile(bin, []byte("#!/bin/sh\n[ \"$*\" = '-jar agent.jar -url x' ] && git clone -q https://git.example.com/demo.git source\n"), 0o700); err != nil {
			return err
		}
		return j.run("PATH="+j.Dir+":$PATH\n"+strings.ReplaceAll(read(t, "jenkins-agent.sh"), `"$@"`, "-url x"), "sh", "-c")
	}
	j = newJob(t)
	j.storeToken()
	if err := run(j); err != nil {
		t.Fatal(err)
	}
	j.cloned("source")
	refused(t, run)
}

func TestBuildkite(t *testing.T) {
	step := readYAML(t, "buildkite.yml")["steps"].([]any)[0].(map[string]any)
	if diff := cmp.Diff([]any{"CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"}, step["secrets"]); diff != "" {
		t.Error(diff)
	}
	run := func(j *job) error { return j.run(lines(step["commands"]), "bash", "-e", "-c") }
	j := newJob(t).withToken()
	if err := run(j); err != nil {
		t.Fatal(err)
	}
	j.cloned("source")
	refused(t, run)

	hook, err := filepath.Abs("buildkite-environment")
	if err != nil {
		t.Fatal(err)
	}
	run = func(j *job) error { // the agent sources the hook and takes over what it exports
		return j.run(". '"+hook+"'\ngit clone -q -v -- https://git.example.com/demo.git source", "bash", "-c")
	}
	j = newJob(t)
	j.storeToken()
	if err := run(j); err != nil {
		t.Fatal(err)
	}
	j.cloned("source")
	refused(t, run)
}

// Every template is in the table of README, and every file of the table is there.
func TestReadme(t *testing.T) {
	var named, there []string
	for _, m := range regexp.MustCompile(`\]\(([^)/:]+)\)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		named = append(named, m[1])
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if n := f.Name(); n != "README.md" && !strings.HasSuffix(n, ".go") {
			there = append(there, n)
		}
	}
	seen := map[string]bool{}
	for _, n := range named {
		seen[n] = true
	}
	for _, n := range there {
		if !seen[n] {
			t.Errorf("README.md does not name %s", n)
		}
		delete(seen, n)
	}
	for n := range seen {
		t.Errorf("%s is not there", n)
	}
}
