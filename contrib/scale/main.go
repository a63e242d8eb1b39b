// Command scale reckons what a company of developers and a fleet of CI jobs ask of
// Access in a working day, from what single events cost (costs.go). Its table stands
// in contrib/doc/scale.md.
package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"text/tabwriter"
)

// A company is who works, and how. Times are in minutes.
type company struct {
	developers int
	arrival    float64 // of the middle of them, after midnight
	spread     float64 // standard deviation of that
	day        float64
	apps       int     // with a login, beside one with Managed OAuth
	every      float64 // between two uses of an application: commands, and fetches of editors
	together   int     // processes that need the same credential at the same moment: git fetch -j8, git-lfs
	access     float64 // life of an access token
	jobs       int     // of CI, with service tokens
}

var large = company{developers: 100_000, arrival: 9 * 60, spread: 45, day: 8 * 60, apps: 2, every: 3, together: 8, access: 15, jobs: 50_000}

// A design is what the client does about it.
type design struct {
	name       string
	shared     bool    // one renewal serves all processes that wait for it
	checkEvery float64 // a stored session is tried this often at most; 0: by each use
	daemon     bool    // a program renews all day long, used or not
}

var designs = []design{
	{name: "as it is", shared: true, checkEvery: 5},
	{name: "each process for itself", checkEvery: 5},
	{name: "each use tries the session first", shared: true},
	{name: "a daemon on each machine", shared: true, checkEvery: 5, daemon: true},
}

// load is what is asked, in each minute of a day.
type load struct{ edge, identity [24 * 60]float64 }

func (l *load) add(at float64, c cost, times int) {
	minute := min(max(int(at), 0), len(l.edge)-1)
	l.edge[minute] += float64(c.Edge * times)
	l.identity[minute] += float64(c.Identity * times)
}

func simulate(c company, d design) *load {
	r := rand.New(rand.NewPCG(1, 2)) // the same day each time
	l := &load{}
	waiting := 1
	if !d.shared {
		waiting = c.together
	}
	for range c.developers {
		came := c.arrival + c.spread*r.NormFloat64()
		left := came + c.day
		// The first use of the day: the sessions of the day before have ended. One person logs in once, whatever waits.
		l.add(came, firstLogin, 1)
		for range c.apps - 1 {
			l.add(came+r.Float64()*60, nextApp, waiting)
		}
		var renewed, tried float64
		from, until := came, left
		if d.daemon {
			from, until = r.Float64()*c.access, 24*60
		}
		for at := from; at < until; at += c.every * (0.5 + r.Float64()) {
			if at-renewed >= c.access || renewed == 0 {
				l.add(at, oauthRefresh, waiting)
				renewed = at
			}
			if at-tried >= d.checkEvery || tried == 0 {
				l.add(at, check, c.apps+1)
				tried = at
			}
		}
	}
	for range c.jobs {
		l.add(r.Float64()*24*60, serviceToken, 1)
	}
	return l
}

// most returns the requests a second in the busiest minute, and those of the day.
func most(minutes []float64) (perSecond, sum float64) {
	for _, n := range minutes {
		perSecond, sum = max(perSecond, n/60), sum+n
	}
	return perSecond, sum
}

func table(w io.Writer, c company) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tidentity, a day\ta second, at most\tedge, a day\ta second, at most")
	for _, d := range designs {
		l := simulate(c, d)
		peakIdentity, identity := most(l.identity[:])
		peakEdge, edge := most(l.edge[:])
		fmt.Fprintf(t, "%s\t%.1f million\t%.0f\t%.1f million\t%.0f\n", d.name, identity/1e6, peakIdentity, edge/1e6, peakEdge)
	}
	return t.Flush()
}

func main() {
	if err := table(os.Stdout, large); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}
