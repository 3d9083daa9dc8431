package client

// ReadEvents is for tests.
var ReadEvents = readEvents
