package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/slipway-ml/slipway"
)

// maxEvent bounds a line of a stream, and the data of one event, in bytes.
const maxEvent = 8 << 20

var errTooLong = &slipway.Error{Code: slipway.CodeTooLarge, Kind: slipway.Internal,
	Message: "the server sent an event that is too large", Next: "check that client and server have the same version"}

// readEvents reads server-sent events (HTML Living Standard §9.2) until the stream ends or
// yield is false. An event without a type is "message". Ids and retry times are not used.
func readEvents(r io.Reader, yield func(event string, data []byte) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var event string
	var data []byte
	has := false
	for lines.Scan() {
		line := lines.Bytes() // without the line end, "\n" or "\r\n"
		if len(line) == 0 {
			if has && !yield(orMessage(event), data) {
				return nil
			}
			event, data, has = "", data[:0], false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			if has {
				data = append(data, '\n')
			}
			if has = true; len(data)+len(value) > maxEvent {
				return errTooLong
			}
			data = append(data, value...)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errTooLong
	}
	return lines.Err()
}

func orMessage(event string) string {
	if event == "" {
		return "message"
	}
	return event
}
