package send_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/webhook"
	"github.com/slipway-ml/slipway/internal/webhook/send"
)

func sender(reach webhook.Reach, more ...func(*send.Config)) *send.Sender {
	c := send.Config{Reach: reach, Agent: "slipway/test", Now: time.Now}
	for _, set := range more {
		set(&c)
	}
	return send.New(c)
}

// here reaches this machine, with TLS or without.
var here = config.Receivers{Here: true}

func delivery() *webhook.Delivery {
	return &webhook.Delivery{ID: "01a21f2c-51f3-70f1-ae08-6e54aa890b9b", Event: webhook.ModelCreated, Body: []byte(`{"data":{}}`)}
}

func TestSigned(t *testing.T) {
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "thanks")
	}))
	defer s.Close()
	d := delivery()
	r, said := sender(here).Try(t.Context(), s.URL+"/x?y=z", []byte("s3cret"), d)
	if r.Status != http.StatusAccepted || r.Error != "" || said != "thanks" || r.Took <= 0 {
		t.Fatalf("%+v, %q", r, said)
	}
	at := got.Header["X-Mlflow-Timestamp"]
	var unix int64
	if _, err := fmt.Sscan(strings.Join(at, ""), &unix); err != nil {
		t.Fatal(err)
	}
	want := webhook.Sign([]byte("s3cret"), d.ID, time.Unix(unix, 0), body)
	if got.Method != http.MethodPost || got.RequestURI != "/x?y=z" || string(body) != string(d.Body) || got.Header.Get(webhook.HeaderID) != d.ID || got.Header.Get(webhook.HeaderSignature) != want ||
		got.Header.Get("Content-Type") != "application/json" || got.Header.Get("User-Agent") != "slipway/test" {
		t.Errorf("%s %s %v %s", got.Method, got.RequestURI, got.Header, body)
	}
	if sender(here).Send(t.Context(), s.URL, nil, d); got.Header.Get(webhook.HeaderSignature) != "" {
		t.Error("without a secret it is signed")
	}
}

// TestHeadersAsWritten: a receiver that compares the names of headers by their letters finds them.
func TestHeadersAsWritten(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	lines := make(chan string, 100)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewScanner(conn)
		for in.Scan() && in.Text() != "" {
			name, _, _ := strings.Cut(in.Text(), ":")
			lines <- name
		}
		close(lines)
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}()
	if r := sender(here).Send(t.Context(), "http://"+ln.Addr().String(), []byte("s3cret"), delivery()); r.Status != 200 {
		t.Fatalf("%+v", r)
	}
	seen := map[string]bool{}
	for name := range lines {
		seen[name] = true
	}
	for _, want := range []string{webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature} {
		if !seen[want] {
			t.Errorf("%s is not there: %v", want, seen)
		}
	}
}

// TestRedirections: none is followed, wherever it leads.
func TestRedirections(t *testing.T) {
	var reached atomic.Bool
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer inner.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.RedirectHandler(inner.URL, status))
		r := sender(here).Send(t.Context(), s.URL, nil, delivery())
		s.Close()
		if r.Status != status || webhook.FateOf(r.Status) != webhook.Refused {
			t.Errorf("%d: %+v", status, r)
		}
	}
	if reached.Load() {
		t.Error("a redirection was followed")
	}
}

// TestClosed: what is closed is not connected to, however it is written and whatever a name
// stands for, and the URL is not told: it may be a secret.
func TestClosed(t *testing.T) {
	var reached atomic.Bool
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	names := serveDNS(t, func(string) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("169.254.169.254")}
	})
	out := sender(config.Receivers{}, func(c *send.Config) { c.Resolve, c.TLS = names, &tls.Config{InsecureSkipVerify: true} })
	for _, host := range []string{"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "192.168.0.1", "[fe80::1%25lo]", "hooks.example.com", "metadata.example.com", "localhost", "2130706433", "0x7f000001", "127.1"} {
		for _, scheme := range []string{"https://", "http://"} {
			r := out.Send(t.Context(), scheme+host+":"+port+"/s3cret-path?token=s3cret", nil, delivery())
			if r.Status != 0 || r.Error == "" || strings.Contains(r.Error, "s3cret") {
				t.Errorf("%s%s: %+v", scheme, host, r)
			}
		}
	}
	if reached.Load() {
		t.Error("a closed address was reached")
	}
	if r := out.Send(t.Context(), "https://hooks.example.com:"+port, nil, delivery()); !strings.Contains(r.Error, "is closed") {
		t.Errorf("%+v", r)
	}
}

// TestRebinding: a name that stood for a public address when somebody looked, and for this
// machine when it is connected to, is refused then; each connection is looked at.
func TestRebinding(t *testing.T) {
	var reached, asked atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	names := serveDNS(t, func(string) []netip.Addr {
		if asked.Add(1) <= 2 { // A and AAAA
			return []netip.Addr{netip.MustParseAddr("127.0.0.2")} // opened below, as a public one would be
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	})
	opened := config.Receivers{Opened: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}
	out := sender(opened, func(c *send.Config) { c.Resolve, c.TLS = names, &tls.Config{InsecureSkipVerify: true} })
	for range 3 {
		out.Send(t.Context(), "https://rebind.example.com:"+port, nil, delivery())
	}
	if reached.Load() != 0 {
		t.Errorf("it was reached %d times", reached.Load())
	}
}

// TestPlain: without TLS nothing but this machine is sent to, although its address is open.
func TestPlain(t *testing.T) {
	opened := config.Receivers{Opened: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	var reached atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer s.Close()
	if r := sender(opened).Send(t.Context(), s.URL, nil, delivery()); r.Status != 0 || reached.Load() {
		t.Errorf("%+v", r)
	}
}

// TestCertificates: a receiver shows a certificate of its name that somebody known has signed.
func TestCertificates(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	if r := sender(here).Send(t.Context(), s.URL, nil, delivery()); !strings.Contains(r.Error, "certificate is not to be trusted") {
		t.Errorf("%+v", r)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	out := sender(here, func(c *send.Config) { c.TLS = &tls.Config{RootCAs: pool} })
	if r := out.Send(t.Context(), s.URL, nil, delivery()); r.Status != http.StatusNoContent {
		t.Errorf("%+v", r)
	}
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	if r := out.Send(t.Context(), "https://localhost:"+port, nil, delivery()); !strings.Contains(r.Error, "certificate") {
		t.Errorf("a certificate of another name: %+v", r)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	if r := out.Send(t.Context(), strings.Replace(plain.URL, "http:", "https:", 1), nil, delivery()); r.Error != "it does not speak TLS" {
		t.Errorf("%+v", r)
	}
}

// TestHostileReceivers: endless answers, headers and silence cost bounded memory and time.
func TestHostileReceivers(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	r, said := sender(here).Try(t.Context(), endless.URL, nil, delivery())
	if r.Status != 200 || len(said) > 4<<10 || strings.ContainsRune(said, 0) {
		t.Errorf("%+v, %d bytes", r, len(said))
	}
	for name, answer := range map[string]string{
		"headers":  "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"no HTTP":  "SSH-2.0-OpenSSH_9.9\r\n",
		"nothing":  "",
		"binary":   "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00a",
		"a status": "HTTP/1.1 999 \r\n\r\n",
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}()
		r, said := sender(here).Try(t.Context(), "http://"+ln.Addr().String(), nil, delivery())
		ln.Close()
		if (r.Status == 0) == (r.Error == "") || strings.Contains(said, "\x00") {
			t.Errorf("%s: %+v, %q", name, r, said)
		}
	}
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer silent.Close()
	defer close(over)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := sender(here).Send(ctx, silent.URL, nil, delivery()); !strings.HasPrefix(r.Error, "no answer within") {
		t.Errorf("%+v", r)
	}
	if r := sender(here).Send(t.Context(), "http://127.0.0.1:1/", nil, delivery()); !strings.Contains(r.Error, "cannot be connected to") {
		t.Errorf("%+v", r)
	}
}

// serveDNS answers questions for addresses, and gives a resolver that asks it.
func serveDNS(t *testing.T, answer func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			for _, a := range answer(q.Name.String()) {
				h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
				switch {
				case q.Type == dnsmessage.TypeA && a.Is4():
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
				case q.Type == dnsmessage.TypeAAAA && !a.Is4():
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
				}
			}
			out, err := m.Pack()
			if err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}
