package backup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/backup"
)

// List gives the backups of a place, the configured one if it is empty.
func (s *Service) List(ctx context.Context, p slipway.Principal, target string) (api.Backups, error) {
	if err := s.o.Allow(ctx, p, authz.BackupRead); err != nil {
		return api.Backups{}, err
	}
	out := api.Backups{Backups: []api.Backup{}, Keep: s.o.Config.Backup.Keep}
	if every := s.o.Config.Backup.Every; every > 0 {
		out.Every = every.String()
	}
	seal, t, _, err := s.place(ctx, p, target)
	if err != nil {
		return out, err
	}
	out.Target = t.String()
	all, err := backup.List(ctx, t, seal)
	for _, l := range all {
		b := api.Backup{ID: l.ID, Created: l.Index.Created, Build: l.Index.Build, Key: l.Index.Key, Bytes: l.Index.Bytes, Parts: len(l.Index.Parts)}
		if l.Err != nil {
			b = api.Backup{ID: l.ID, Problem: slipway.AsError(l.Err).Message}
		}
		out.Backups = append(out.Backups, b)
	}
	return out, err
}

// Running tells what is under way, and how the last backup ended.
func (s *Service) Running(ctx context.Context, p slipway.Principal) (out api.BackupProgress, err error) {
	if err := s.o.Allow(ctx, p, authz.BackupRead); err != nil {
		return out, err
	}
	out.Running, out.Last = s.state()
	return out, nil
}

func (s *Service) state() (run, last *api.BackupRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.run; r != nil {
		run = &api.BackupRun{State: "running", Target: r.target, By: r.by, Started: r.began, Done: r.progress.Done.Load(), Bytes: r.progress.Total.Load(), Copied: r.progress.Copied.Load()}
	}
	if s.last.State != "" {
		ended := s.last
		last = &ended
	}
	return run, last
}

// Verified records that somebody has read all of a backup. It is that person's word.
func (s *Service) Verified(ctx context.Context, p slipway.Principal, id string, v api.BackupVerified) error {
	if err := s.o.Allow(ctx, p, authz.BackupCreate); err != nil {
		return err
	}
	now := s.o.Now()
	return s.o.Record(ctx, slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: "backup.verified", Subject: id, Detail: map[string]string{
		"target": v.Target, "parts": strconv.Itoa(v.Parts), "bytes": strconv.FormatInt(v.Bytes, 10), "bad": strconv.Itoa(v.Bad)}})
}

// again is when a scheduled backup that failed is tried again.
const again = 10 * time.Minute

// Run makes backups by itself until ctx ends: the first when the newest one there is is too
// old.
func (s *Service) Run(ctx context.Context) {
	every := s.o.Config.Backup.Every
	if every == 0 || s.o.Config.Backup.To == "" {
		return
	}
	wait := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = s.scheduled(ctx, every)
	}
}

// scheduled makes a backup if it is time, and says after how long to look again.
func (s *Service) scheduled(ctx context.Context, every time.Duration) time.Duration {
	retry := min(again, every)
	newest, err := s.newest(ctx)
	if err == nil {
		if left := every - s.o.Now().Sub(newest); left > 0 {
			return left
		}
	} else if !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		s.o.Log.Error("no backup was made", "error", err.Error(), "cause", fmt.Sprint(slipway.AsError(err).Cause))
		return retry
	}
	seal, t, keep, err := s.place(ctx, slipway.Principal{}, "")
	if err != nil || !s.busy.TryLock() {
		return retry
	}
	defer s.busy.Unlock()
	if s.make(ctx, t, seal, system, api.CreateBackup{}, keep) != nil {
		return retry
	}
	return every
}

// system is who acts when the platform does so by itself.
const system = "system"

// newest is when the newest good backup in the configured place was made; NotFound if there
// is none.
func (s *Service) newest(ctx context.Context) (time.Time, error) {
	seal, t, _, err := s.place(ctx, slipway.Principal{}, "")
	if err != nil {
		return time.Time{}, err
	}
	x, err := backup.Newest(ctx, t, seal)
	return x.Created, err
}

// Late is how old the newest backup may be, in times that there should be one.
const Late = 2

// Finding says for the doctor how the backups are.
func (s *Service) Finding(ctx context.Context) api.Finding {
	f := api.Finding{Check: "backup", Verdict: "warn"}
	b := s.o.Config.Backup
	if b.To == "" {
		f.Message, f.Next = "none is made by itself: what this disk loses is lost", "platform backup key FILE, then: platform up --backup-to DIRECTORY --backup-every 24h"
		return f
	}
	_, last := s.state()
	at, err := s.newest(ctx)
	age := s.o.Now().Sub(at).Round(time.Second)
	switch {
	case err != nil:
		f.Verdict, f.Message, f.Next = "fail", slipway.AsError(err).Message, slipway.AsError(err).Next
	case b.Every > 0 && age > Late*b.Every:
		f.Verdict, f.Next = "fail", "platform backup create"
		f.Message = fmt.Sprintf("the last one is %v old, and there should be one every %v", age, b.Every)
		if last != nil && last.State == "failed" {
			f.Message, f.Next = f.Message+": "+last.Message, last.Next
		}
	default:
		f.Verdict, f.Message = "pass", fmt.Sprintf("the last one is %v old, in %s", age, b.To)
	}
	return f
}
