package cli

import (
	"fmt"
	"io"
	"runtime"
	"strings"
)

const issues = "https://github.com/gitaccess/gitaccess/issues"

// reportPanic prints where a panic happened, and no value: a token or a password may be among them, and people paste such output
// into public issues. It sees panics of the goroutine that calls run only.
func reportPanic(env *Env, v any) {
	what := fmt.Sprintf("panic of type %T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error() // speaks of types, indices and lengths only
	}
	printLines(env, "error", "internal error: "+what)
	printLines(env, "hint", "this is a bug; please report it at "+issues+" with these lines (they hold no secrets)")

	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)]) // without Callers, reportPanic and the deferred function
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", env.Name, Version())
	for {
		f, more := frames.Next()
		if f.Function != "" {
			fmt.Fprintf(&b, "  %s %s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			break
		}
	}
	io.WriteString(env.Stderr, b.String())
}
