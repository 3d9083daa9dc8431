package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/route"
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
	dialer := &net.Dialer{Timeout: dialWait, Control: permit}
	o := remote.Options{Base: strings.TrimSuffix(cfg.Runtime.URL, "/"), What: "the external server", Conns: commandWorkers, Dial: dialer.DialContext}
	var server interface {
		predictor
		Close()
	} = remote.NewOpenInference(o, cfg.Runtime.Name)
	if cfg.Runtime.Protocol == route.ProtocolMLflow {
		server = remote.NewScoring(o, schema)
	}
	if err := awaitReady(ctx, cfg.StartTimeout, server, nil); err != nil {
		server.Close()
		return nil, err
	}
	return &loaded{predictor: server, stop: server.Close}, nil
}

// permit refuses addresses that no external server may have, after names were resolved.
func permit(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	// At link-local addresses clouds serve the secrets of a machine.
	if ip := net.ParseIP(host); ip == nil || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return errors.New("no server may have that address")
	}
	return nil
}
