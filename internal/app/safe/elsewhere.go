package safe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/bucket"
	"github.com/slipway-ml/slipway/internal/disk"
)

// elsewhere has blobs kept in the bucket that was chosen. A home remembers where its blobs are:
// with another place, or none, they would seem to be lost.
func (s *Safe) elsewhere(ctx context.Context) error {
	b, err := os.ReadFile(s.config.BlobsElsewhere())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	place, _, _ := strings.Cut(s.config.Artifacts, "?")
	place = strings.TrimRight(place, "/")
	known := strings.TrimSpace(string(b))
	switch {
	case known != "" && known != place:
		return slipway.Errorf(slipway.Conflict, slipway.CodeArtifactPlace, "give --artifacts "+known+" with its endpoint; to move, copy all objects to the new place first and correct "+s.config.BlobsElsewhere(),
			"artifacts and model files of this home are in %s", known)
	case place == "":
		return nil
	}
	objects, err := bucket.OpenObjects(ctx, s.config.Artifacts, bucket.Options{Getenv: os.Getenv, Now: time.Now, For: bucket.Artifacts})
	if err != nil {
		return err
	}
	if known == "" {
		if err := disk.Replace(s.config.BlobsElsewhere(), []byte(place+"\n"), true); err != nil {
			return err
		}
	}
	s.Blobs.In(objects, time.Now)
	s.bucket = objects
	return nil
}

// bucketFinding is what the doctor says of the bucket.
func (s *Safe) bucketFinding(ctx context.Context) []api.Finding {
	if s.bucket == nil {
		return nil
	}
	const check = "artifacts"
	_, _, err := s.bucket.Stat(ctx, "none")
	if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		e := slipway.AsError(err)
		return []api.Finding{{Check: check, Verdict: "fail", Message: e.Message, Next: e.Next}}
	}
	return []api.Finding{{Check: check, Verdict: "pass", Message: s.bucket.String() + " answers; backups do not copy it: let it keep versions, or copy itself"}}
}
