package onnx_test

import (
	"encoding/json"
	"regexp"
)

// bare are the numbers that Python writes and JSON does not have.
var bare = regexp.MustCompile(`(-?Infinity|NaN)([,\]])`)

// unmarshal takes them for 0 unless they are kept as text; see quoted.
func unmarshal(b []byte, into any) error { return json.Unmarshal(bare.ReplaceAll(b, []byte(`"$1"$2`)), into) }
