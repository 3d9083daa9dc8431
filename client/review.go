package client

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/api"
)

// AccessReviews lists the reviews of access, newest first, and says when the next is due.
func (c *Client) AccessReviews(ctx context.Context) (api.AccessReviews, error) {
	return get[api.AccessReviews](ctx, c, nil, "v1", "reviews")
}

// AccessReview gives one review with the grants that one may see.
func (c *Client) AccessReview(ctx context.Context, id string) (api.AccessReview, error) {
	return get[api.AccessReview](ctx, c, nil, "v1", "reviews", id)
}

// StartAccessReview begins a review now.
func (c *Client) StartAccessReview(ctx context.Context, r api.StartReview) (api.AccessReview, error) {
	return call[api.AccessReview](ctx, c, request{method: http.MethodPost, path: path("v1", "reviews")}, r)
}

// AnswerAccessReview attests grants, or has them taken away.
func (c *Client) AnswerAccessReview(ctx context.Context, id string, r api.AnswerReview) (api.AccessReview, error) {
	return call[api.AccessReview](ctx, c, request{method: http.MethodPost, path: path("v1", "reviews", id, "answers")}, r)
}

// CloseAccessReview ends a review.
func (c *Client) CloseAccessReview(ctx context.Context, id string, r api.CloseReview) (api.AccessReview, error) {
	return call[api.AccessReview](ctx, c, request{method: http.MethodPost, path: path("v1", "reviews", id, "close")}, r)
}
