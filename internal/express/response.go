package express

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	room    = 1 << 10 // that an answer's head takes, usually
	maxKept = 64 << 10
)

// response gathers an answer, and leaves room before it for its head.
type response struct {
	header http.Header
	code   int
	b      []byte
}

func (r *response) reset() {
	clear(r.header)
	if cap(r.b) > maxKept || r.b == nil {
		r.b = make([]byte, room, 2*room)
	}
	r.code, r.b = 0, r.b[:room]
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *response) WriteHeader(code int) {
	if r.code == 0 && code >= http.StatusOK {
		r.code = code
	}
}

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.b = append(r.b, p...)
	return len(p), nil
}

// closes tells whether the answer is the last of its connection.
func (r *response) closes() bool {
	v := r.header["Connection"]
	return len(v) > 0 && strings.EqualFold(v[0], "close")
}

// finish gives the whole answer, in the buffer.
func (r *response) finish(date string) []byte {
	r.WriteHeader(http.StatusOK)
	var space [room]byte
	h := append(space[:0], "HTTP/1.1 "...)
	h = strconv.AppendInt(h, int64(r.code), 10)
	h = append(append(append(h, ' '), http.StatusText(r.code)...), "\r\nDate: "...)
	h = append(h, date...)
	body := r.b[room:]
	if r.header["Content-Type"] == nil && len(body) > 0 {
		r.header["Content-Type"] = []string{http.DetectContentType(body)}
	}
	for name, values := range r.header {
		if name == "Content-Length" {
			continue
		}
		for _, v := range values {
			h = append(append(append(h, "\r\n"...), name...), ": "...)
			h = append(h, oneLine.Replace(v)...)
		}
	}
	h = append(h, "\r\nContent-Length: "...)
	h = strconv.AppendInt(h, int64(len(body)), 10)
	h = append(h, "\r\n\r\n"...)
	if len(h) > room {
		return slices.Concat(h, body)
	}
	start := room - len(h)
	copy(r.b[start:], h)
	return r.b[start:]
}

var oneLine = strings.NewReplacer("\n", " ", "\r", " ")

// date is the time as answers say it, to the second.
type date struct {
	second int64
	text   string
}

func (s *Server) dateAt(now time.Time) string {
	d := s.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		s.date.Store(d)
	}
	return d.text
}
