// Hello does nothing, as quickly as a Go program can.
package main

func main() {}
