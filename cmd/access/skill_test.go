package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// An agent knows nothing but the skill's text: it runs the commands that stand there
// and goes where the tables say.
type agent struct {
	*testing.T
	w       *scripttest.World
	text    string
	url     string
	host    string
	user    *scriptedUser
	steps   []string
	heard   bytes.Buffer // everything that came into the conversation
	fetched string
}

// scriptedUser is who the agent asks.
type scriptedUser struct {
	approve      func(url string) // opens a login URL
	clientID     string
	secret       string // what they type into their terminal
	asked, typed int
}

// section returns the text below a heading.
func (a *agent) section(title string) string {
	a.Helper()
	m := regexp.MustCompile(`(?ms)^## ` + regexp.QuoteMeta(title) + `(?:: [^\n]*)?\n(.*?)(?:^## |\z)`).FindStringSubmatch(a.text)
	if m == nil {
		a.Fatalf("the skill has no section %q", title)
	}
	return m[1]
}

var fence = regexp.MustCompile("(?ms)^```(bash[^\n]*)\n(.*?)^```$")

// table returns the cell of the last column in the row that begins with the cells.
func (a *agent) table(section string, cells ...string) string {
	a.Helper()
	for line := range strings.Lines(section) {
		row := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(row) != len(cells)+1 {
			continue
		}
		match := true
		for i, c := range cells {
			match = match && strings.TrimSpace(row[i]) == c
		}
		if match {
			return strings.TrimSpace(row[len(cells)])
		}
	}
	a.Fatalf("no row for %q in\n%s", cells, section)
	return ""
}

// words fills in a command of the text.
func (a *agent) words(command string) []string {
	return strings.Fields(strings.NewReplacer("<url>", a.url, "<host>", a.host, "<repository>", "demo.git", "<client-id>", a.user.clientID).Replace(command))
}

// run runs a command and reads what it prints, line by line.
func (a *agent) run(command string, each func(line string)) (code int) {
	a.Helper()
	words := a.words(strings.TrimSpace(command))
	cmd := a.w.Command(patient(a.T), words[0], words[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		a.Fatal(err)
	}
	cmd.Stderr = &a.heard
	if err := cmd.Start(); err != nil {
		a.Fatal(err)
	}
	var said bytes.Buffer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if each != nil {
			each(lines.Text())
		}
	}
	err = cmd.Wait()
	a.heard.Write(said.Bytes())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		a.Fatalf("%s: %v", command, err)
	}
	a.fetched = said.String()
	return 0
}

// follow goes from step to step until the text says that it is done, or to ask.
func (a *agent) follow() string {
	a.Helper()
	for step := "Step 1"; ; {
		if step == "Done" || step == "Ask" {
			return step
		}
		if len(a.steps) > 12 {
			a.Fatalf("going in circles: %v", a.steps)
		}
		a.steps = append(a.steps, step)
		section := a.section(step)
		code := 0
		var last string
		for _, block := range fence.FindAllStringSubmatch(section, -1) {
			if strings.HasSuffix(block[1], " user") {
				a.askUser(block[2])
				continue
			}
			code = a.run(block[2], func(line string) {
				last = line
				var e loginEvent
				if json.Unmarshal([]byte(line), &e) == nil && e.Event == "url" {
					a.user.asked++
					a.user.approve(e.URL)
				}
			})
			if code != 0 {
				break
			}
		}
		switch {
		case step == "Step 1":
			var r hostReport
			if err := json.Unmarshal([]byte(last), &r); err != nil {
				a.Fatalf("%v: %s", err, last)
			}
			step = a.table(section, r.Mode, strconv.FormatBool(r.Ready))
		case !strings.Contains(section, "| exit code |"):
			if code != 0 {
				return "failed"
			}
			return "Done"
		default:
			step = a.table(section, strconv.Itoa(code))
		}
	}
}

// askUser has the user type a command in a terminal that the agent does not see.
func (a *agent) askUser(command string) {
	a.Helper()
	a.user.asked++
	if a.user.secret == "" {
		return
	}
	a.user.typed++
	words := a.words(strings.TrimSpace(command))
	cmd := a.w.Command(patient(a.T), words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(a.user.secret + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		a.Fatalf("the user: %v: %s", err, out)
	}
}

func TestAgentFollowsSkill(t *testing.T) {
	const content = "ref: refs/heads/"
	for _, tt := range []struct {
		name, host string
		prepare    func(*agent)
		steps, end string
		asked      int
	}{
		{"login", "git.example.com", nil, "1 2 4", "Done", 1},
		{"OAuth", "oauth.example.com", nil, "1 2 4", "Done", 1},
		{"service token", "ci.example.com", nil, "1 3 4", "Done", 1},
		{"no Access", "open.example.com", nil, "1 5", "Done", 0},
		{"a session is there", "git.example.com", func(a *agent) { a.must("access", "login", a.host) }, "1 4", "Done", 0},
		{"the user refuses", "oauth.example.com", func(a *agent) {
			a.user.approve = func(u string) { a.w.Edge.Person(scripttest.Person).Refuse(a.Context(), u) }
		}, "1 2", "Ask", 1},
		{"nobody may be asked", "git.example.com", func(a *agent) { a.w.Set("ACCESS_INTERACTIVE=never") }, "1 2", "Ask", 0},
		{"a service token that is refused", "ci.example.com", func(a *agent) {
			a.must("access", "service-token", "add", "--client-id", a.w.Service.ID, "--secret-file", a.file(a.w.Service.Secret()), a.host)
			a.w.Service.Disable(true)
			a.user.secret = ""
		}, "1 3", "Ask", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := scripttest.NewWorld(t, scripttest.Git{})
			w.Behave("nothing") // the tab that opens by itself; the user takes the address
			a := &agent{T: t, w: w, host: tt.host, url: "https://" + tt.host + "/demo.git/HEAD"}
			person := w.Edge.Person(scripttest.Person)
			a.user = &scriptedUser{clientID: w.Service.ID, secret: w.Service.Secret(), approve: func(u string) {
				if err := person.Approve(t.Context(), u); err != nil {
					t.Error(err)
				}
			}}
			a.text = a.must("access", "skill")
			if tt.prepare != nil {
				w.Behave("approve")
				tt.prepare(a)
				w.Behave("nothing")
			}
			end := a.follow()
			steps := strings.ReplaceAll(strings.Join(a.steps, " "), "Step ", "")
			if steps != tt.steps || end != tt.end || a.user.asked != tt.asked {
				t.Errorf("steps %s, %s, asked %d times; want %s, %s, %d\n%s", steps, end, a.user.asked, tt.steps, tt.end, tt.asked, a.heard.String())
			}
			if end == "Done" && !strings.Contains(a.heard.String(), content) {
				t.Errorf("nothing was fetched:\n%s", a.heard.String())
			}
			// No secret came into the conversation.
			heard := a.heard.String()
			for _, secret := range []*regexp.Regexp{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.`), regexp.MustCompile(`oauth:\w`), regexp.MustCompile(`cfast_`)} {
				if m := secret.FindString(heard); m != "" {
					t.Errorf("%q is in the conversation:\n%s", m, heard)
				}
			}
		})
	}
}

// must runs a program that is not part of what the agent does.
func (a *agent) must(name string, args ...string) string {
	a.Helper()
	cmd := a.w.Command(patient(a.T), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		a.Fatalf("%s %q: %v: %s", name, args, err, stderr.String())
	}
	return string(out)
}

func (a *agent) file(content string) string {
	a.Helper()
	f, err := os.CreateTemp(a.w.Dir, "")
	if err != nil {
		a.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, content); err != nil {
		a.Fatal(err)
	}
	return f.Name()
}

func TestSkillFile(t *testing.T) {
	b, err := os.ReadFile("../../contrib/agents/AGENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != skillText {
		t.Error("contrib/agents/AGENTS.md differs: cp cmd/access/skill.md contrib/agents/AGENTS.md")
	}
	if !strings.HasPrefix(skillText, "---\nname: access\ndescription: \"") {
		t.Error("no front matter")
	}
}
