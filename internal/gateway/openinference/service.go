// Package openinference is the Open Inference Protocol over gRPC: the calls of its clients,
// and of Triton's, MLServer's and KServe's beyond it, become questions to the gateway. It
// reads messages and writes answers; who may ask, which revision answers and what is counted
// is the gateway's.
package openinference

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Caller is who asks, as the transport knows it.
type Caller struct {
	Authorization []string // the values of the header, or metadata, of that name
	Source        string   // the address of the peer
	Request       string   // the id of the request
	Revision      string   // what an owner wants to be answered by; empty for any
}

// Request is one prediction that is asked for.
type Request struct {
	Caller
	Model, Version string        // Version is empty for any
	Wish           time.Duration // what is left of the client's deadline; 0 without one
	Size           int           // bytes of the message
	// Bind reads the inputs for a schema; it may be called again for another one.
	Bind func(*tensor.Schema) (*tensor.Batch, *slipway.Error)
}

// Answer is a prediction, or says at least which revision failed.
type Answer struct {
	Revision, Version string
	Out               *tensor.Batch
}

// Model is one that the caller may call.
type Model struct {
	answer.Metadata
	Ready  bool
	Reason string         // why it is not ready
	Gone   *slipway.Error // why there is nothing to describe; nil if there is
}

// Models is what is served. All methods are safe for concurrent use; they authorize by the
// caller's token, and what somebody may not call is Denied whether there is such a model or
// not. Nil errors are untyped.
type Models interface {
	// Ready says whether there is something to serve.
	Ready() bool
	// Model describes one; an empty version is whichever serves.
	Model(c *Caller, name, version string) (*Model, *slipway.Error)
	// Index describes all that the caller may call, by name.
	Index(c *Caller) ([]Model, *slipway.Error)
	// Predict answers. The answer may be there beside an error, without outputs.
	Predict(ctx context.Context, r *Request) (*Answer, *slipway.Error)
}

// service answers the calls of inference.GRPCInferenceService.
type service struct {
	pb.UnimplementedGRPCInferenceServiceServer
	models Models
	now    func() time.Time
}

func (s *service) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: true}, nil
}

func (s *service) ServerReady(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: s.models.Ready()}, nil
}

func (s *service) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	about := answer.ServerMetadata()
	return &pb.ServerMetadataResponse{Name: about.Name, Version: about.Version, Extensions: about.Extensions}, nil
}

func (s *service) ModelReady(ctx context.Context, r *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	m, err := s.models.Model(callerOf(ctx), r.GetName(), r.GetVersion())
	if err != nil {
		return nil, statusOf(err)
	}
	return &pb.ModelReadyResponse{Ready: m.Ready}, nil
}

func (s *service) ModelMetadata(ctx context.Context, r *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	m, err := s.models.Model(callerOf(ctx), r.GetName(), r.GetVersion())
	if err == nil {
		err = m.Gone
	}
	if err != nil {
		return nil, statusOf(err)
	}
	return &pb.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform,
		Inputs: tensors(m.Inputs), Outputs: tensors(m.Outputs)}, nil
}

func tensors(described []answer.Tensor) []*pb.ModelMetadataResponse_TensorMetadata {
	out := make([]*pb.ModelMetadataResponse_TensorMetadata, len(described))
	for i, t := range described {
		out[i] = &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype.String(), Shape: shapeOf(t.Shape)}
	}
	return out
}

func (s *service) ModelInfer(ctx context.Context, r *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	call := callOf(ctx)
	out, a, err := s.infer(call.client, &call.caller, r, s.wish(ctx))
	if a != nil {
		// The headers are not sent before the answer, so this cannot fail.
		_ = grpc.SetHeader(ctx, metadata.Pairs("slipway-revision", a.Revision, "slipway-model-version", a.Version))
	}
	if err != nil {
		return nil, statusOf(err)
	}
	return out, nil
}

// wish is what is left of the client's deadline.
func (s *service) wish(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(end.Sub(s.now()), time.Millisecond)
	}
	return 0
}

func (s *service) infer(ctx context.Context, c *Caller, r *pb.ModelInferRequest, wish time.Duration) (*pb.ModelInferResponse, *Answer, *slipway.Error) {
	wanted, err := wantedOf(r)
	if err != nil {
		return nil, nil, err
	}
	a, err := s.models.Predict(ctx, &Request{Caller: *c, Model: r.GetModelName(), Version: r.GetModelVersion(), Wish: wish, Size: proto.Size(r),
		Bind: func(schema *tensor.Schema) (*tensor.Batch, *slipway.Error) {
			if err := wanted.Missing(schema.Outputs); err != nil {
				return nil, slipway.AsError(err)
			}
			return bind(r, schema)
		}})
	if err != nil {
		return nil, a, err
	}
	out, err := response(&wanted, a.Out)
	if err != nil {
		return nil, a, err
	}
	out.ModelName, out.ModelVersion = r.GetModelName(), a.Version
	return out, a, nil
}

// ModelStreamInfer answers one request after the other. One that fails is answered with the
// error's text, as Triton does, and the stream goes on.
func (s *service) ModelStreamInfer(stream grpc.BidiStreamingServer[pb.ModelInferRequest, pb.ModelStreamInferResponse]) error {
	call := callOf(stream.Context())
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answered := &pb.ModelStreamInferResponse{}
		out, _, failed := s.infer(call.client, &call.caller, r, s.wish(stream.Context()))
		if failed != nil {
			answered.ErrorMessage = failed.Error()
			out = &pb.ModelInferResponse{Id: r.GetId()} // tells which one
		}
		answered.InferResponse = out
		if err := stream.Send(answered); err != nil {
			return err
		}
	}
}
