package express

import (
	"bufio"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const ordinary = "POST /v2/models/m/infer HTTP/1.1\r\nHost: x:8080\r\nauthorization: Bearer t\r\nContent-Length: 2\r\n\r\n"

// TestOrdinary: what is not plain to every reader of HTTP is left alone.
func TestOrdinary(t *testing.T) {
	with := func(lines string) string { return strings.Replace(ordinary, "\r\n\r\n", "\r\n"+lines+"\r\n\r\n", 1) }
	without := func(line string) string { return strings.Replace(ordinary, line, "", 1) }
	for name, c := range map[string]struct {
		head string
		want bool
	}{
		"as it is":              {ordinary, true},
		"kept":                  {with("Connection: Keep-Alive"), true},
		"empty value":           {with("X:"), true},
		"no host":               {without("Host: x:8080\r\n"), false},
		"two hosts":             {with("Host: x"), false},
		"no length":             {without("Content-Length: 2\r\n"), false},
		"two lengths":           {with("content-length: 2"), false},
		"length and chunks":     {with("Transfer-Encoding: chunked"), false},
		"signed length":         {strings.Replace(ordinary, ": 2", ": +2", 1), false},
		"length with zeros":     {strings.Replace(ordinary, ": 2", ": 02", 1), false},
		"list of lengths":       {strings.Replace(ordinary, ": 2", ": 2, 2", 1), false},
		"empty body":            {strings.Replace(ordinary, ": 2", ": 0", 1), false},
		"large body":            {strings.Replace(ordinary, ": 2", ": 1048577", 1), false},
		"expects":               {with("Expect: 100-continue"), false},
		"upgrades":              {with("Upgrade: h2c"), false},
		"closes":                {with("Connection: close"), false},
		"hop by hop":            {with("Connection: keep-alive, x"), false},
		"two tokens":            {with("Authorization: Bearer u"), false},
		"folded":                {with("X: a\r\n b"), false},
		"space before colon":    {with("X : a"), false},
		"space before name":     {strings.Replace(ordinary, "Host", " Host", 1), false},
		"no colon":              {with("X"), false},
		"no name":               {with(": x"), false},
		"bare LF":               {with("X: a\nTransfer-Encoding: chunked"), false},
		"bare CR":               {with("X: a\rb"), false},
		"NUL":                   {with("X: a\x00"), false},
		"not ASCII":             {with("X: ä"), false},
		"another method":        {strings.Replace(ordinary, "POST", "PUT", 1), false},
		"another version":       {strings.Replace(ordinary, "1.1", "1.0", 1), false},
		"two spaces":            {strings.Replace(ordinary, " HTTP", "  HTTP", 1), false},
		"escape":                {strings.Replace(ordinary, "/m/", "/%6d/", 1), false},
		"query":                 {strings.Replace(ordinary, "/infer", "/infer?x", 1), false},
		"absolute":              {strings.Replace(ordinary, "/v2", "http://x/v2", 1), false},
		"many":                  {with(strings.TrimSuffix(strings.Repeat("X: a\r\n", 40), "\r\n")), false},
		"first line is a field": {"POST /v2/models/m/infer HTTP/1.1\r\n\r\n", false},
	} {
		h := head{header: http.Header{}}
		if got := h.parse(c.head); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// FuzzHead: what is ordinary, net/http reads alike, with the same end of the head and the
// same length of the body.
func FuzzHead(f *testing.F) {
	f.Add([]byte(ordinary))
	f.Add([]byte(strings.Replace(ordinary, "\r\n\r\n", "\r\nX-Y_z:  a\tb \r\nConnection: keep-alive\r\n\r\n", 1)))
	f.Add([]byte(strings.Replace(ordinary, "x:8080", "[::1]", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		text := string(b)
		i := strings.Index(text, "\r\n\r\n")
		if i < 0 {
			return
		}
		text = text[:i+4]
		h := head{header: http.Header{}}
		if !h.parse(text) {
			return
		}
		in := bufio.NewReader(strings.NewReader(text + "{}"))
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", text, err)
		}
		if r.Method != "POST" || r.RequestURI != h.path || r.Host != h.host || r.ContentLength != h.length || len(r.TransferEncoding) > 0 || r.Close || r.ProtoMinor != 1 {
			t.Errorf("%q: %+v, not %q, %q, %d", text, r, h.path, h.host, h.length)
		}
		if r.URL.Path != h.path {
			t.Errorf("the path %q is %q", h.path, r.URL.Path)
		}
		if !reflect.DeepEqual(r.Header, h.header) {
			t.Errorf("%q: %v, not %v", text, r.Header, h.header)
		}
		if rest, _ := in.Peek(2); string(rest) != "{}" {
			t.Errorf("the body of %q begins elsewhere", text)
		}
	})
}
