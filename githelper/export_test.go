package githelper

// TestGits is for the tests that see the package from outside.
var TestGits = testGits
