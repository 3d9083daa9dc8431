package logfile_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/runtime/logfile"
)

// Whatever a secret looks like, a record that holds it is JSON still, without it.
func TestMask(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		secret := rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\<&é\t7")), 6, 12, -1).Draw(r, "secret")
		secret = strings.TrimSpace(secret)
		if len(secret) < 6 {
			return
		}
		var out bytes.Buffer
		log := slog.New(slog.NewJSONHandler(logfile.Mask(&out, []string{"A=" + secret, "B=x", "C="}), nil))
		log.Info("the password is "+secret+".", "x", 1)
		var record struct{ Msg string }
		if err := json.Unmarshal(out.Bytes(), &record); err != nil || strings.Contains(record.Msg, secret) || !strings.HasPrefix(record.Msg, "the password is ") {
			r.Fatalf("%s, %v", out.String(), err)
		}
	})
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(logfile.Mask(&out, []string{"KEY=-----BEGIN\nMIGHAgEAMBMG\n-----END"}), nil)).Info("line MIGHAgEAMBMG")
	if strings.Contains(out.String(), "MIGHAgEAMBMG") {
		t.Errorf("a line of a secret: %s", out.String())
	}
}
