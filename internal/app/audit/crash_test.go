package audit_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/audit"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
)

var kills = flag.Int("auditkills", 6, "how often the process that writes the log is killed")

// victim is the variable that makes the test binary the process that is killed.
const victim = "SLIPWAY_TEST_AUDIT_HOME"

func TestMain(m *testing.M) {
	if home := os.Getenv(victim); home != "" {
		if err := write(home); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// write records events, says which were acknowledged, and moves them, until it is killed.
func write(home string) error {
	ctx := context.Background()
	db, err := sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(home, "state.db"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s := &site{db: db, events: event.New(db), dir: filepath.Join(home, "audit")}
	c := audit.Config{Dir: s.dir, KeyFile: filepath.Join(home, "audit.key"), Events: s.events, Recorded: db.Recorded(), Deployments: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	go audit.New(c).Run(ctx)
	for range 4 {
		go func() {
			for {
				ev := slipway.Event{ID: slipway.NewID("evt", time.Now()), Time: time.Now(), Actor: "ada", Action: "alias.moved", Subject: "x"}
				if s.events.Append(ctx, ev) == nil {
					fmt.Println(ev.ID)
				}
			}
		}()
	}
	select {}
}

// What was acknowledged is in the log, once, whenever the process is killed.
func TestKills(t *testing.T) {
	home := t.TempDir()
	rng := rand.New(rand.NewPCG(1, uint64(*kills)))
	acknowledged := map[string]bool{}
	for i := range *kills {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victim+"="+home)
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, kill := bufio.NewScanner(out), func() { _ = cmd.Process.Kill() }
		begun := i%2 == 0 // these may die while they start, which takes a slow machine long
		if begun {
			time.AfterFunc(time.Duration(30+rng.IntN(300))*time.Millisecond, kill)
		}
		for lines.Scan() {
			acknowledged[lines.Text()] = true
			if !begun {
				begun = true
				time.AfterFunc(time.Duration(rng.IntN(300))*time.Millisecond, kill)
			}
		}
		_ = cmd.Wait() // it was killed
	}
	db := storetest.Open(t, sqlstore.Options{Path: filepath.Join(home, "state.db")})
	s := &site{db: db, events: event.New(db), dir: filepath.Join(home, "audit"), t: t}
	c := s.config()
	c.KeyFile = filepath.Join(home, "audit.key")
	x := audit.New(c)
	s.moved(x)
	if found := s.failures(x); len(found) > 0 {
		t.Error(found)
	}
	st, err := x.Status(t.Context())
	if err != nil || st.Events != int64(st.Signed) || len(acknowledged) == 0 {
		t.Error(st, err, len(acknowledged))
	}
	for id := range acknowledged {
		if _, err := s.events.Find(t.Context(), id); err != nil {
			t.Errorf("%s was acknowledged: %v", id, err)
		}
	}
	if rebuilt, err := s.events.Search(t.Context(), event.Query{Action: "audit.rebuilt"}, 9); err != nil || len(rebuilt) > 0 {
		t.Errorf("a kill damaged the log: %v %v", rebuilt, err)
	}
	t.Logf("%d events of which %d were acknowledged to the end, after %d kills", st.Events, len(acknowledged), *kills)
}
