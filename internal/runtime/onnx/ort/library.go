// Package ort calls ONNX Runtime through its C API, without cgo: the library is opened while
// the program runs, and its functions are found in the table of the API, which only ever grows at
// its end (onnxruntime_c_api.h). A program that imports this package is linked dynamically
// to the C library: keep it out of those that must be static.
package ort

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

// apiVersion is the version of the API whose functions are used; every library from 1.16 on
// has it.
const apiVersion = 16

// Places of functions in struct OrtApi.
const (
	fnGetErrorMessage                     = 2
	fnCreateEnv                           = 3
	fnCreateSession                       = 7
	fnRun                                 = 9
	fnCreateSessionOptions                = 10
	fnSetSessionGraphOptimizationLevel    = 23
	fnSetIntraOpNumThreads                = 24
	fnSetInterOpNumThreads                = 25
	fnSessionGetInputCount                = 30
	fnSessionGetOutputCount               = 31
	fnSessionGetInputName                 = 36
	fnSessionGetOutputName                = 37
	fnCreateRunOptions                    = 39
	fnRunOptionsSetTerminate              = 46
	fnCreateTensorAsOrtValue              = 48
	fnCreateTensorWithDataAsOrtValue      = 49
	fnGetTensorMutableData                = 51
	fnGetStringTensorDataLength           = 53
	fnGetStringTensorContent              = 54
	fnGetTensorElementType                = 60
	fnGetDimensionsCount                  = 61
	fnGetDimensions                       = 62
	fnGetTensorTypeAndShape               = 65
	fnGetValueType                        = 67
	fnCreateCPUMemoryInfo                 = 69
	fnAllocatorFree                       = 76
	fnGetAllocatorWithDefaultOptions      = 78
	fnGetValue                            = 80
	fnGetValueCount                       = 81
	fnReleaseStatus                       = 93
	fnReleaseSession                      = 95
	fnReleaseValue                        = 96
	fnReleaseRunOptions                   = 97
	fnReleaseTensorTypeAndShapeInfo       = 99
	fnReleaseSessionOptions               = 100
	fnAddSessionConfigEntry               = 130
	fnGetResizedStringTensorElementBuffer = 252
	functions                             = 253
)

// Values of enumerations.
const (
	logFatal       = 4
	optimizeAll    = 99
	allocatorArena = 1
	memTypeDefault = 0
	valueTensor    = 1
	valueSequence  = 2
	valueMap       = 3
	maxText        = 4 << 10 // bytes of a message of the library
)

// Library is an open ONNX Runtime. It stays open as long as the process lives.
type Library struct {
	Version string // "1.32.0"
	api     *[functions]uintptr
	env     unsafe.Pointer
	memory  unsafe.Pointer // describes that tensors lie in ordinary memory
	heap    unsafe.Pointer // its default allocator
}

// Open opens the library in a file. It answers an error for a file that is none, or is older
// than 1.16.
func Open(file string) (*Library, error) {
	handle, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("the library cannot be opened: %w", err)
	}
	entry, err := purego.Dlsym(handle, "OrtGetApiBase")
	if err != nil {
		return nil, fmt.Errorf("%s is no ONNX Runtime: %w", file, err)
	}
	base := (*struct{ getAPI, getVersion uintptr })(call(entry))
	if base == nil {
		return nil, fmt.Errorf("%s is no ONNX Runtime", file)
	}
	l := &Library{Version: text(call(base.getVersion))}
	if l.api = (*[functions]uintptr)(call(base.getAPI, apiVersion)); l.api == nil {
		return nil, fmt.Errorf("ONNX Runtime %s is too old: 1.16 or newer is needed", l.Version)
	}
	name := cString("slipway")
	err = quietly(func() error {
		return l.do(fnCreateEnv, logFatal, uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&l.env)))
	})
	if err == nil {
		err = l.do(fnCreateCPUMemoryInfo, allocatorArena, memTypeDefault, uintptr(unsafe.Pointer(&l.memory)))
	}
	if err == nil {
		err = l.do(fnGetAllocatorWithDefaultOptions, uintptr(unsafe.Pointer(&l.heap)))
	}
	goruntime.KeepAlive(name)
	return l, err
}

// Error is what the library says of a call that failed. It may quote a model; of a Run it
// may quote the input.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// do calls a function that answers a status. A pointer is converted among its arguments, and
// nowhere before: that is what keeps a variable alive and in its place (unsafe.Pointer, pattern 4).
//
//go:uintptrescapes
func (l *Library) do(fn int, args ...uintptr) error {
	status := call(l.api[fn], args...)
	if status == nil {
		return nil
	}
	e := &Error{strings.TrimSpace(text(call(l.api[fnGetErrorMessage], uintptr(status))))}
	call(l.api[fnReleaseStatus], uintptr(status))
	return e
}

// release frees what the library made; nil is nothing.
func (l *Library) release(fn int, what unsafe.Pointer) {
	if what != nil {
		call(l.api[fn], uintptr(what))
	}
}

// call calls a C function of integers and pointers. The pointer that it answers is C's.
//
//go:uintptrescapes
func call(fn uintptr, args ...uintptr) unsafe.Pointer {
	r, _, _ := purego.SyscallN(fn, args...)
	return *(*unsafe.Pointer)(unsafe.Pointer(&r)) // C's memory does not move
}

// text copies a C string.
func text(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for n < maxText && *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

// cString is a text as C has it. No text of ours has a zero byte.
func cString(s string) []byte { return append([]byte(s), 0) }

// quietly calls f on a thread that takes no signals but those of its own faults: threads that
// the library starts in it inherit that, and Go's handler never runs on one of them.
func quietly(f func() error) error {
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	for _, s := range []unix.Signal{unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGABRT, unix.SIGTRAP} {
		all.Val[(s-1)/64] &^= 1 << ((s - 1) % 64)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return err
	}
	return errors.Join(f(), unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil))
}
