package logfile

// OpenSmall is Open with another bound.
func OpenSmall(path string, limit int64) (*Rotating, error) {
	r, err := Open(path, nil)
	if err == nil {
		r.max = limit
	}
	return r, err
}
