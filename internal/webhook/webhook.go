// Package webhook tells other systems what has happened: whom an event concerns, what he is
// sent and with which signature, and what becomes of a delivery that did not arrive. What has
// happened is read from the record of events; nothing here connects to anything.
package webhook

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
)

// Status says whether a hook is told anything.
type Status string

// The statuses.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
)

// Hook is an address that is told of events.
type Hook struct {
	ID          string
	Team        string // that owns it, and whose events it is told; empty: those of every team
	Name        string // for people, and not unique: MLflow's need not be
	URL         string
	Description string
	Events      []Event
	Status      Status
	Sealed      []byte // the secret that signs, sealed; empty: nothing is signed
	Created     time.Time
	Updated     time.Time
	By          string // who made it
	Why         string // why the platform has disabled it
	Revision    int    // counts changes by people
	Since       int64  // the last event before it became active; only later ones are for it
	Health
}

// Health is how deliveries to a hook went of late.
type Health struct {
	Failing  time.Time // since when every attempt fails; zero: the last one did not
	Failures int       // attempts since then
	Trouble  string    // what was wrong with the last
}

// Host is where a hook's events go, without what may be secret in its URL.
func (h *Hook) Host() string {
	u, err := url.Parse(h.URL)
	if err != nil {
		return "?"
	}
	return u.Host
}

// Wants says whether a hook is told of an event of the record, by its sequence number.
func (h *Hook) Wants(e Event, seq int64) bool {
	return h.Status == Active && seq > h.Since && slices.Contains(h.Events, e)
}

// Limits of a hook.
const (
	maxURL         = 2048 // bytes
	maxDescription = 1000 // characters
	maxSecret      = 1024 // bytes
	minSecret      = 8
	// MaxHooks is how many hooks one team may have.
	MaxHooks = 200
)

// nameForm is the form that MLflow gives names (mlflow/utils/validation.py).
var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// invalid names no field: MLflow's clients compare the message.
func invalid(next, format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeWebhook, next, format, args...)
}

// CheckName answers Invalid, in MLflow's words, for a name that cannot be used.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return invalid("choose another name",
			"Webhook name %s is invalid. It must start and end with a letter or digit, be less than 63 characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).", quote(name))
	}
	return nil
}

// quote prints a text as Python prints one.
func quote(s string) string { return "'" + slipway.OneLine(s, 200) + "'" }

// Reach says where receivers may be.
type Reach interface {
	// Permit says whether an address may be connected to.
	Permit(a netip.Addr) bool
	// Plain says whether it may be without TLS.
	Plain(a netip.Addr) bool
}

// CheckURL answers Invalid for an address that no event will be sent to, as far as it says so
// by itself: what a name stands for is seen when it is connected to.
func CheckURL(raw string, reach Reach) error {
	if strings.TrimSpace(raw) == "" {
		return invalid("give the receiver's address", "Webhook URL cannot be empty or just whitespace: %s", quote(raw))
	}
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL || !utf8.ValidString(raw) {
		return invalid("give an address of at most 2048 characters", "Invalid webhook URL: it is no address, or longer than %d bytes", maxURL)
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	literal, here := literalOf(host)
	schemes := []string{"https"}
	if reach.Plain(netip.MustParseAddr("127.0.0.1")) {
		schemes = append(schemes, "http")
	}
	switch {
	case !slices.Contains(schemes, u.Scheme):
		return invalid("use https", "Invalid webhook URL scheme: %s. Allowed schemes are: %s.", quote(u.Scheme), strings.Join(schemes, ", "))
	case host == "":
		return invalid("name the host", "Webhook URL must include a hostname")
	case u.User != nil:
		return invalid("leave user and password out; events are signed instead", "Webhook URL must not hold a user or a password")
	case u.Fragment != "":
		return invalid("leave out what follows #", "Webhook URL must not have a fragment")
	case numeric(host) && !here:
		return invalid("write the address in its usual form", "Webhook URL host %s is not a canonical IP address literal.", quote(host))
	case here && !reach.Permit(literal):
		return invalid("give a public address, or ask who runs the platform for --webhook-networks", "Webhook URL must not resolve to a non-public IP address. %s is closed.", quote(host))
	case u.Scheme == "http" && (!here || !reach.Plain(literal)):
		return invalid("use https", "Invalid webhook URL scheme: 'http' is for receivers on this machine alone.")
	}
	return nil
}

// literalOf is the address that a host says by itself.
func literalOf(host string) (netip.Addr, bool) {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return netip.MustParseAddr("127.0.0.1"), true
	}
	a, err := netip.ParseAddr(host)
	return a, err == nil
}

// numeric hosts are those that some resolvers read as addresses: 127.1, 0x7f.1, 2130706433.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.HasPrefix(last, "0x") {
		return true
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// Change is what somebody wants of a hook; what is nil stays as it is.
type Change struct {
	Name, URL, Description *string
	Secret                 *string // empty: nothing is signed any more
	Events                 []Event
	Status                 Status
}

// Apply gives the hook as it is after a change, but for its secret. It answers Invalid for
// what no hook may be.
func (c *Change) Apply(h Hook, reach Reach, now time.Time) (Hook, error) {
	set := func(to, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&h.Name, c.Name)
	set(&h.URL, c.URL)
	set(&h.Description, c.Description)
	if c.Events != nil {
		h.Events = nil
		for _, e := range c.Events {
			if !slices.Contains(h.Events, e) {
				h.Events = append(h.Events, e)
			}
		}
	}
	if c.Status != "" && c.Status != h.Status {
		h.Status, h.Why, h.Health = c.Status, "", Health{}
	}
	h.Updated = now
	if err := CheckName(h.Name); err != nil {
		return h, err
	}
	if c.URL != nil { // one that was good once may be used on
		if err := CheckURL(h.URL, reach); err != nil {
			return h, err
		}
	}
	switch {
	case len(h.Events) == 0:
		return h, invalid("platform webhooks create --help", "Webhook events must be a non-empty list of WebhookEvent objects: [].")
	case utf8.RuneCountInString(h.Description) > maxDescription:
		return h, invalid("shorten it", "The description has more than %d characters", maxDescription)
	case h.Status != Active && h.Status != Disabled:
		return h, invalid("active or disabled", "%s is no status of a webhook", quote(string(h.Status)))
	}
	for _, e := range h.Events {
		if _, err := ParseEvent(string(e)); err != nil {
			return h, err
		}
	}
	return h, c.checkSecret()
}

func (c *Change) checkSecret() error {
	if c.Secret == nil || *c.Secret == "" {
		return nil
	}
	if n := len(*c.Secret); n < minSecret || n > maxSecret || !utf8.ValidString(*c.Secret) {
		return invalid("openssl rand -hex 32", "The secret must have %d to %d bytes of text", minSecret, maxSecret)
	}
	return nil
}

// Missing is the NotFound of a hook, in MLflow's words.
func Missing(id string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform webhooks list", "Webhook with ID %s not found.", slipway.OneLine(id, 100))
}
