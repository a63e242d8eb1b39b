package main

var nothingLost = []defence{}
