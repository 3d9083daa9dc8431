package openinference

import (
	"context"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/slipway-ml/slipway"
)

// watchTick is how often a watched state is looked at.
const watchTick = time.Second

// health answers grpc.health.v1: the empty name is the gateway, any other a model that the
// caller may call.
type health struct {
	healthpb.UnimplementedHealthServer
	models Models
}

func (h *health) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	state, err := h.state(ctx, r.GetService())
	if err != nil {
		return nil, statusOf(err)
	}
	return &healthpb.HealthCheckResponse{Status: state}, nil
}

// Watch sends the state, and again when it has changed.
func (h *health) Watch(r *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_UNKNOWN
	for {
		now, err := h.state(stream.Context(), r.GetService())
		if err != nil && err.Kind != slipway.NotFound {
			return statusOf(err)
		}
		if err != nil {
			now = healthpb.HealthCheckResponse_SERVICE_UNKNOWN // it may come
		}
		if now != last {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

func (h *health) state(ctx context.Context, name string) (healthpb.HealthCheckResponse_ServingStatus, *slipway.Error) {
	ready := h.models.Ready()
	if name != "" {
		m, err := h.models.Model(callerOf(ctx), name, "")
		if err != nil {
			return 0, err
		}
		ready = m.Ready
	}
	if ready {
		return healthpb.HealthCheckResponse_SERVING, nil
	}
	return healthpb.HealthCheckResponse_NOT_SERVING, nil
}
