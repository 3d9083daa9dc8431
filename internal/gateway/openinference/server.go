package openinference

import (
	"context"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
)

// Server answers gRPC calls that come as requests of net/http, so that they share the public
// address, its certificates and its hand-over with everything else.
type Server struct{ grpc *grpc.Server }

// New serves models. A message may have limit bytes, decompressed; now is the clock.
func New(models Models, limit int, now func() time.Time) *Server {
	s := grpc.NewServer(grpc.ForceServerCodecV2(newCodec()), grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(maxAnswer))
	pb.RegisterGRPCInferenceServiceServer(s, &service{models: models, now: now})
	healthpb.RegisterHealthServer(s, &health{models: models})
	reflection.Register(s)
	return &Server{s}
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 256 << 20

// Speaks says whether a request is a gRPC call.
func Speaks(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// Open says whether a call needs no token: whether the process is up and serves is what
// probes ask, which have none. To watch it costs a goroutine, and needs one.
func Open(path string) bool { return path == healthpb.Health_Check_FullMethodName }

// long are the calls that last as long as the client wants.
func long(path string) bool {
	return path == pb.GRPCInferenceService_ModelStreamInfer_FullMethodName || path == healthpb.Health_Watch_FullMethodName ||
		strings.HasPrefix(path, "/grpc.reflection.")
}

// call is what a request of net/http says beside its messages.
type call struct {
	caller Caller
	client context.Context // ends when the client has gone, and not at its deadline
}

type callKey struct{}

// Serve answers a call of an authorized caller.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, c *Caller) {
	if long(r.URL.Path) {
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Time{}) // HTTP/2 has both
		_ = rc.SetWriteDeadline(time.Time{})
	}
	s.grpc.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, &call{*c, r.Context()})))
}

// callOf is the call that a context is of. Every one comes through Serve.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

func callerOf(ctx context.Context) *Caller { return &callOf(ctx).caller }
