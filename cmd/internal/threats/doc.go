// Package threats has no code: its tests attack our programs from outside, as the
// threat model says that somebody may (contrib/doc/threat-model.md). Attacks on
// one package are tests of that package.
package threats
