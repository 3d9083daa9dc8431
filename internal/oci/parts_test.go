package oci_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

func TestPartsThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	base := func(change func(*v1.ConfigFile), media ...types.MediaType) func(*oci.Image) {
		return func(i *oci.Image) { i.Base = baseImage(t, dir, change, media...) }
	}
	environment := func(change func(dir string) error) func(*oci.Image) {
		return func(i *oci.Image) {
			i.Base, i.Environment = baseImage(t, dir, nil, types.OCIUncompressedLayer), packages(t, false)
			if err := change(i.Environment.Dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, code, says string
		change           func(*oci.Image)
	}{
		{"variables without a runtime", slipway.CodeInvalid, "without a runtime", func(i *oci.Image) { i.Runtime = oci.Program{} }},
		{"a variable of others", slipway.CodeInvalid, "LD_PRELOAD", func(i *oci.Image) { i.Env = map[string]string{"LD_PRELOAD": "x"} }},
		{"a variable of ours", slipway.CodeInvalid, oci.EnvModelDir, func(i *oci.Image) { i.Env = map[string]string{oci.EnvModelDir: "/"} }},
		{"a variable with two lines of a kind", slipway.CodeInvalid, "SLIPWAY_A", func(i *oci.Image) { i.Env = map[string]string{"SLIPWAY_A": "\x00"} }},
		{"a base that is none", slipway.CodeInvalidDigest, "no digest", func(i *oci.Image) { i.Base = "python:3.12" }},
		{"a base that is not there", slipway.CodeInvalid, "not there", func(i *oci.Image) { i.Base = slipway.DigestOf(nil) }},
		{"a base for another machine", slipway.CodeInvalid, "linux/mips", base(func(c *v1.ConfigFile) { c.Architecture = "mips" }, types.OCIUncompressedLayer)},
		{"a base for another system", slipway.CodeInvalid, "windows/", base(func(c *v1.ConfigFile) { c.OS = "windows" }, types.OCIUncompressedLayer)},
		{"a base of layers elsewhere", slipway.CodeInvalid, "damaged", base(nil, types.DockerForeignLayer)},
		{"a base of nothing", slipway.CodeInvalid, "damaged", base(nil)},
		{"a model as base", slipway.CodeInvalid, "itself the image of a model", func(i *oci.Image) { i.Base = build(t, dir, runnable(t, dir)) }},
		{"packages without Python", slipway.CodeInvalid, "needs a base", func(i *oci.Image) { i.Environment = packages(t, false) }},
		{"packages without a key", slipway.CodeInvalidDigest, "no digest", func(i *oci.Image) {
			environment(func(string) error { return nil })(i)
			i.Environment.Key = ""
		}},
		{"packages that are not there", slipway.CodeIO, "Python environment", environment(os.RemoveAll)},
		{"a link that leads out", slipway.CodeInvalid, "leads out", environment(func(d string) error { return os.Symlink("/etc/passwd", filepath.Join(d, "x")) })},
		{"a link to nowhere", slipway.CodeInvalid, "leads out", environment(func(d string) error { return os.Symlink("nowhere", filepath.Join(d, "x")) })},
		{"a link to a directory", slipway.CodeInvalid, "no file", environment(func(d string) error { return os.Symlink("numpy", filepath.Join(d, "x")) })},
		{"a pipe", slipway.CodeInvalid, "no file", environment(func(d string) error { return syscall.Mkfifo(filepath.Join(d, "x"), 0o600) })},
		{"a name that is no UTF-8", slipway.CodeInvalid, "no UTF-8", environment(func(d string) error { return os.WriteFile(filepath.Join(d, "\xff"), nil, 0o600) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := runnable(t, dir)
			c.change(&img)
			_, err := oci.Build(t.Context(), dir, img)
			wantCode(t, "build", err, c.code)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v says nothing of %q", err, c.says)
			}
		})
	}
	img := runnable(t, dir)
	img.Base = baseImage(t, dir, nil, types.OCIUncompressedLayer)
	m, _ := read(t, dir, img.Base)
	layers, err := m.Layers()
	if err != nil {
		t.Fatal(err)
	}
	d, err := layers[0].Digest()
	if err := errors.Join(err, os.Remove(filepath.Join(dir, "blobs", "sha256", d.Hex))); err != nil {
		t.Fatal(err)
	}
	_, err = oci.Build(t.Context(), dir, img)
	wantCode(t, "a base that lacks a layer", err, slipway.CodeInvalid)
}

// Only a program that runs by itself can be a runtime, and it must stay what it was.
func TestPrograms(t *testing.T) {
	whole, err := os.ReadFile(program())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(b []byte) string {
		name := filepath.Join(t.TempDir(), "runtime")
		if err := os.WriteFile(name, b, 0o700); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct {
		name, says string
		change     func([]byte) []byte
	}{
		{"no program", "no Linux program", func([]byte) []byte { return []byte("#!/bin/sh\n") }},
		{"nothing", "no Linux program", func([]byte) []byte { return nil }},
		{"half a program", "no Linux program", func(b []byte) []byte { return b[:60] }},
		{"a library", "no Linux program", func(b []byte) []byte { b[16] = byte(elf.ET_REL); return b }},
		{"another system's program", "no Linux program", func(b []byte) []byte { b[7] = byte(elf.ELFOSABI_FREEBSD); return b }},
		{"another machine's program", "is for EM_MIPS", func(b []byte) []byte { b[18] = byte(elf.EM_MIPS); return b }},
		{"a program that needs libraries", "shared libraries", func(b []byte) []byte { b[64] = byte(elf.PT_INTERP); return b }},
	} {
		_, err := oci.Prepare(t.Context(), dir, write(c.change(bytes.Clone(whole))))
		wantCode(t, c.name, err, slipway.CodeInvalid)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v says nothing of %q", c.name, err, c.says)
		}
	}
	_, err = oci.Prepare(t.Context(), dir, "/nowhere")
	wantCode(t, "a program that is not there", err, slipway.CodeIO)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := oci.Prepare(ctx, t.TempDir(), program()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want to be cancelled", err)
	}

	name := write(whole)
	img := oci.Image{Runtime: prepared(t, dir, name)}
	if err := os.WriteFile(name, append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1), 0o700); err != nil {
		t.Fatal(err)
	}
	first := build(t, dir, img)
	if again := build(t, dir, img); again != first {
		t.Errorf("%s, %s: the layer is there", first, again)
	}
	other := t.TempDir()
	_, err = oci.Build(t.Context(), other, img)
	wantCode(t, "a program that was replaced", err, slipway.CodeConflict)
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the program was removed: %v", err)
	}
	for what, p := range map[string]oci.Program{"no digest": {Path: name, Architecture: "amd64"}, "no architecture": {Path: name, Digest: img.Runtime.Digest}} {
		if _, err := oci.Build(t.Context(), other, oci.Image{Runtime: p}); err == nil {
			t.Errorf("a program that was not prepared, with %s, was taken", what)
		}
	}
}
