package main

import "os/exec"

// inGroup leaves the command as it is: the end of the context ends it, and its children with their pipes.
func inGroup(*exec.Cmd) {}
