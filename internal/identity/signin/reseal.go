package signin

import (
	"context"

	"github.com/slipway-ml/slipway/internal/identity"
)

// Reseal seals again what an older key has sealed, which stale says of it: second factors,
// and what renews sign-ins elsewhere. Halves of sign-ins end by themselves within minutes.
func (s *Service) Reseal(ctx context.Context, stale func(sealed []byte) bool) error {
	for _, kind := range []string{kindCredential, kindSubject} {
		all, err := s.c.Records.RecordsOf(ctx, kind, "")
		if err != nil {
			return err
		}
		for _, r := range all {
			if err := s.resealOne(ctx, kind, r.ID, stale); err != nil && !missing(err) {
				return err
			}
		}
	}
	return nil
}

// resealOne reads a record again, under the lock of whoever else changes it.
func (s *Service) resealOne(ctx context.Context, kind, id string, stale func(sealed []byte) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.c.Records.Record(ctx, kind, id)
	if err != nil {
		return err
	}
	var made any
	if kind == kindCredential {
		c, err := read[credential](r, nil)
		if err != nil || !stale(c.Seed) {
			return err
		}
		if c.Seed, err = s.sealAgain(ctx, seedOf(r.Account), c.Seed); err != nil {
			return err
		}
		made = c
	} else {
		sub, err := read[subject](r, nil)
		if err != nil || len(sub.Renewal) == 0 || !stale(sub.Renewal) {
			return err
		}
		if sub.Renewal, err = s.sealAgain(ctx, renewalAAD, sub.Renewal); err != nil {
			return err
		}
		made = sub
	}
	return s.c.Records.WriteRecords(ctx, nil, []identity.Record{record(kind, r.ID, r.Key, r.Account, r.Expires, made)})
}

func (s *Service) sealAgain(ctx context.Context, aad string, sealed []byte) ([]byte, error) {
	b, err := s.c.Sealer.Open(ctx, aad, sealed)
	if err != nil {
		return nil, err
	}
	return s.c.Sealer.Seal(ctx, aad, b)
}
