package cli

import "github.com/slipway-ml/slipway/client"

// Request reads data and makes a request of them, for tests.
func Request(raw []byte, format string, m client.Metadata) (string, []byte, error) {
	in, err := readInput(raw)
	if err != nil {
		return "", nil, err
	}
	return in.request(format, func() (client.Metadata, error) { return m, nil })
}
