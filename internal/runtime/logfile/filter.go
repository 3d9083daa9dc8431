package logfile

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// Filter says which lines are wanted; an empty field wants all.
type Filter struct {
	Revisions []string // ids; none wants nothing
	Replica   string   // its id, or what that ends in after a dash
	Request   string   // the id of a request
	Level     string   // this and worse: debug, info, warn, error
	Since     time.Time
	Until     time.Time
}

// replica says whether a replica is wanted. It is named after its revision.
func (f Filter) replica(id string) bool {
	if f.Replica != "" && id != f.Replica && !strings.HasSuffix(id, "-"+f.Replica) {
		return false
	}
	return slices.ContainsFunc(f.Revisions, func(r string) bool { return strings.HasPrefix(id, r+"-r") })
}

// line says whether a line is wanted.
func (f Filter) line(l *api.LogLine) bool {
	switch {
	case !f.Since.IsZero() && l.Time.Before(f.Since), !f.Until.IsZero() && l.Time.After(f.Until):
		return false
	case f.Request != "" && !slices.Contains(strings.Split(l.Request, ","), f.Request) && !strings.Contains(l.Message, f.Request):
		return false
	}
	return f.Level == "" || level(l.Level) >= level(f.Level)
}

// level orders the names of levels; one that is unknown is worth reading.
func level(name string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) != nil {
		return slog.LevelError
	}
	return l
}

// parse reads one line. One that is no record came from a process that died: it is given as
// it is, with the time of the line before.
func parse(line []byte, replica string, before time.Time) api.LogLine {
	var fields map[string]any
	l := api.LogLine{}
	if json.Unmarshal(line, &l) != nil || json.Unmarshal(line, &fields) != nil || l.Time.IsZero() {
		text := strings.ToValidUTF8(string(bytes.TrimSpace(line)), "\uFFFD")
		return api.LogLine{Time: before, Replica: replica, Stream: "raw", Message: text}
	}
	for _, known := range []string{"time", "level", "replica", "revision", "stream", "msg", "request"} {
		delete(fields, known)
	}
	for k, v := range fields {
		text, ok := v.(string)
		if !ok {
			b, _ := json.Marshal(v) // it was JSON
			text = string(b)
		}
		if l.Attributes == nil {
			l.Attributes = map[string]string{}
		}
		l.Attributes[k] = text
	}
	return l
}
