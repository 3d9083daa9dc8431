package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// Headers of a delivery, as MLflow has them (mlflow/webhooks/constants.py).
const (
	HeaderID        = "X-MLflow-Delivery-Id"
	HeaderTimestamp = "X-MLflow-Timestamp" // of the attempt, in seconds since 1970
	HeaderSignature = "X-MLflow-Signature"
)

// Sign is the signature of one attempt: "v1," and the HMAC-SHA256, in base64, of delivery id,
// timestamp and body, joined by dots. Each attempt has a timestamp of its own, so that a
// receiver may refuse old ones, and the delivery the same id, so that it may know it again.
func Sign(secret []byte, id string, at time.Time, body []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// envelope is what is sent, in MLflow's form. Its workspaces are our teams.
type envelope struct {
	Entity    string         `json:"entity"`
	Action    string         `json:"action"`
	Timestamp string         `json:"timestamp"`
	Workspace string         `json:"workspace"`
	Data      map[string]any `json:"data"`
}

// timeForm is what Python's isoformat prints of a time in UTC.
const timeForm = "2006-01-02T15:04:05.000000+00:00"

// maxBody bounds what is sent, in bytes. Texts that users have typed may be larger.
const maxBody = 256 << 10

// typed are the parts of data that hold texts which users have typed.
var typed = []string{"tags", "description", "value", "template"}

// Body is what a receiver gets. When it would be too large it has no text that users have
// typed, and says so: "truncated" is true.
func Body(e Event, team string, at time.Time, data map[string]any) ([]byte, error) {
	if team == "" {
		team = "default"
	}
	out := envelope{e.Entity(), e.Action(), at.UTC().Format(timeForm), team, data}
	text, err := encode(out)
	if err != nil || len(text) <= maxBody {
		return text, err
	}
	short := map[string]any{"truncated": true}
	for k, v := range data {
		short[k] = v
	}
	for _, k := range typed {
		if _, there := short[k]; there {
			short[k] = nil
		}
	}
	out.Data = short
	return encode(out)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
