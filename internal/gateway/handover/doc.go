// Package handover lets a new process take over from an old one everything that clients
// hold on to: the listening socket and the idle keep-alive connections. A server that
// closes its idle connections when it ends, as net/http does, loses every request that
// crosses the close on its way; here such a connection goes on in the new process, with
// the bytes of the next request that were read already.
//
// # Protocol
//
// The two processes talk over a Unix socket of type SOCK_SEQPACKET. Each message is one
// byte of kind and up to 64 bytes of content, some with one file descriptor (SCM_RIGHTS of
// unix(7)):
//
//	new → old  'T'            take over; the old process freezes its state
//	old → new  'L' fd         the listening socket
//	new → old  'R'            ready: the new process accepts from here on
//	old → new  'C' bytes fd   a connection between two requests, any number of times
//	old → new  'E'            the end: every connection was passed on or closed
//	any → old  'D'            only a duplicate of the listening socket is wanted
//	old → any  'L' fd
//
// If the new process ends before 'R' the old one thaws and goes on. A connection on which
// a request is being read or answered is passed on when that is over. A TLS connection has
// secrets that cannot be passed on once its handshake has begun, and one of HTTP/2 has the
// state of its compression and its streams; they stay where they are. Their server tells the
// clients to make new ones when it ends (GOAWAY), and answers what it has begun.
package handover
