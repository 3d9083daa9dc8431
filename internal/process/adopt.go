package process

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/internal/route"
)

// minAdopt is how long a recorded replica is given to answer, however old it is.
const minAdopt = 5 * time.Second

// takeOver takes over what an earlier supervisor left. It had the same lock, so it is gone.
//
// Every process of ours carries the path of its configuration in its arguments. Those that
// a record names by pid and start time are adopted; all others, started but never
// recorded, are killed. Then every file without an adopted process goes.
func (s *Supervisor) takeOver() error {
	ours, err := findConfigured(s.files.configs())
	if err != nil {
		return err
	}
	names, err := os.ReadDir(s.files.records())
	if err != nil {
		return err
	}
	var gone []record
	for _, n := range names {
		id, isRecord := strings.CutSuffix(n.Name(), ".json")
		rec, err := readRecord(filepath.Join(s.files.records(), n.Name()))
		if !isRecord || err != nil || rec.ID != id {
			s.o.Log.Warn("a replica's record cannot be used", "file", n.Name(), "cause", err)
			continue
		}
		p := proc{rec.PID, rec.StartTicks}
		if ours[p] != s.files.config(id) {
			gone = append(gone, rec)
			continue
		}
		delete(ours, p)
		s.adopt(rec, p)
	}
	for p := range maps.Keys(ours) {
		s.o.Log.Info("ending a process that no record names", "pid", p.pid)
		killGroup(p.pid)
		p.reap()
	}
	for _, rec := range gone {
		s.remove(rec.ID, rec.Socket)
	}
	s.limits.sweep()
	return s.sweep()
}

// sweep removes records and configurations of no adopted replica.
func (s *Supervisor) sweep() error {
	for _, dir := range []string{s.files.records(), s.files.configs()} {
		names, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, n := range names {
			if s.replicas[strings.TrimSuffix(n.Name(), ".json")] != nil {
				continue
			}
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// adopt makes a replica of a recorded process. Whether it is wanted, the first Want says;
// whether it answers, its own goroutine finds out.
func (s *Supervisor) adopt(rec record, p proc) {
	slot, _ := slotOf(rec.ID, rec.Revision)
	r := s.newReplica(rec.Revision, slot)
	r.socket, r.digest = rec.Socket, rec.ImageDigest
	r.proc, r.started = p, rec.Started
	r.history = history{State: route.ReplicaStarting, Restarts: rec.Restarts}
	s.replicas[r.id] = r
}
