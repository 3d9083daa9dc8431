package runtime

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/relay"
	"github.com/slipway-ml/slipway/internal/runtime/remote"
)

// dialWait bounds the making of a connection to an external server.
const dialWait = 5 * time.Second

// startRemote connects to a server that runs elsewhere, once it is ready.
func startRemote(ctx context.Context, cfg Config) (*loaded, error) {
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, &exitError{ExitModel, err}
	}
	m, err := mlmodel.Read(root.FS())
	root.Close()
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
	}
	schema, err := m.Schema(nil)
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
	}
	dialer := &net.Dialer{Timeout: dialWait, Control: permit(cfg.Reach)}
	o := remote.Options{Base: strings.TrimSuffix(cfg.Runtime.URL, "/"), What: "the external server", Conns: commandWorkers, Dial: dialer.DialContext}
	server := newServer(cfg, o, cfg.Runtime.Name)
	if cfg.Runtime.Protocol == route.ProtocolMLflow {
		server = remote.NewScoring(o, schema)
	}
	if err := awaitReady(ctx, cfg.StartTimeout, server, nil); err != nil {
		server.Close()
		return nil, err
	}
	return &loaded{predictor: server, stop: server.Close, through: relay.To(cfg.Runtime.URL, dialer)}, nil
}

// permit refuses addresses that no external server may have, after names were resolved: a
// name may stand for another address each time.
func permit(reach config.Reach) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err == nil && !reach.Permit(at.Addr()) {
			err = slipway.Errorf(slipway.Denied, slipway.CodeForbiddenTo, "use an address that the server has for others", "no model's server may be at %s", at.Addr())
		}
		return err
	}
}
