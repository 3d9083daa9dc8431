package runtime_test

import (
	"sync"
	"testing"
)

func BenchmarkPredict(b *testing.B) {
	for _, inline := range []bool{true, false} {
		name := map[bool]string{true: "inline", false: "workers"}[inline]
		b.Run(name, func(b *testing.B) {
			c := startEcho(b, inline, 2)
			in := batch(1, 1, 30)
			b.ReportAllocs()
			var wg sync.WaitGroup
			const callers = 16
			b.ResetTimer()
			for i := range callers {
				wg.Go(func() {
					for n := i; n < b.N; n += callers {
						if _, err := c.Predict(b.Context(), "", in); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
