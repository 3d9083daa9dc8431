package vault

// Interpret is what reads an answer.
var Interpret = interpret
