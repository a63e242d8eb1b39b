package main

import (
	"strings"

	"rsc.io/qr"
)

// quiet is the white border that readers want (ISO/IEC 18004: four modules).
const quiet = 4

// qrCode draws text as a QR code in half blocks, two rows of modules a line. With
// colour it says black on white; else it takes the terminal for a dark one, where
// what is drawn is white.
func qrCode(text string, colour bool) (string, error) {
	code, err := qr.Encode(text, qr.L) // the least redundancy: a screen has no scratches
	if err != nil {
		return "", errQRTooLong
	}
	white := func(x, y int) bool {
		x, y = x-quiet, y-quiet
		return x < 0 || y < 0 || x >= code.Size || y >= code.Size || !code.Black(x, y)
	}
	var b strings.Builder
	for y := 0; y < code.Size+2*quiet; y += 2 {
		if colour {
			b.WriteString("\x1b[97;40m") // white in front, black behind
		}
		for x := range code.Size + 2*quiet {
			switch upper, lower := white(x, y), white(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteRune(' ')
			}
		}
		if colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
