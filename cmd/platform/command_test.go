package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
)

const slow = "apiVersion: platform/v1\nkind: RealtimeModel\nname: fraud\ntier: 4\nowner: {team: risk}\nmodel: {source: ./model}\n" +
	"rollout: {steps: [{weight: 50, hold: 1h}, {weight: 100}], keep_previous_warm: 0s}\n"

// TestKilledServerObeys: what a deployment was told is done although the server is killed
// as soon as it has answered.
func TestKilledServerObeys(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	s.deployed("stable")
	for i := range 3 {
		v := s.register(ctx, fmt.Sprint("candidate ", i))
		d, err := s.c.CreateDeployment(ctx, "", api.CreateDeployment{PlatformYAML: slow, Version: v.Number})
		if err != nil {
			t.Fatal(err)
		}
		for now, err := range s.c.WatchDeployment(ctx, d.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if i == 2 || now.Phase == "stepping" && now.Weight == 50 { // the last is told in its pipeline
				break
			}
		}
		if d, err = s.c.CommandDeployment(ctx, d.ID, api.Command{Command: "abort", Reason: "a test"}); err != nil {
			t.Fatal(err)
		}
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
		s.up(strings.TrimPrefix(s.url, "http://"))
		for range 1000 {
			if d, err = s.c.Deployment(ctx, d.ID); err != nil {
				t.Fatal(err)
			}
			if d.Status != "running" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if d.Status != "aborted" {
			t.Errorf("the deployment is %s (%s), and was told to abort", d.Status, d.Message)
		}
	}
}
