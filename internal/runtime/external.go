package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/runtime/remote"
)

// dialWait bounds the making of a connection to an external server.
const dialWait = 5 * time.Second

// startRemote connects to the server that the model directory names, once it is ready.
func startRemote(ctx context.Context, cfg Config) (*loaded, error) {
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, &exitError{ExitModel, err}
	}
	m, err := mlmodel.Read(root.FS())
	root.Close()
	if err == nil && m.External == nil {
		err = errors.New("the model names no external server")
	}
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
	}
	schema, err := m.Schema(nil)
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
	}
	dialer := &net.Dialer{Timeout: dialWait, Control: permit}
	o := remote.Options{Base: m.External.URL, What: "the external server", Conns: commandWorkers, Dial: dialer.DialContext}
	var server interface {
		predictor
		Close()
	} = remote.NewOpenInference(o, m.External.Model)
	if m.External.Protocol == mlmodel.MLflowScoring {
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
	if ip := net.ParseIP(host); ip == nil || !mlmodel.AllowedPeer(ip) {
		return errors.New("the address of the external server is link-local")
	}
	return nil
}
