package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway"
)

// Transit is a keys.Service: each wrapping key is a key of the engine.
type Transit struct{ *Client }

func (t Transit) path(what, name string) string {
	return t.mount + "/" + what + "/" + url.PathEscape(name)
}

func gone(name string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeShredded, "platform keys list", "Vault has no key %.80s", name)
}

// Create implements keys.Service.
func (t Transit) Create(ctx context.Context, name string) error {
	err := t.call(ctx, http.MethodPost, t.path("keys", name), map[string]any{"type": "aes256-gcm96"}, nil)
	if errors.Is(err, errMissing) || errors.Is(err, errRefused) {
		return unavailable("has no transit engine at "+t.mount+", or makes no keys there", err)
	}
	return err
}

// exists answers CodeShredded for a key that is not there: encrypting would make it.
func (t Transit) exists(ctx context.Context, name string) error {
	err := t.call(ctx, http.MethodGet, t.path("keys", name), nil, nil)
	if errors.Is(err, errMissing) {
		return gone(name)
	}
	return err
}

// Wrap implements keys.Service.
func (t Transit) Wrap(ctx context.Context, name string, plaintext, label []byte) ([]byte, error) {
	if err := t.exists(ctx, name); err != nil {
		return nil, err
	}
	var out struct {
		Ciphertext string `json:"ciphertext"`
	}
	err := t.call(ctx, http.MethodPost, t.path("encrypt", name), map[string]string{"plaintext": b64(plaintext), "associated_data": b64(label)}, &out)
	if err == nil && out.Ciphertext == "" {
		err = unavailable("answers something else", nil)
	}
	return []byte(out.Ciphertext), err
}

// Unwrap implements keys.Service.
func (t Transit) Unwrap(ctx context.Context, name string, wrapped, label []byte) ([]byte, error) {
	var out struct {
		Plaintext string `json:"plaintext"`
	}
	err := t.call(ctx, http.MethodPost, t.path("decrypt", name), map[string]string{"ciphertext": string(wrapped), "associated_data": b64(label)}, &out)
	if errors.Is(err, errRefused) || errors.Is(err, errMissing) {
		if err := t.exists(ctx, name); err != nil {
			return nil, err
		}
		return nil, &slipway.Error{Code: slipway.CodeSealed, Kind: slipway.Internal, Message: "a wrapped key does not open", Next: "bring it back from a backup", Cause: err}
	}
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(out.Plaintext)
	if err != nil {
		return nil, unavailable("answers something else", nil)
	}
	return plain, nil
}

// Destroy implements keys.Service.
func (t Transit) Destroy(ctx context.Context, names ...string) error {
	for _, name := range names {
		err := t.exists(ctx, name)
		if errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
			continue
		}
		if err == nil {
			err = t.call(ctx, http.MethodPost, t.path("keys", name)+"/config", map[string]any{"deletion_allowed": true}, nil)
		}
		if err == nil {
			err = t.call(ctx, http.MethodDelete, t.path("keys", name), nil, nil)
		}
		if err == nil {
			if err = t.exists(ctx, name); err == nil {
				err = unavailable("has not deleted a key", nil)
			}
			if errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Values reads secrets of a KV engine, version 2.
type Values struct{ *Client }

// Read gives the value at PATH#KEY.
func (v Values) Read(ctx context.Context, place string) (string, error) {
	path, key, ok := cut(place)
	if !ok {
		return "", slipway.Errorf(slipway.Invalid, slipway.CodeSecret, "write vault:TEAM/PATH#KEY", "the place of the secret names no key")
	}
	var out struct {
		Data map[string]any `json:"data"`
	}
	err := v.call(ctx, http.MethodGet, v.mount+"/data/"+path, nil, &out)
	if errors.Is(err, errMissing) || errors.Is(err, errRefused) {
		return "", slipway.Errorf(slipway.NotFound, slipway.CodeSecret, "set it there", "Vault has nothing at %.200s", place)
	}
	if err != nil {
		return "", err
	}
	value, ok := out.Data[key].(string)
	if !ok {
		return "", slipway.Errorf(slipway.NotFound, slipway.CodeSecret, "set it there, as text", "Vault has no text at %.200s", place)
	}
	return value, nil
}
