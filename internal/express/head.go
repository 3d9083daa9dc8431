package express

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

const (
	maxHeaders = 32
	maxBody    = 1 << 20 // bytes; larger ones come seldom, and cost more elsewhere
)

// head is an ordinary request's head.
type head struct {
	path, host string
	length     int64
	header     http.Header
	values     [maxHeaders]string // what header's slices lie in
}

// Headers that have a say in how a request is read, or of which net/http makes another.
// A request that has one is not ordinary.
var special = map[string]bool{"Transfer-Encoding": true, "Trailer": true, "Te": true, "Expect": true, "Upgrade": true, "Pragma": true,
	"Http2-Settings": true, "Proxy-Connection": true, "Keep-Alive": true}

// parse reads a head, up to and with its empty line, and tells whether it is ordinary: one
// that every reader of HTTP/1.1 (RFC 9112) understands in the same way. It says no rather
// than read anything into a head; what it reads, net/http reads alike.
func (h *head) parse(text string) bool {
	line, rest, ok := strings.Cut(text, "\r\n")
	path, post := strings.CutPrefix(line, "POST ")
	path, version := strings.CutSuffix(path, " HTTP/1.1")
	if !ok || !post || !version || !all(path, plain) || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return false
	}
	h.path, h.host, h.length = path, "", -1
	clear(h.header)
	for n := 0; rest != "\r\n"; n++ {
		line, rest, ok = strings.Cut(rest, "\r\n")
		name, value, named := strings.Cut(line, ":")
		if !ok || !named || n == maxHeaders || name == "" || !all(name, token) || !all(value, visible) {
			return false
		}
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		if !h.take(name, value) {
			return false
		}
		if _, twice := h.header[name]; twice {
			return false
		}
		h.values[n] = value
		h.header[name] = h.values[n : n+1 : n+1]
	}
	if _, ok := h.header["Host"]; !ok {
		return false
	}
	delete(h.header, "Host") // as net/http does
	return h.length > 0
}

// take looks at the headers that matter for reading.
func (h *head) take(name, value string) bool {
	switch name {
	case "Host":
		h.host = value
		return value != "" && all(value, host)
	case "Content-Length":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n > maxBody || value[0] == '0' || value[0] == '+' {
			return false
		}
		h.length = int64(n)
		return true
	case "Connection":
		return strings.EqualFold(value, "keep-alive")
	default:
		return !special[name]
	}
}

// class is what a byte may be part of.
type class uint8

const (
	plain   class = 1 << iota // a path without escapes and queries
	token                     // the name of a header
	visible                   // its value: no controls but tabs, and ASCII
	host                      // a name or an address, with a port
)

var classes = func() (out [256]class) {
	for c := byte(' '); c < 0x7f; c++ {
		out[c] |= visible
	}
	out['\t'] |= visible
	mark := func(chars string, of class) {
		for i := range len(chars) {
			out[chars[i]] |= of
		}
	}
	const word = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"
	mark(word+"._~/", plain)
	mark(word+"_", token)
	mark(word+".:[]_", host)
	return out
}()

func all(text string, of class) bool {
	for i := range len(text) {
		if classes[text[i]]&of == 0 {
			return false
		}
	}
	return true
}
