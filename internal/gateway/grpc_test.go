package gateway_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/handover"
	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
)

// dial connects a gRPC client to a site.
func (s *site) dial(t *testing.T, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(s.addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// as is a context with metadata; pairs are name, value, …
func as(ctx context.Context, token string, pairs ...string) context.Context {
	if token != "" {
		pairs = append(pairs, "authorization", "Bearer "+token)
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// ask is a request for one row of the endpoint fraud.
func ask(value float64) *pb.ModelInferRequest {
	return &pb.ModelInferRequest{ModelName: "fraud", Id: "42", Inputs: []*pb.ModelInferRequest_InferInputTensor{{
		Name: "a", Datatype: "FP64", Shape: []int64{1, 1}, Contents: &pb.InferTensorContents{Fp64Contents: []float64{value}}}}}
}

func askRaw(value float64) *pb.ModelInferRequest {
	r := ask(value)
	r.Inputs[0].Contents = nil
	r.RawInputContents = [][]byte{binary.LittleEndian.AppendUint64(nil, math.Float64bits(value))}
	return r
}

func TestGRPC(t *testing.T) {
	s := newSite(t)
	r := s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	client := pb.NewGRPCInferenceServiceClient(s.dial(t))
	ctx := as(t.Context(), callerToken, "x-request-id", "req-7")

	var header metadata.MD
	out, err := client.ModelInfer(ctx, ask(1.5), grpc.Header(&header), grpc.UseCompressor(gzip.Name))
	if err != nil {
		t.Fatal(err)
	}
	if out.GetModelName() != "fraud" || out.GetModelVersion() != "11" || out.GetId() != "42" || len(out.GetRawOutputContents()) != 0 ||
		!cmp.Equal(out.GetOutputs()[0].GetContents().GetFp64Contents(), []float64{1}) || !cmp.Equal(out.GetOutputs()[0].GetShape(), []int64{1}) {
		t.Errorf("%v", out)
	}
	for name, want := range map[string]string{"x-request-id": "req-7", "slipway-revision": "fraud-1", "slipway-model-version": "11"} {
		if got := header.Get(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	out, err = client.ModelInfer(ctx, askRaw(1.5))
	if err != nil || len(out.GetRawOutputContents()) != 1 || out.GetOutputs()[0].GetContents() != nil || len(out.GetRawOutputContents()[0]) != 8 {
		t.Errorf("%v, %v", out, err)
	}
	if o := r.Observe(); o.Revision("fraud-1").Counts.Requests != 2 || o.Revision("fraud-1").Counts.Answered != 2 {
		t.Errorf("%+v", o.Revision("fraud-1").Counts)
	}

	if live, err := client.ServerLive(ctx, &pb.ServerLiveRequest{}); err != nil || !live.GetLive() {
		t.Error(live, err)
	}
	if ready, err := client.ServerReady(ctx, &pb.ServerReadyRequest{}); err != nil || !ready.GetReady() {
		t.Error(ready, err)
	}
	if about, err := client.ServerMetadata(ctx, &pb.ServerMetadataRequest{}); err != nil || about.GetName() != "slipway" || len(about.GetExtensions()) == 0 {
		t.Error(about, err)
	}
	if ready, err := client.ModelReady(ctx, &pb.ModelReadyRequest{Name: "fraud", Version: "11"}); err != nil || !ready.GetReady() {
		t.Error(ready, err)
	}
	about, err := client.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "fraud"})
	if err != nil || about.GetPlatform() != "slipway_tree" || !cmp.Equal(about.GetVersions(), []string{"11"}) ||
		about.GetInputs()[0].GetDatatype() != "FP64" || !cmp.Equal(about.GetInputs()[0].GetShape(), []int64{-1}) {
		t.Error(about, err)
	}
	index, err := client.RepositoryIndex(ctx, &pb.RepositoryIndexRequest{Ready: true})
	if err != nil || len(index.GetModels()) != 1 || index.GetModels()[0].GetState() != "READY" || index.GetModels()[0].GetVersion() != "11" {
		t.Error(index, err)
	}
	if loaded, err := client.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{RepositoryName: "fraud"}); err != nil || !loaded.GetIsLoaded() {
		t.Error(loaded, err)
	}
}

func TestGRPCErrors(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	gone := serving(0)
	gone.Key, gone.Stable, gone.State, gone.Reason = "gone.staging", revision(3), "withdrawn", "it was wrong"
	if err := s.admin().Apply(t.Context(), table(1, serving(0), gone)); err != nil {
		t.Fatal(err)
	}
	client := pb.NewGRPCInferenceServiceClient(s.dial(t))
	changed := func(change func(*pb.ModelInferRequest)) func(context.Context) error {
		r := ask(1)
		change(r)
		return func(ctx context.Context) error { _, err := client.ModelInfer(ctx, r); return err }
	}
	plain := changed(func(*pb.ModelInferRequest) {})
	for name, c := range map[string]struct {
		token string
		model model
		call  func(context.Context) error
		want  codes.Code
		code  string
		field string
	}{
		"no token":      {"", nil, plain, codes.Unauthenticated, slipway.CodeUnauthorized, ""},
		"an old token":  {oldToken, nil, plain, codes.Unauthenticated, slipway.CodeUnauthorized, ""},
		"another model": {leadToken, nil, plain, codes.PermissionDenied, slipway.CodeDenied, ""},
		"no model":      {callerToken, nil, changed(func(r *pb.ModelInferRequest) { r.ModelName = "new" }), codes.NotFound, slipway.CodeNotFound, ""},
		"no version":    {callerToken, nil, changed(func(r *pb.ModelInferRequest) { r.ModelVersion = "7" }), codes.NotFound, slipway.CodeNotFound, ""},
		"withdrawn":     {callerToken, nil, changed(func(r *pb.ModelInferRequest) { r.ModelName = "gone.staging" }), codes.Unavailable, slipway.CodeWithdrawn, ""},
		"a revision": {callerToken, nil, func(ctx context.Context) error { return plain(as(ctx, "", "slipway-revision", "fraud-1")) },
			codes.PermissionDenied, slipway.CodeDenied, ""},
		"a shape that lies": {callerToken, nil, changed(func(r *pb.ModelInferRequest) { r.Inputs[0].Shape = []int64{1 << 31, 1 << 33} }),
			codes.InvalidArgument, slipway.CodeSchema, "inputs[0].shape"},
		"another type": {callerToken, nil, changed(func(r *pb.ModelInferRequest) { r.Inputs[0].Datatype = "BYTES" }),
			codes.InvalidArgument, slipway.CodeSchema, "inputs[0].contents.fp64_contents"},
		"no such output": {callerToken, nil, changed(func(r *pb.ModelInferRequest) {
			r.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "z"}}
		}), codes.InvalidArgument, slipway.CodeSchema, "outputs[0].name"},
		"the model refuses": {callerToken, failing(errRejected), plain, codes.InvalidArgument, slipway.CodeSchema, ""},
		"the model fails":   {callerToken, failing(errBroken), plain, codes.Internal, slipway.CodeModelFailed, ""},
		"a deadline": {callerToken, hang, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			return plain(ctx)
		}, codes.DeadlineExceeded, "", ""},
		"too large": {callerToken, nil, changed(func(r *pb.ModelInferRequest) { r.Id = strings.Repeat("x", 17<<20) }), codes.ResourceExhausted, "", ""},
		"unload": {callerToken, nil, func(ctx context.Context) error {
			_, err := client.RepositoryModelUnload(ctx, &pb.RepositoryModelUnloadRequest{ModelName: "fraud"})
			return err
		}, codes.FailedPrecondition, slipway.CodeConflict, ""},
		"load what is gone": {callerToken, nil, func(ctx context.Context) error {
			_, err := client.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{ModelName: "gone.staging"})
			return err
		}, codes.Unavailable, slipway.CodeNoReplica, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.fake.set("fraud-1", c.model)
			st := status.Convert(c.call(as(t.Context(), c.token)))
			if st.Code() != c.want {
				t.Fatalf("%v, not %v: %s", st.Code(), c.want, st.Message())
			}
			var info *errdetails.ErrorInfo
			for _, d := range st.Details() {
				if i, ok := d.(*errdetails.ErrorInfo); ok {
					info = i
				}
			}
			if c.want == codes.DeadlineExceeded {
				return // the client may have said so before the server
			}
			if info.GetReason() != c.code || info.GetMetadata()["field"] != c.field || c.code != "" && info.GetMetadata()["next"] == "" && c.model == nil {
				t.Errorf("details %v of %s", info, st.Message())
			}
		})
	}
}

// Health needs no token for the gateway, and one for a model or to watch; reflection always.
func TestGRPCHealth(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	conn := s.dial(t)
	client := healthpb.NewHealthClient(conn)
	check := func(ctx context.Context, name string) (healthpb.HealthCheckResponse_ServingStatus, codes.Code) {
		out, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: name})
		return out.GetStatus(), status.Code(err)
	}
	if got, _ := check(t.Context(), ""); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Error("a gateway without a table is", got)
	}
	stranger, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = stranger.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("whoever has no token may watch: %v", err)
	}
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	watch, err := client.Watch(as(t.Context(), callerToken), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Error(first, err)
	}
	model, err := client.Watch(as(t.Context(), callerToken), &healthpb.HealthCheckRequest{Service: "fraud"})
	if err != nil {
		t.Fatal(err)
	}
	for { // until its replica is seen to be ready
		state, err := model.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if state.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			break
		}
	}
	s.fake.setReady("fraud-1", false)
	if next, err := model.Recv(); err != nil || next.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Error(next, err)
	}
	if got, _ := check(t.Context(), ""); got != healthpb.HealthCheckResponse_SERVING {
		t.Error(got)
	}
	if got, _ := check(as(t.Context(), callerToken), "fraud"); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Error(got)
	}
	if _, code := check(t.Context(), "fraud"); code != codes.Unauthenticated {
		t.Error(code)
	}
	if _, code := check(as(t.Context(), callerToken), "other"); code != codes.PermissionDenied {
		t.Error(code)
	}
	for token, want := range map[string]codes.Code{"": codes.Unauthenticated, callerToken: codes.OK} {
		stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(as(t.Context(), token))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		out, err := stream.Recv()
		if status.Code(err) != want || want == codes.OK && len(out.GetListServicesResponse().GetService()) != 4 {
			t.Errorf("reflection with %q: %v, %v", token, out, err)
		}
		_ = stream.CloseSend()
	}
}

func TestGRPCStream(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	stream, err := pb.NewGRPCInferenceServiceClient(s.dial(t)).ModelStreamInfer(as(t.Context(), callerToken))
	if err != nil {
		t.Fatal(err)
	}
	wrong := ask(1)
	wrong.Inputs[0].Shape = []int64{3}
	for _, r := range []*pb.ModelInferRequest{ask(1), wrong, askRaw(2)} {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		out, err := stream.Recv()
		if err != nil || out.GetInferResponse().GetId() != "42" || (out.GetErrorMessage() == "") != (r != wrong) {
			t.Errorf("%v, %v", out, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// An upgrade loses no call of a client that does what gRPC says of GOAWAY, which is to send
// again on a new connection what the old process has not begun.
func TestUpgradeUnderGRPC(t *testing.T) {
	s := newSite(t)
	old := s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	s.fake.set("fraud-1", after(2*time.Millisecond, value(1)))
	idle := pb.NewGRPCInferenceServiceClient(s.dial(t))
	if _, err := idle.ModelInfer(as(t.Context(), callerToken), ask(1)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var sent atomic.Int64
	stop := make(chan struct{})
	for range 4 {
		client := pb.NewGRPCInferenceServiceClient(s.dial(t))
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					sent.Add(1)
					if _, err := client.ModelInfer(as(t.Context(), callerToken), ask(1)); err != nil {
						t.Error("lost:", err)
						return
					}
				}
			})
		}
	}
	for range 3 {
		for before := sent.Load(); sent.Load() < before+1000 && !t.Failed(); time.Sleep(time.Millisecond) {
		}
		heir, err := handover.Take(t.Context(), s.path("handover.sock"))
		if err != nil {
			t.Fatal(err)
		}
		next := s.start(t, heir, nil)
		if err := <-old.ended; err == nil || !old.released.Load() {
			t.Errorf("the old gateway ended with %v", err)
		}
		old = next
	}
	close(stop)
	wg.Wait()
	t.Logf("3 upgrades, %d calls", sent.Load())
	if _, err := idle.ModelInfer(as(t.Context(), callerToken), ask(1)); err != nil {
		t.Error("a client that was idle:", err)
	}
}

// HTTP/2 without TLS serves what HTTP/1 does.
func TestHTTP2(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, _ := http.NewRequest(http.MethodPost, "http://"+s.addr+"/v2/models/fraud/infer", strings.NewReader(inferBody))
	req.Header.Set("Authorization", "Bearer "+callerToken)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || !strings.Contains(string(b), `"id":"42"`) {
		t.Errorf("%s over %s: %s", resp.Status, resp.Proto, b)
	}
}
