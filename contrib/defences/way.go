package main

var onTheWay = []defence{}
