package slipway

import "context"

// MaxRequestID bounds the id of a request, in bytes.
const MaxRequestID = 64

type requestKey struct{}

// WithRequest notes the id of the request that ctx belongs to.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestOf is the id that WithRequest noted, empty without one.
func RequestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

type breakGlassKey struct{}

// WithBreakGlass notes the emergency in which something is done: every event that is
// recorded under ctx says so.
func WithBreakGlass(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, breakGlassKey{}, id)
}

// BreakGlassOf is the id that WithBreakGlass noted, empty without one.
func BreakGlassOf(ctx context.Context) string {
	id, _ := ctx.Value(breakGlassKey{}).(string)
	return id
}

type addressKey struct{}

// WithAddress notes the network address from which something is asked: every event that is
// recorded under ctx says it.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

// AddressOf is the address that WithAddress noted, empty without one.
func AddressOf(ctx context.Context) string {
	address, _ := ctx.Value(addressKey{}).(string)
	return address
}
