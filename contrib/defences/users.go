package main

var otherUsers = []defence{}
