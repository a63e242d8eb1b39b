package main

var whereNobodyLooks = []defence{}
