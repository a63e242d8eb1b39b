// Empty does nothing: how long a process of Go takes.
package main

func main() {}
