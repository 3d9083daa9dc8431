package sqlstore

import (
	"bufio"
	"io"
)

// ReadDump reads a dump without a database.
func ReadDump(r io.Reader, tables []string, use func(string, []string, [][]any) error) error {
	in := &dumpReader{in: bufio.NewReader(r)}
	if _, err := in.header(); err != nil {
		return err
	}
	return in.rows(tables, use)
}
