package oci

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"io"
	"os"

	"github.com/slipway-ml/slipway"
)

// architectures are the names that images have for those of ELF files.
var architectures = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}

// Program is a static Linux program as Prepare knows it; the zero Program is none. Digest
// is that of its bytes, Architecture is "amd64" or "arm64".
type Program struct {
	Path         string
	Digest       slipway.Digest
	Architecture string
	Layer        slipway.Digest // the part of a layout that holds it
}

// Prepare reads a program that images are to hold, and writes its layer into the layout at
// dir, ahead of the first Build that needs it: the first time compressing it takes about a
// second. It answers Invalid for a file that is no static program.
func Prepare(ctx context.Context, dir, name string) (Program, error) {
	if err := prepare(dir); err != nil {
		return Program{}, ioError("make the directory of images", err)
	}
	f, err := os.Open(name)
	if err != nil {
		return Program{}, ioError("read the runtime", err)
	}
	defer f.Close()
	p := Program{Path: name}
	if p.Architecture, err = static(f); err != nil {
		return Program{}, err
	}
	if p.Digest, _, err = slipway.DigestReader(contextReader{ctx, f}); err != nil {
		return Program{}, ioError("read the runtime", err)
	}
	l, err := p.layer(ctx, dir)
	p.Layer = slipway.Digest(l.Blob.Digest.String())
	return p, err
}

// layer gives the layer of a program, which is read only if the layer is gone.
func (p Program) layer(ctx context.Context, dir string) (layer, error) {
	l, err := packed(ctx, dir, roleRuntime, p.Digest, func(a *archive) error {
		if err := a.directory("tmp", 0o1777); err != nil { // an image without a base has no other
			return err
		}
		st, err := os.Stat(p.Path)
		if err != nil {
			return err
		}
		return a.file(within(RuntimePath), 0o755, File{Path: p.Path, Size: st.Size(), Open: p.open})
	})
	return l, ioError("write the layer of the runtime", err)
}

// open opens a program, whose last byte comes only if it still is the one that was
// prepared.
func (p Program) open() (io.ReadCloser, error) {
	f, err := os.Open(p.Path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &verified{ReadCloser: f, hash: sha256.New(), left: st.Size(), want: p.Digest.Hex(),
		wrong: slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "restart the server", "the runtime was replaced since the server started")}, nil
}

// static holds that a file is a Linux program that needs nothing else, and gives its
// architecture.
func static(r io.ReaderAt) (string, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return "", noRuntime("is no Linux program")
	}
	if f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return "", noRuntime("is no Linux program")
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", noRuntime("needs shared libraries, which an image need not have")
		}
	}
	a, ok := architectures[f.Machine]
	if !ok {
		return "", noRuntime("is for %v, which images are not made for", f.Machine)
	}
	return a, nil
}

func noRuntime(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "use a released platform, or build it with CGO_ENABLED=0",
		"the runtime of the image "+format, args...)
}
