package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/internal/route"
)

// Exit codes of the runtime process. 2 is a panic of the Go runtime.
const (
	ExitOK     = 0  // told to stop, and drained
	ExitFailed = 1  // anything else; the log says what
	ExitConfig = 10 // the configuration or the log file cannot be used
	ExitModel  = 11 // the model cannot be loaded, or the command cannot be started
	ExitChild  = 12 // the custom server ended, or was not ready in time
	ExitMemory = 13 // out of memory, soft limit
)

const (
	maxConfig           = 4 << 20
	maxSocketPath       = 105 // sun_path holds 107 bytes; the custom server's socket has a suffix
	defaultStartTimeout = 60 * time.Second
)

// Config is all that a runtime process knows. The supervisor writes it as a JSON file.
type Config struct {
	Socket       string        `json:"socket"` // absolute, at most 105 bytes
	Dir          string        `json:"dir"`    // the unpacked image, absolute
	Kind         string        `json:"kind"`   // one of route.Runtime…
	Command      []string      `json:"command,omitempty"`
	Model        string        `json:"model"`
	Revision     string        `json:"revision"`
	Replica      string        `json:"replica"`
	MemoryBytes  int64         `json:"memory_bytes"`            // soft limit of the process and its custom server, 0 for none
	MilliCPU     int           `json:"milli_cpu"`               // bounds the worker set, 0 for all processors
	Log          string        `json:"log"`                     // the log file, absolute
	StartTimeout time.Duration `json:"start_timeout,omitempty"` // of a custom server, ns; 0 for a minute
}

// ReadConfig reads and checks a configuration file; unknown keys are mistakes.
func ReadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	return parseConfig(f)
}

func parseConfig(r io.Reader) (Config, error) {
	var c Config
	d := json.NewDecoder(io.LimitReader(r, maxConfig))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = defaultStartTimeout
	}
	return c, c.check()
}

func (c *Config) check() error {
	var errs []error
	for _, f := range []struct{ key, path string }{{"socket", c.Socket}, {"dir", c.Dir}, {"log", c.Log}} {
		if !filepath.IsAbs(f.path) {
			errs = append(errs, fmt.Errorf("%s: give an absolute path", f.key))
		}
	}
	if len(c.Socket) > maxSocketPath {
		errs = append(errs, fmt.Errorf("socket: the path has %d bytes, at most %d are possible", len(c.Socket), maxSocketPath))
	}
	if c.MemoryBytes < 0 || c.MilliCPU < 0 || c.StartTimeout < 0 {
		errs = append(errs, errors.New("limits must not be negative"))
	}
	switch c.Kind {
	case route.RuntimeTree:
	case route.RuntimeCommand:
		if len(c.Command) == 0 {
			errs = append(errs, errors.New("command: give the argument vector of the custom server"))
		} else if all := strings.Join(c.Command, " "); !strings.Contains(all, "{socket}") && !strings.Contains(all, "{port}") {
			errs = append(errs, errors.New("command: use {socket} or {port}, or the server cannot know where to listen"))
		}
		if c.Model == "" {
			errs = append(errs, errors.New("model: a custom server needs the model's name"))
		}
	default:
		errs = append(errs, fmt.Errorf("kind: %.40q is not known", c.Kind))
	}
	return errors.Join(errs...)
}
