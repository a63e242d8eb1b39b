package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	var out strings.Builder
	run := "An edge\n\n✓ clone <&> push   0.34 s  one login\n✗ another          1.20 s  no\n\n1 of 2 steps failed\n"
	if err := draw(strings.NewReader(run), &out, "make demo"); err != nil {
		t.Fatal(err)
	}
	text := ""
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, &out)
		}
		if c, ok := tok.(xml.CharData); ok {
			text += string(c)
		}
	}
	for _, want := range []string{"$ make demo", "✓ clone <&> push   0.34 s  one login", "✗ another          1.20 s  no"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture does not have %q:\n%s", want, text)
		}
	}
	for _, want := range []string{`class="no">✗`, `animation-delay:0.74s`, `animation-delay:1.94s`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the picture does not have %q", want)
		}
	}
	if err := draw(strings.NewReader(""), io.Discard, "x"); err == nil {
		t.Error("a picture of nothing")
	}
}
