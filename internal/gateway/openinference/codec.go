package openinference

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
)

// codec reads messages as gRPC's own does, but of a request that has too many parts no more
// than shows that: an empty part takes two bytes in a message, and a hundred in memory.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if _, ok := v.(*pb.ModelInferRequest); !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	b := whole.ReadOnlyData()
	return c.CodecV2.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b[:enough(b)])}, v)
}

// The parts of a ModelInferRequest that may come again.
const (
	fieldInputs  = 5
	fieldOutputs = 6
	fieldRaw     = 7
)

// enough is the length of a request up to the first part that is one too many, which makes it
// be refused; else all of it.
func enough(b []byte) int {
	left := map[protowire.Number]int{fieldInputs: maxInputs, fieldOutputs: maxInputs, fieldRaw: maxInputs}
	for at := 0; at < len(b); {
		number, kind, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return len(b) // no message, as its reader will say
		}
		at += n
		if n = protowire.ConsumeFieldValue(number, kind, b[at:]); n < 0 {
			return len(b)
		}
		at += n
		if most, repeated := left[number]; repeated {
			if left[number] = most - 1; most == 0 {
				return at
			}
		}
	}
	return len(b)
}
