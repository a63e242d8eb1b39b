// Package faults has no code: its tests say what our programs do when the
// network or the edge breaks in the middle of what they are at. Each has to say
// so within its deadline, to lose no token, to open no browser, and to work
// again as soon as the network does.
package faults
