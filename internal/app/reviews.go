package app

import (
	"context"
	"time"
)

// reviewPace is how often the server looks whether a review is due.
const reviewPace = 10 * time.Minute

// keepReviews begins the reviews of access that are due, and flags those that are overdue,
// until ctx ends.
func (a *App) keepReviews(ctx context.Context) {
	tick := time.NewTicker(reviewPace)
	defer tick.Stop()
	for {
		if err := a.reviews.Keep(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.Warn("the access review was not looked after", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
