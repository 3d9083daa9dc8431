package anchor

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/audit"
)

// witness is another platform, which cosigns what grew from what it saw last.
type witness struct {
	url       string
	tokenFile string
	key       string // its public key, if it is known from elsewhere
}

// Name implements Anchor.
func (w *witness) Name() string { return "the witness at " + w.url }

func (w *witness) client() (*client.Client, error) {
	f, err := os.Open(w.tokenFile) // each time: tokens are rotated
	if err != nil {
		return nil, unusable(w.Name(), "the file of the token for the witness cannot be read", err)
	}
	defer f.Close()
	token, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, unusable(w.Name(), "the file of the token for the witness cannot be read", err)
	}
	return client.New(client.Config{BaseURL: w.url, Token: strings.TrimSpace(string(token))})
}

// Put implements Anchor.
func (w *witness) Put(ctx context.Context, c audit.Checkpoint, key string, prove func(from uint64) ([][]byte, error)) error {
	cl, err := w.client()
	if err != nil {
		return err
	}
	public, err := audit.ParsePublic(key)
	if err != nil {
		return err
	}
	seen, err := w.seen(ctx, cl, public.Name())
	if err != nil || seen.Size == c.Size {
		return err
	}
	proof, err := prove(seen.Size)
	if err != nil {
		return err
	}
	got, err := cl.WitnessLog(ctx, api.WitnessRequest{Key: key, From: seen.Size, Proof: proof, Checkpoint: string(c.Text)})
	if err != nil {
		return err
	}
	return w.signed(got)
}

// signed refuses a cosignature that is none, or that of another witness.
func (w *witness) signed(got api.Witnessed) error {
	if w.key != "" && w.key != got.Witness {
		return unusable(w.Name(), "the witness has another key than the one that was given", nil)
	}
	if _, err := audit.Cosigned([]byte(got.Checkpoint), got.Witness); err != nil {
		return unusable(w.Name(), "the witness has not signed what it has seen", err)
	}
	return nil
}

func (w *witness) seen(ctx context.Context, cl *client.Client, log string) (api.Witnessed, error) {
	got, err := cl.WitnessedLog(ctx, log)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return api.Witnessed{}, nil
	}
	return got, err
}

// Last implements Anchor.
func (w *witness) Last(ctx context.Context, log string) (audit.Anchored, error) {
	out := audit.Anchored{Anchor: w.Name()}
	cl, err := w.client()
	if err != nil {
		return out, err
	}
	got, err := w.seen(ctx, cl, log)
	if err != nil || got.Checkpoint == "" {
		return out, err
	}
	out.Checkpoint, out.Witness = got.Checkpoint, got.Witness
	return out, w.signed(got)
}
