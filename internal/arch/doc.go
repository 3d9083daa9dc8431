// Package arch holds the shape of the code as a test: which package lies in which layer,
// what it may import, and how large things may grow. The test parses the sources in its own
// process; one that asked the go command would be answered from the test cache.
package arch
