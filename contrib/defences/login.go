package main

var logins = []defence{}
