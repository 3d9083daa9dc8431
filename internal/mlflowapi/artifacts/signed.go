package artifacts

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// Signed are the use cases of addresses that are good without a token of an account. A token
// that was not made here, or is too old, is CodeSignedURL, Denied.
type Signed interface {
	PutPart(ctx context.Context, token string, number int, size int64, body io.Reader) (artifact.Part, error)
	// FindPart gives a part that has come: who goes on with an upload asks before sending.
	FindPart(ctx context.Context, token string, number int) (artifact.Part, error)
	OpenFile(ctx context.Context, token string) (artifact.File, artifact.Bytes, error)
}

// IsSigned says whether a path is one that Handler serves.
func IsSigned(path string) bool { return strings.HasPrefix(path, signed) }

// Handler serves signed addresses: PUT and HEAD of a part, GET and HEAD of a file. Clients
// send no token there, so it is no Route; what they may do is in the address.
func Handler(s Signed, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serveSigned(w, r, s); err != nil {
			mlflowapi.Fail(w, r, err, log)
		}
	})
}

func serveSigned(w http.ResponseWriter, r *http.Request, s Signed) error {
	token, rest, ofPart := strings.Cut(strings.TrimPrefix(r.URL.Path, signed), "/")
	number, err := strconv.Atoi(rest)
	get, head := r.Method == http.MethodGet, r.Method == http.MethodHead
	switch {
	case ofPart && err == nil && (r.Method == http.MethodPut || head):
		var p artifact.Part
		if head {
			p, err = s.FindPart(r.Context(), token, number)
		} else {
			body := &begun{r: r.Body}
			if p, err = s.PutPart(r.Context(), token, number, r.ContentLength, body); err != nil {
				body.end(r.Body)
			}
		}
		if err == nil {
			w.Header().Set("ETag", artifact.ETag(p.Digest))
		}
		return err
	case !ofPart && (get || head):
		f, b, err := s.OpenFile(r.Context(), token)
		if err != nil {
			return err
		}
		defer b.Close()
		return send(w, r, f, b)
	}
	return slipway.Errorf(slipway.NotFound, slipway.CodeSignedURL, "use the address as it was given", "there is nothing to %.10s at this address", r.Method)
}
