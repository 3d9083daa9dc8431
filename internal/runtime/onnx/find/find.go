// Package find finds what serves ONNX models on a machine: the program platform-onnx and the library
// of ONNX Runtime. The platform itself is a static program, which can open no library.
package find

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/slipway-ml/slipway"
)

// Names of the files, which lie beside the platform; the program may also be on the path.
const (
	Name        = "platform-onnx"
	LibraryName = "libonnxruntime.so.1"
	// Env names the library, wherever it is.
	Env = "ONNXRUNTIME_LIB"
)

const (
	needProgram = "put " + Name + " of the same release beside platform, or on the PATH (from source: make build)"
	needLibrary = "pip install 'slipway-platform[onnx]', or set " + Env + " to the library of ONNX Runtime (from source: make onnxruntime)"
	// Where a Python environment has the library, seen from where it has programs.
	inPython = "../lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*"
)

// Program finds platform-onnx for the platform at exe. It answers Unprocessable with
// CodeReplicaStart if there is none.
func Program(exe string) (string, error) {
	file := filepath.Join(filepath.Dir(exe), Name)
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
		return file, nil
	}
	file, err := exec.LookPath(Name)
	if err == nil {
		file, err = filepath.Abs(file)
	}
	if err != nil {
		return "", missing("the program "+Name+" is not there", needProgram, err)
	}
	return file, nil
}

// Library finds the library for platform-onnx at program: the file that the environment names, else
// the one beside the program, else that of the Python environment that both are installed in. It answers Unprocessable with CodeReplicaStart if there is none.
func Library(program string, getenv func(string) string) (string, error) {
	dir := filepath.Dir(program)
	file := cmp.Or(getenv(Env), filepath.Join(dir, LibraryName))
	info, err := os.Stat(file)
	if found, _ := filepath.Glob(filepath.Join(dir, inPython)); err != nil && getenv(Env) == "" && len(found) > 0 { // the pattern is sound
		file = found[len(found)-1]
		info, err = os.Stat(file)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return "", missing("the library of ONNX Runtime is not there: "+file, needLibrary, err)
	}
	return filepath.Abs(file)
}

// Check says whether this machine has both.
func Check(exe string, getenv func(string) string) error {
	program, err := Program(exe)
	if err == nil {
		_, err = Library(program, getenv)
	}
	return err
}

func missing(message, next string, cause error) error {
	return &slipway.Error{Code: slipway.CodeReplicaStart, Kind: slipway.Unprocessable, Message: message, Next: next, Cause: fmt.Errorf("onnx: %w", cause)}
}
