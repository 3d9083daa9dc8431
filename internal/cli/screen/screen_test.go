package screen_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func TestProgressStaysInPlace(t *testing.T) {
	var out, err bytes.Buffer
	p := &screen.Printer{Out: &out, Err: &err, Live: true, Width: 10}
	p.Progress("uploading %d", 1234567)
	p.Say("done")
	p.Clear()
	if want := "\r\x1b[Kuploadin…\r\x1b[K"; err.String() != want || out.String() != "done\n" {
		t.Errorf("%q %q", err.String(), out.String())
	}
	err.Reset()
	p.Live = false
	p.Progress("uploading")
	if err.Len() > 0 {
		t.Errorf("%q without a terminal", err.String())
	}
}

func TestJSONSilencesPeople(t *testing.T) {
	var out, err bytes.Buffer
	p := &screen.Printer{Out: &out, Err: &err, JSON: true, Live: true}
	p.Say("a")
	p.Note("b")
	p.Next("c")
	p.Progress("d")
	p.Line(map[string]int{"e": 1})
	if out.String() != "{\"e\":1}\n" || err.Len() > 0 {
		t.Errorf("%q %q", out.String(), err.String())
	}
}

// TestCleans: nothing that comes from elsewhere can steer a terminal, whatever it is and
// wherever it is printed.
func TestCleans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text") + rapid.SampledFrom([]string{"", "\x1b[2J", "\u202e", "\x9b", "\r", "\xff"}).Draw(t, "attack")
		var out, err bytes.Buffer
		p := &screen.Printer{Out: &out, Err: &err}
		p.Say("%s %s", s, screen.Red(s))
		p.Note("%s", s)
		p.Next("%s", s)
		p.Table([][]screen.Text{{screen.Plain(s), screen.Bold(s)}})
		for _, r := range out.String() + err.String() {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || r >= 0x202a && r <= 0x202e {
				t.Fatalf("%q came through", r)
			}
		}
	})
}

func TestTable(t *testing.T) {
	p := &screen.Printer{Live: true, Width: 16, Colour: true}
	got := p.Lines([][]screen.Text{{screen.Plain("é"), screen.Red("b")}, {screen.Plain("long"), screen.Plain("cut off here")}})
	if want := screen.Ready("é     \x1b[31mb\x1b[0m\nlong  cut off h…"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUnits(t *testing.T) {
	var got []string
	for _, d := range []time.Duration{1234 * time.Microsecond, 1449 * time.Millisecond, 90 * time.Second, 10 * time.Minute, time.Hour, 90 * time.Minute} {
		got = append(got, screen.Duration(d))
	}
	now := time.Unix(1e9, 0)
	for _, d := range []time.Duration{-time.Second, 59 * time.Second, 61 * time.Minute, 50 * time.Hour} {
		got = append(got, screen.Age(now, now.Add(-d)))
	}
	got = append(got, screen.Age(now, time.Time{}))
	for _, n := range []int64{0, 1023, 1 << 10, 3 << 29} {
		got = append(got, screen.Size(n))
	}
	if want := "1ms 1.4s 1m30s 10m 1h 1h30m 0s 59s 1h 2d - 0 B 1023 B 1 KiB 1.5 GiB"; strings.Join(got, " ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, " "), want)
	}
}

// TestProgress: while a stage is silent its time and its last words are shown; after the
// stage nothing is.
func TestProgress(t *testing.T) {
	var out, err strings.Builder
	now := time.Unix(0, 0)
	p := &screen.Printer{Out: &out, Err: &err, Live: true, Width: 80}
	f := screen.NewFollower(p, func() time.Time { return now })
	d := api.Deployment{Status: "running", Stages: []api.Stage{{Stage: "environment", Log: []string{"Resolved 113 packages", "Downloading torch (514.2MiB)"}}}}
	f.Show(d)
	now = now.Add(70 * time.Second)
	f.Tick()
	if !strings.HasSuffix(err.String(), "\x1b[K...   environment  1m10s  Downloading torch (514.2MiB)") {
		t.Errorf("%q", err.String())
	}
	d.Status, d.Phase, d.Stages[0].Finished = "succeeded", "done", now
	f.Show(d)
	err.Reset()
	if f.Tick(); err.String() != "" {
		t.Errorf("after its end: %q", err.String())
	}
}
