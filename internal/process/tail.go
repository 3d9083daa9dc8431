package process

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"unicode"
)

// Bounds of what a status shows of a log.
const (
	tailBytes = 16 << 10
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
	if b = bytes.TrimRight(b, "\r\n"); len(b) == 0 {
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
