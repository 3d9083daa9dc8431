package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Reviews ask whether accounts still need what they have.
type Reviews interface {
	// All gives the reviews without their items, newest first.
	All(ctx context.Context, p slipway.Principal) (api.AccessReviews, error)
	// One gives a review with the items that the principal may see; "open" is the open one.
	One(ctx context.Context, p slipway.Principal, id string) (api.AccessReview, error)
	Start(ctx context.Context, p slipway.Principal, r api.StartReview) (api.AccessReview, error)
	Answer(ctx context.Context, p slipway.Principal, id string, r api.AnswerReview) (api.AccessReview, error)
	Close(ctx context.Context, p slipway.Principal, id string, r api.CloseReview) (api.AccessReview, error)
}

// ReviewPath is the review of a path.
type ReviewPath struct {
	Review string `path:"review" maxLength:"64"`
}

func registerReviews(h huma.API, c Config) {
	handle(h, c, c.operation(authz.ReviewRead, "list-reviews", http.MethodGet, "/v1/reviews", "Reviews of who may do what, and when the next is due"),
		func(ctx context.Context, _ *struct{}) (api.AccessReviews, error) {
			return c.Reviews.All(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.ReviewRead, "get-review", http.MethodGet, "/v1/reviews/{review}", "One review with the grants that one may see; open is the open one"),
		func(ctx context.Context, in *ReviewPath) (api.AccessReview, error) {
			return c.Reviews.One(ctx, principal(ctx), in.Review)
		})
	handle(h, c, c.operation(authz.ReviewManage, "start-review", http.MethodPost, "/v1/reviews", "Begin a review now"),
		func(ctx context.Context, in *struct{ Body api.StartReview }) (api.AccessReview, error) {
			return c.Reviews.Start(ctx, principal(ctx), in.Body)
		})
	type answerInput struct {
		ReviewPath
		Body api.AnswerReview
	}
	handle(h, c, c.operation(authz.ReviewAttest, "answer-review", http.MethodPost, "/v1/reviews/{review}/answers", "Attest grants, or have them taken away"),
		func(ctx context.Context, in *answerInput) (api.AccessReview, error) {
			return c.Reviews.Answer(ctx, principal(ctx), in.Review, in.Body)
		})
	type closeInput struct {
		ReviewPath
		Body api.CloseReview
	}
	handle(h, c, c.operation(authz.ReviewManage, "close-review", http.MethodPost, "/v1/reviews/{review}/close", "End a review"),
		func(ctx context.Context, in *closeInput) (api.AccessReview, error) {
			return c.Reviews.Close(ctx, principal(ctx), in.Review, in.Body)
		})
}
