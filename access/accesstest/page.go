package accesstest

import (
	"html/template"
	"net/http"
	"strings"
)

type button struct {
	Answer, Label string
	Primary       bool
}

// form is the one form of a page.
type form struct {
	action, id string
	email      bool     // asks for an e-mail address
	targets    []string // origins that the click's redirects lead through
	buttons    []button
}

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style nonce="{{.Nonce}}">
:root { color-scheme: light dark; --line: #c4c9d1; --ink: #1d1f20; --paper: #fff; --ground: #f1f3f6; --act: #0a54b8; --on: #fff }
@media (prefers-color-scheme: dark) { :root { --line: #4a4f57; --ink: #e8eaed; --paper: #1f2226; --ground: #131518; --act: #7db1ff; --on: #0b1a30 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 27rem; padding: 2rem; background: var(--paper); border: 1px solid var(--line); border-radius: .75rem }
h1 { margin: 0 0 1rem; font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere }
p { margin: 0 0 1rem; overflow-wrap: anywhere }
label { display: block; font-weight: 600; margin-bottom: .25rem }
input { width: 100%; padding: .6rem .7rem; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: .4rem }
.actions { display: flex; gap: .75rem; margin-top: 1.25rem }
button { flex: 1; padding: .65rem 1rem; font: inherit; font-weight: 600; cursor: pointer; border-radius: .4rem; border: 1px solid var(--line); background: transparent; color: inherit }
button.primary { background: var(--act); border-color: var(--act); color: var(--on) }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px }
footer { margin-top: 1.5rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .85rem }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{.Text}}
{{- with .Form}}
<form method="post" action="{{.Action}}">
<input type="hidden" name="form" value="{{.ID}}">
{{- if .Email}}
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" value="ada@example.com" autocomplete="username" required autofocus>
{{- end}}
<div class="actions">
{{- range .Buttons}}
<button name="answer" value="{{.Answer}}"{{if .Primary}} class="primary"{{else}} formnovalidate{{end}}>{{.Label}}</button>
{{- end}}
</div>
</form>
{{- end}}
<footer>Emulated Access edge. It protects nothing.</footer>
</main>
</body>
</html>
`))

// page answers with a page of the edge: no script, nothing from elsewhere.
// text is HTML.
func page(w http.ResponseWriter, status int, title, text string, f *form) {
	nonce := token(16)
	data := map[string]any{"Title": title, "Text": template.HTML(text), "Nonce": nonce, "Form": nil}
	targets := "'none'"
	if f != nil {
		data["Form"] = map[string]any{"Action": f.action, "ID": f.id, "Email": f.email, "Buttons": f.buttons}
		targets = strings.Join(append([]string{"'self'"}, f.targets...), " ")
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; form-action "+targets+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	pageTemplate.Execute(w, data)
}
