package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// once asks the API without a second try.
func (s *server) once(path string) (code int, problem api.Problem) {
	s.t.Helper()
	token, err := os.ReadFile(filepath.Join(s.home, "owner.token"))
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&problem) // the code of the answer says all if it is none
	return resp.StatusCode, problem
}

// TestPostgresAway: PostgreSQL dies, or hangs for longer than the lease lasts, in the
// middle of a rollout. Predictions go on, commands are refused with the next step, the
// server does not end, and when it is back the rollout is brought to its end.
func TestPostgresAway(t *testing.T) {
	for _, tt := range []struct {
		name       string
		away, back func(*storetest.Cluster)
		wait       time.Duration
	}{
		{"restarted", (*storetest.Cluster).Stop, (*storetest.Cluster).Start, 2 * time.Second},
		{"paused", (*storetest.Cluster).Pause, (*storetest.Cluster).Resume, 7 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := storetest.StartPostgres(t)
			s := newServer(t, "SLIPWAY_DATABASE="+db.Database().URL)
			s.deployed("before")
			sent, end := traffic(t, s.c)
			v := s.register(t.Context(), "meanwhile")
			d, err := s.c.CreateDeployment(t.Context(), "the key", api.CreateDeployment{Version: v.Number,
				PlatformYAML: strings.Replace(quick, "{weight: 50}", "{weight: 50, hold: 2s}", 1)})
			if err != nil {
				t.Fatal(err)
			}
			for now, err := range s.c.WatchDeployment(t.Context(), d.ID) {
				if err != nil {
					t.Fatal(err)
				}
				if now.Phase == "stepping" {
					break
				}
			}
			tt.away(db)
			gone := time.Now()
			from := sent.Load()
			code, problem := s.once("/v1/endpoints")
			if code != http.StatusServiceUnavailable || problem.Code == "" || problem.Next == "" {
				t.Errorf("without a database: %d %+v", code, problem)
			}
			time.Sleep(time.Until(gone.Add(tt.wait))) // longer than the lease, or a while
			if sent.Load() < from+100 {
				t.Errorf("%d predictions without a database", sent.Load()-from)
			}
			tt.back(db)
			for now, err := range s.c.WatchDeployment(t.Context(), d.ID) {
				if err != nil {
					t.Fatal(err)
				}
				d = now
			}
			if d.Status != "succeeded" {
				t.Errorf("the deployment is %s: %s", d.Status, d.Message)
			}
			if again, err := s.c.CreateDeployment(t.Context(), "the key", api.CreateDeployment{PlatformYAML: quick, Version: v.Number}); err != nil || again.ID != d.ID {
				t.Errorf("the same key gives %s: %v", again.ID, err)
			}
			s.deployed("after")
			end()
			if i, err := s.c.Info(t.Context()); err != nil || i.PID != s.cmd.Process.Pid {
				t.Errorf("another server answers: %+v, %v", i, err)
			}
		})
	}
}
