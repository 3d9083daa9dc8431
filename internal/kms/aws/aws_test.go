package aws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/kms/aws"
	keyservicetest "github.com/slipway-ml/slipway/internal/storetest/keyservice"
)

// moto is the server of the Python package moto, which speaks AWS' own protocol. The test is
// skipped where there is none.
func moto(t *testing.T) (endpoint string) {
	t.Helper()
	program := ""
	for _, name := range []string{os.Getenv("MOTO_TEST"), "../../../.venv-keys/bin/moto_server"} {
		if found, err := filepath.Abs(name); err == nil && name != "" {
			if _, err := os.Stat(found); err == nil {
				program = found
			}
		}
	}
	if program == "" {
		t.Skip("needs moto: make .venv-keys, or MOTO_TEST=/path/of/moto_server")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", port)
	cmd.Dir = t.TempDir()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 400 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return "http://127.0.0.1:" + port
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("moto does not become ready: %s", out.String())
	return ""
}

func credentials(t *testing.T) {
	t.Helper()
	for key, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(key, value)
	}
}

// peer is KMS, but for one thing in which moto differs: the ciphertext of another key it
// answers with AccessDeniedException, where AWS documents IncorrectKeyException.
type peer struct{ keys.Service }

func (p peer) Unwrap(ctx context.Context, name string, wrapped, label []byte) ([]byte, error) {
	plain, err := p.Service.Unwrap(ctx, name, wrapped, label)
	if err != nil && strings.Contains(fmt.Sprint(errors.Unwrap(err)), "AccessDeniedException: UnknownError") {
		return nil, &slipway.Error{Code: slipway.CodeSealed}
	}
	return plain, err
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func TestMoto(t *testing.T) {
	credentials(t)
	endpoint := moto(t)
	t.Run("key service", func(t *testing.T) {
		keyservicetest.Run(t, func(t *testing.T) keys.Service {
			s, err := aws.OpenKMS(t.Context(), "aws-kms://eu-central-1?endpoint="+endpoint)
			if err != nil {
				t.Fatal(err)
			}
			return peer{s}
		})
	})
	t.Run("secrets", func(t *testing.T) {
		c, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("eu-central-1"), config.WithBaseEndpoint(endpoint))
		if err == nil {
			_, err = secretsmanager.NewFromConfig(c).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: sdk.String("risk/fraud"), SecretString: sdk.String("hunter2")})
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := aws.OpenValues(t.Context(), "aws-sm://eu-central-1?endpoint="+endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Read(t.Context(), "risk/fraud"); err != nil || got != "hunter2" {
			t.Errorf("%q, %v", got, err)
		}
		_, err = v.Read(t.Context(), "risk/none")
		wantCode(t, "one that is not there", err, slipway.CodeSecret)
	})
}

func TestAddresses(t *testing.T) {
	credentials(t)
	for _, bad := range []string{"", "aws-kms://", "aws-kms://me@eu-central-1", "aws-kms://eu-central-1/key", "%"} {
		_, err := aws.OpenKMS(t.Context(), bad)
		wantCode(t, bad, err, slipway.CodeInvalid)
	}
	s, err := aws.OpenKMS(t.Context(), "aws-kms://eu-central-1?endpoint=http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "nobody listens", s.Check(t.Context()), slipway.CodeKeyService)
	_, err = s.Unwrap(t.Context(), "x", []byte("y"), nil)
	wantCode(t, "unwrapping", err, slipway.CodeKeyService)
}
