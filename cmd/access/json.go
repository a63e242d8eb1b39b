package main

import (
	"encoding/json"
	"io"
)

// writeJSON writes v on a line, as programs read it. URLs and commands to type stay
// as they are: no "&" becomes \u0026.
func writeJSON(w io.Writer, v any) error { return encode(w, v, "") }

// writeIndentedJSON writes v on many lines, as people read it, too.
func writeIndentedJSON(w io.Writer, v any) error { return encode(w, v, "  ") }

func encode(w io.Writer, v any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}
