package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/route"
)

// Exit codes of the runtime process. 2 is a panic of the Go runtime.
const (
	ExitOK     = 0  // told to stop, and drained
	ExitFailed = 1  // anything else; the log says what
	ExitConfig = 10 // the configuration or the log file cannot be used
	ExitModel  = 11 // the model cannot be loaded, or the command cannot be started
	ExitChild  = 12 // the custom server or the Python workers ended, or were not ready in time
	ExitMemory = 13 // out of memory, soft limit
	ExitDisk   = 14 // the disk is full
)

const (
	maxConfig           = 4 << 20
	maxSocketPath       = 104 // sun_path holds 107 bytes; other sockets beside it have suffixes
	maxWorkers          = 64
	defaultStartTimeout = 100 * time.Second // the first import of a large library from a cold disk takes a minute
)

// Config is all that a runtime process knows. The supervisor writes it as a JSON file.
type Config struct {
	Socket       string        `json:"socket"` // absolute, at most 104 bytes
	Dir          string        `json:"dir"`    // the unpacked image, absolute; of a pool none
	Runtime      route.Runtime `json:"runtime"`
	Packages     string        `json:"packages,omitempty"` // directory of Python packages beside those of the interpreter
	Model        string        `json:"model"`
	Revision     string        `json:"revision"`
	Replica      string        `json:"replica"`
	MemoryBytes  int64         `json:"memory_bytes"`            // soft limit of the process and those it starts, 0 for none
	MilliCPU     int           `json:"milli_cpu"`               // bounds the worker set, 0 for all processors
	Log          string        `json:"log"`                     // the log file, absolute
	Secrets      bool          `json:"secrets,omitempty"`       // read an environment for the model's processes from descriptor 3
	Environment  []string      `json:"-"`                       // that environment, "KEY=value"
	StartTimeout time.Duration `json:"start_timeout,omitempty"` // of a custom server or a Python worker, ns; 0 for 100 s

	ONNX  Loader       `json:"-"` // nil in a program that cannot open the library
	Reach config.Reach `json:"-"` // where servers elsewhere may be; the process is told by a flag
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
		if !filepath.IsAbs(f.path) && (f.key != "dir" || c.Runtime.Kind != route.RuntimePool) {
			errs = append(errs, fmt.Errorf("%s: give an absolute path", f.key))
		}
	}
	if len(c.Socket) > maxSocketPath {
		errs = append(errs, fmt.Errorf("socket: the path has %d bytes, at most %d are possible", len(c.Socket), maxSocketPath))
	}
	if c.MemoryBytes < 0 || c.MilliCPU < 0 || c.StartTimeout < 0 {
		errs = append(errs, errors.New("limits must not be negative"))
	}
	switch r := c.Runtime; r.Kind {
	case route.RuntimeTree, route.RuntimeONNX, route.RuntimePool:
	case route.RuntimeRemote:
		if u, err := url.Parse(r.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, errors.New("url: give the address of the server"))
		}
	case route.RuntimePython:
		if !filepath.IsAbs(r.Python) {
			errs = append(errs, errors.New("python: give the absolute path of the interpreter"))
		}
		if r.Workers < 1 || r.Workers > maxWorkers || r.MaxRows < 1 {
			errs = append(errs, fmt.Errorf("workers: give 1 to %d, and at least one row", maxWorkers))
		}
	case route.RuntimeCommand:
		if len(r.Command) == 0 {
			errs = append(errs, errors.New("command: give the argument vector of the custom server"))
		} else if all := strings.Join(r.Command, " "); !strings.Contains(all, "{socket}") && !strings.Contains(all, "{port}") {
			errs = append(errs, errors.New("command: use {socket} or {port}, or the server cannot know where to listen"))
		}
		if c.Model == "" {
			errs = append(errs, errors.New("model: a custom server needs the model's name"))
		}
	default:
		errs = append(errs, fmt.Errorf("kind: %.40q is not known", r.Kind))
	}
	return errors.Join(errs...)
}
