package main

import "slices"

// Each promise has a defence for each of its tests. Where two lines keep a promise together, as locks and bolts do, both are
// changed: code may span lines.
var defences = slices.Concat(whereItGoes, logins, onTheWay, otherUsers, whereNobodyLooks, nothingLost)
