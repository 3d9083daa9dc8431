package httpapi

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Models is the registry as the API offers it.
type Models interface {
	Register(ctx context.Context, p slipway.Principal, model string, r api.RegisterVersion) (api.Version, error)
	Version(ctx context.Context, p slipway.Principal, model, ref string) (api.Version, error)
	Listing
	SetAlias(ctx context.Context, p slipway.Principal, model, alias string, r api.SetAlias) error
}

// Layers gives what images do not hold of models.
type Layers interface {
	// Layer writes the layer of the model of an image, which was built of a version, to what
	// begin gives; begin is called with the layer's size in bytes once it can be made. An error
	// after that leaves fewer bytes.
	Layer(ctx context.Context, p slipway.Principal, model, ref, image string, begin func(size int64) io.Writer) error
}

// Listing gives pages; a cursor is what the page before gave.
type Listing interface {
	// Models lists those that the principal may see.
	Models(ctx context.Context, p slipway.Principal, cursor string, limit int) (api.Page[api.Model], error)
	Versions(ctx context.Context, p slipway.Principal, model, cursor string, limit int) (api.Page[api.Version], error)
	AliasHistory(ctx context.Context, p slipway.Principal, model string) ([]api.AliasChange, error)
}

// Blobs takes the bytes of files.
type Blobs interface {
	Missing(ctx context.Context, p slipway.Principal, digests []string) ([]string, error)
	Put(ctx context.Context, p slipway.Principal, digest string, size int64, r io.Reader) error
}

// ModelPath is the model of a path. It is exported because the framework fills only exported embedded structs.
type ModelPath struct {
	Model string `path:"model" maxLength:"256"`
}

// PageQuery is what a page of a list is asked with.
type PageQuery struct {
	Cursor string `query:"cursor" maxLength:"200"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

// blobInput streams its body: a model may be larger than memory.
type blobInput struct {
	Digest string `path:"digest" pattern:"^sha256:[0-9a-f]{64}$"`
	Size   int64  `header:"Content-Length" minimum:"0"`
	body   io.Reader
}

// Resolve takes the body without reading it.
func (i *blobInput) Resolve(ctx huma.Context) []error {
	i.body = ctx.BodyReader()
	return nil
}

// maxJSON bounds the bodies of this API that list files.
const maxJSON = 16 << 20

func registerModels(h huma.API, c Config) {
	handle(h, c, large(c.operation(authz.Upload, "missing-blobs", http.MethodPost, "/v1/blobs/missing", "Which of these blobs are not there yet")),
		func(ctx context.Context, in *struct{ Body api.MissingBlobs }) (api.MissingBlobs, error) {
			missing, err := c.Blobs.Missing(ctx, principal(ctx), in.Body.Digests)
			return api.MissingBlobs{Digests: missing}, err
		})
	put := c.operation(authz.Upload, "put-blob", http.MethodPut, "/v1/blobs/{digest}", "Upload the bytes of one file; visible only when complete")
	put.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/octet-stream": {}}}
	huma.Register(h, put, func(ctx context.Context, in *blobInput) (*struct{}, error) {
		if err := c.Blobs.Put(ctx, principal(ctx), in.Digest, in.Size, in.body); err != nil {
			return nil, c.fail(ctx, err)
		}
		return nil, nil
	})
	handle(h, c, large(c.operation(authz.ModelRegister, "register-version", http.MethodPost, "/v1/models/{model}/versions", "Register uploaded files as a version; the same files give the same version")),
		func(ctx context.Context, in *struct {
			ModelPath
			Body api.RegisterVersion
		}) (api.Version, error) {
			return c.Models.Register(ctx, principal(ctx), in.Model, in.Body)
		})
	registerModelQueries(h, c)
}

func registerModelQueries(h huma.API, c Config) {
	handle(h, c, c.operation(authz.ModelRead, "list-models", http.MethodGet, "/v1/models", "List models"),
		func(ctx context.Context, in *PageQuery) (api.Page[api.Model], error) {
			return c.Models.Models(ctx, principal(ctx), in.Cursor, in.Limit)
		})
	handle(h, c, c.operation(authz.ModelRead, "list-versions", http.MethodGet, "/v1/models/{model}/versions", "List versions, newest first"),
		func(ctx context.Context, in *struct {
			ModelPath
			PageQuery
		}) (api.Page[api.Version], error) {
			return c.Models.Versions(ctx, principal(ctx), in.Model, in.Cursor, in.Limit)
		})
	handle(h, c, c.operation(authz.ModelRead, "get-version", http.MethodGet, "/v1/models/{model}/versions/{ref}", "One version, by number or @alias"),
		func(ctx context.Context, in *struct {
			ModelPath
			Ref string `path:"ref" maxLength:"64"`
		}) (api.Version, error) {
			return c.Models.Version(ctx, principal(ctx), in.Model, in.Ref)
		})
	huma.Register(h, c.operation(authz.ModelRead, "image-layer", http.MethodGet, "/v1/models/{model}/versions/{ref}/layers/{image}", "The layer of an image that holds the files of the version, which the image itself does not"), c.layer)
	type aliasInput struct {
		ModelPath
		Alias string `path:"alias" maxLength:"63"`
		Body  api.SetAlias
	}
	handle(h, c, c.operation(authz.ModelAlias, "set-alias", http.MethodPut, "/v1/models/{model}/aliases/{alias}", "Point an alias at a version"),
		func(ctx context.Context, in *aliasInput) (api.Alias, error) {
			err := c.Models.SetAlias(ctx, principal(ctx), in.Model, in.Alias, in.Body)
			return api.Alias{Alias: in.Alias, Version: in.Body.Version}, err
		})
	handle(h, c, c.operation(authz.ModelRead, "alias-history", http.MethodGet, "/v1/models/{model}/aliases", "Every move of the model's aliases, newest first"),
		func(ctx context.Context, in *ModelPath) ([]api.AliasChange, error) {
			return c.Models.AliasHistory(ctx, principal(ctx), in.Model)
		})
}

type layerInput struct {
	ModelPath
	Ref   string `path:"ref" maxLength:"64"`
	Image string `path:"image" pattern:"^sha256:[0-9a-f]{64}$"`
}

func (c Config) layer(_ context.Context, in *layerInput) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		c.stream(ctx, "application/x-tar", func(begin func() io.Writer) error {
			return c.Layers.Layer(ctx.Context(), principal(ctx.Context()), in.Model, in.Ref, in.Image, func(size int64) io.Writer {
				ctx.SetHeader("Content-Length", strconv.FormatInt(size, 10))
				return begin()
			})
		})
	}}, nil
}

// large allows for the list of files of a big model.
func large(op huma.Operation) huma.Operation {
	op.MaxBodyBytes, op.BodyReadTimeout = maxJSON, time.Minute
	return op
}
