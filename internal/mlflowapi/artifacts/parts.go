package artifacts

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// signed is where addresses lie that are good without a token.
const signed = "/api/2.0" + proxy + "/signed/"

type createIn struct {
	Dir   string        `json:"dir"`
	Path  string        `json:"path" required:"true"`
	Parts mlflowapi.Int `json:"num_parts"`
}

type credential struct {
	URL     string            `json:"url"`
	Part    int               `json:"part_number"`
	Headers map[string]string `json:"headers"`
}

type createOut struct {
	ID          string       `json:"upload_id"`
	Credentials []credential `json:"credentials"`
}

// target is where an upload will lie: clients send the directory, and the file's name as it
// is on their own machine.
func target(dir, local string) string {
	return dir + "/" + local[strings.LastIndexAny(local, `/\`)+1:]
}

// create begins an upload in parts, each of which has an address of its own.
func (c Config) create(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	begin := mlflowapi.JSON(r.Method, "", "", func(ctx context.Context, who mlflowapi.Caller, in *createIn) (createOut, error) {
		u, err := c.Parts.Begin(ctx, who, target(in.Dir, in.Path), max(1, int(in.Parts)))
		if err != nil {
			return createOut{}, err
		}
		token, err := c.Signer.SignUpload(ctx, u)
		if err != nil {
			return createOut{}, err
		}
		out := createOut{ID: u.ID}
		for n := 1; n <= u.Parts; n++ {
			out.Credentials = append(out.Credentials, credential{c.Base(r) + signed + token + "/" + strconv.Itoa(n), n, map[string]string{}})
		}
		return out, nil
	})
	return begin.Serve(w, r, who)
}

type part struct {
	Number mlflowapi.Int `json:"part_number"`
	ETag   string        `json:"etag"`
	URL    string        `json:"url"`
}

type completeIn struct {
	Dir    string `json:"dir"`
	Path   string `json:"path" required:"true"`
	Upload string `json:"upload_id" required:"true"`
	Parts  []part `json:"parts" required:"true"`
}

// complete ends an upload, which takes as long as reading and writing what came.
func (c Config) complete(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	end := mlflowapi.JSON(r.Method, "", "", func(_ context.Context, who mlflowapi.Caller, in *completeIn) (nothing, error) {
		sent := make([]artifact.Sent, len(in.Parts))
		for i, p := range in.Parts {
			sent[i] = artifact.Sent{Number: int(p.Number), ETag: p.ETag}
		}
		return nothing{}, c.Parts.Complete(r.Context(), who, in.Upload, target(in.Dir, in.Path), sent)
	})
	return end.Serve(w, r, who)
}

type abortIn struct {
	Dir    string `json:"dir"`
	Path   string `json:"path" required:"true"`
	Upload string `json:"upload_id" required:"true"`
}

func (c Config) abort(ctx context.Context, who mlflowapi.Caller, in *abortIn) (nothing, error) {
	return nothing{}, c.Parts.Abort(ctx, who, in.Upload, target(in.Dir, in.Path))
}

type presignedOut struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Size    int64             `json:"file_size"`
}

// presigned gives an address for ranges of a file.
func (c Config) presigned(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	f, b, err := c.Files.Open(r.Context(), who, r.PathValue("path"))
	if err != nil {
		return err
	}
	b.Close()
	token, err := c.Signer.SignFile(r.Context(), f)
	if err != nil {
		return err
	}
	return mlflowapi.Answer(w, presignedOut{c.Base(r) + signed + token, map[string]string{}, f.Size})
}
