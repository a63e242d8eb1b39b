// Package scale has no code: its tests run our programs as a build farm does,
// many at once and many in a row. They count, and measure no time.
package scale
