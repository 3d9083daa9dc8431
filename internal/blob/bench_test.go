package blob_test

import (
	"io"
	"math/rand/v2"
	"testing"

	"github.com/slipway-ml/slipway/internal/blob"
)

// endless gives the same 1 MiB of noise again and again.
type endless struct{ b []byte }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.b), nil }

func benchmark(b *testing.B) (*blob.Dir, endless) {
	d, err := blob.Open(b.TempDir(), &memory{keys: map[string][]byte{}})
	if err != nil {
		b.Fatal(err)
	}
	e := endless{make([]byte, 1<<20)}
	_, _ = rand.NewChaCha8([32]byte{}).Read(e.b)
	return d, e
}

func BenchmarkReceive(b *testing.B) {
	const size = 256 << 20
	d, e := benchmark(b)
	b.SetBytes(size)
	b.ReportAllocs()
	for range b.N {
		digest, _, err := d.Receive(b.Context(), size, io.LimitReader(e, size))
		if err == nil {
			err = d.Remove(b.Context(), digest)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	const size = 256 << 20
	d, e := benchmark(b)
	digest, _, err := d.Receive(b.Context(), size, io.LimitReader(e, size))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	buf := make([]byte, 256<<10)
	for range b.N {
		r, err := d.OpenAt(b.Context(), digest)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
