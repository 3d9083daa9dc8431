package process

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"unicode"
)

// Bounds of what a status shows of a log.
const (
	tailBytes = 64 << 10
	tailLines = 20
	tailWidth = 400 // characters of one line
)

// readTail gives the last lines of a log file, or nothing if it cannot be read.
func readTail(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	from := max(0, info.Size()-tailBytes)
	buf := make([]byte, info.Size()-from)
	n, _ := f.ReadAt(buf, from)
	return lastLines(buf[:n], from > 0)
}

// lastLines cuts the end of a log into lines. A log may hold any bytes: what could steer a
// terminal is replaced. A cut text starts within a line, which is left out.
func lastLines(b []byte, cut bool) []string {
	if cut {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	if b = bytes.TrimRight(withoutTraces(b), "\r\n"); len(b) == 0 {
		return nil
	}
	lines := bytes.Split(b, []byte("\n"))
	lines = lines[max(0, len(lines)-tailLines):]
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = plain(message(l))
	}
	return out
}

// withoutTraces leaves out what Go prints after the reason of a crash: goroutines and registers, which would
// be all that is seen of the end.
func withoutTraces(b []byte) []byte {
	all := regexp.MustCompile(`(?m)^(SIG[A-Z]+: |fatal error: |panic: |unexpected fault address )`).FindAllIndex(b, -1)
	if len(all) == 0 {
		return b
	}
	from := all[len(all)-1][0]
	end := bytes.Index(b[from:], []byte("\n\n"))
	if end < 0 || bytes.Contains(b[from:], []byte("\n{")) { // something was logged since
		return b
	}
	return b[:from+end]
}

// message is what a line of a runtime's log says; other lines are taken as they are.
func message(line []byte) []byte {
	var l struct {
		Msg string `json:"msg"`
	}
	if json.Unmarshal(line, &l) != nil || l.Msg == "" {
		return line
	}
	return []byte(l.Msg)
}

func plain(line []byte) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, string(bytes.TrimRight(line, "\r")))
	if r := []rune(s); len(r) > tailWidth {
		return string(r[:tailWidth-1]) + "…"
	}
	return s
}
