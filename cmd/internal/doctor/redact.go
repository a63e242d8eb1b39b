package doctor

import (
	"regexp"
	"sync"
)

// What looks like a secret does not leave the doctor, wherever it came from: an
// error text of a proxy, a line of a configuration file, the words of a server.
var secrets = sync.OnceValue(func() []secretForm {
	return []secretForm{
		{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+(\.[\w-]*)?`), "[token]"},
		{regexp.MustCompile(`oauth:[^\s"',]+`), "[token]"},
		{regexp.MustCompile(`cfast_\w+`), "[secret]"},
		{regexp.MustCompile(`\b[0-9a-fA-F]{64}\b`), "[secret]"},
		{regexp.MustCompile(`(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s@"']+@`), "$1[login]@"},
		{regexp.MustCompile(`(?i)((?:authorization|cookie|cf-access-[a-z-]+)\s*[:=]\s*)[^"'\n]+`), "$1[secret]"},
		{regexp.MustCompile(`(?i)((?:secret|password|passphrase|token|code|state)[\w-]*=)[^\s&"']+`), "$1[secret]"},
	}
})

type secretForm struct {
	form *regexp.Regexp
	by   string
}

func redact(s string) string {
	for _, x := range secrets() {
		s = x.form.ReplaceAllString(s, x.by)
	}
	return s
}
