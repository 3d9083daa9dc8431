package runtime

import (
	"encoding/json"
	"errors"
	"io"
	"os"
)

const (
	secretsFD  = 3
	maxSecrets = 4 << 20 // bytes
)

// readSecrets reads, once, what the model's own processes get besides. It is neither in a
// file nor in this process' environment, where others of this user could read it.
func readSecrets(f *os.File) ([]string, error) {
	var env []string
	err := json.NewDecoder(io.LimitReader(f, maxSecrets)).Decode(&env)
	if err != nil {
		err = errors.New("the secrets cannot be read") // the cause may quote them
	}
	return env, errors.Join(err, f.Close())
}
