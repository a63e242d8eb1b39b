package githelper

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Configure returns a copy of environ in which git v has settings on top of its configuration files. A setting is a key, such as
// "http.https://git.example.com/.extraHeader", and its value. Settings that environ has already stay. They are written as
// GIT_CONFIG_COUNT and the variables that it counts (git 2.31), for older gits into GIT_CONFIG_PARAMETERS, which is git's own form for -c.
func (v Version) Configure(environ []string, settings [][2]string) ([]string, error) {
	out := make([]string, 0, len(environ)+2*len(settings)+1)
	const count, parameters = "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"
	given := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if name == count && v.AtLeast(2, 31) || name == parameters && !v.AtLeast(2, 31) {
			given[name] = value
			continue
		}
		out = append(out, kv)
	}
	for _, s := range settings {
		if strings.Contains(s[0], "=") || strings.ContainsAny(s[0]+s[1], "\x00\n\r") {
			return nil, fmt.Errorf("githelper: %q cannot stand in git's configuration", s[0])
		}
	}
	if !v.AtLeast(2, 31) {
		words := []string{}
		if given[parameters] != "" {
			words = append(words, given[parameters])
		}
		for _, s := range settings {
			words = append(words, "'"+strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s[0]+"="+s[1])+"'")
		}
		return append(out, parameters+"="+strings.Join(words, " ")), nil
	}
	n := 0
	if s := given[count]; s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 0 {
			return nil, fmt.Errorf("githelper: %s is no number in the environment", count)
		}
	}
	for _, s := range settings {
		out = append(out, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, s[1]))
		n++
	}
	return append(out, count+"="+strconv.Itoa(n)), nil
}

// traces are the variables that make git print request headers, and its configuration, where secrets may stand. git redacts cookies and
// Authorization in the first two (http.c) and nothing else.
var traces = []string{"GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE2_PERF"}

// WithoutTraces returns a copy of environ for a git that is given a secret by [Version.Configure]: nothing in it has git print the
// secret. dropped are the names of the variables that would have had it printed. trace2 is switched off by its variables rather than
// left out, since a configuration file may switch it on.
func WithoutTraces(environ []string) (clean, dropped []string) {
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !slices.Contains(traces, name) {
			clean = append(clean, kv)
		} else if value != "" && value != "0" && value != "false" || name == "GIT_CURL_VERBOSE" { // set to anything (http.c)
			dropped = append(dropped, name)
		}
	}
	return append(clean, noTrace2...), dropped
}

// noTrace2 switches trace2 off whatever a configuration file says.
var noTrace2 = []string{"GIT_TRACE2=0", "GIT_TRACE2_EVENT=0", "GIT_TRACE2_PERF=0"}
