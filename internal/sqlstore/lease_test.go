package sqlstore_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/storetest"
)

const long = time.Hour

func acquire(t *testing.T, db *sqlstore.DB, holder string, ttl time.Duration) string {
	t.Helper()
	by, err := db.Acquire(t.Context(), holder, "", ttl)
	if err != nil {
		t.Fatal(err)
	}
	return by
}

func isNotLeader(err error) bool {
	return errors.Is(err, &slipway.Error{Code: slipway.CodeNotLeader})
}

// TestLease lets two servers with a connection of their own use one database.
func TestLease(t *testing.T) {
	pair := func(t *testing.T, o sqlstore.Options) (a, b *sqlstore.DB) {
		t.Helper()
		return storetest.Open(t, o), storetest.Open(t, o)
	}
	for name, open := range map[string]func(*testing.T) sqlstore.Options{"sqlite": storetest.File, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, open(t))
			if by := acquire(t, a, "a", long); by != "" {
				t.Fatalf("a free lease is %s's", by)
			}
			if by := acquire(t, b, "b", long); by != "a" {
				t.Fatalf("b got the lease that a has: %q", by)
			}
			if err := b.Renew(t.Context(), long); !isNotLeader(err) {
				t.Errorf("b renews what it has not: %v", err)
			}
			if err := a.Write(t.Context(), nil, insert("by a")); err != nil {
				t.Fatal(err)
			}
			// a is not heard of for longer than its time.
			if err := a.Renew(t.Context(), -time.Second); err != nil {
				t.Fatal(err)
			}
			if by := acquire(t, b, "b", long); by != "" {
				t.Fatalf("a lease that has ended is %s's", by)
			}
			if err := a.Write(t.Context(), nil, insert("by a, too late")); !isNotLeader(err) {
				t.Errorf("a writes after b has taken over: %v", err)
			}
			if err := a.Renew(t.Context(), long); !isNotLeader(err) {
				t.Errorf("a renews what it has lost: %v", err)
			}
			if err := a.Release(t.Context()); err != nil {
				t.Error(err)
			}
			if err := b.Write(t.Context(), nil, insert("by b")); err != nil {
				t.Error(err)
			}
			// A clean end needs no wait, and the same holder may come back.
			if err := b.Release(t.Context()); err != nil {
				t.Error(err)
			}
			if by := acquire(t, a, "a", long); by != "" {
				t.Errorf("a released lease is %s's", by)
			}
			if err := b.Write(t.Context(), nil, insert("by b, too late")); !isNotLeader(err) {
				t.Errorf("b writes after its release: %v", err)
			}
			if by, err := b.Acquire(t.Context(), "b", "a", long); by != "" || err != nil {
				t.Errorf("the lease of a dead holder is %s's, %v", by, err)
			}
			if got := rows(t, a); len(got) != 2 {
				t.Errorf("%q was written", got)
			}
		})
	}
}

// TestLeaseIsOnes lets many ask at once.
func TestLeaseIsOnes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(*testing.T) *sqlstore.DB) {
		db := open(t)
		var mu sync.Mutex
		var got []string
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				me := string(rune('a' + i))
				by, err := db.Acquire(t.Context(), me, "", long)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if by == "" {
					got = append(got, me)
				}
			})
		}
		wg.Wait()
		if len(got) != 1 {
			t.Errorf("%q have the lease", got)
		}
	})
}

// TestBornTogether opens an empty database by many servers at once: its schema is made once.
func TestBornTogether(t *testing.T) {
	o := storetest.Postgres(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { storetest.Open(t, o) })
	}
	wg.Wait()
}
