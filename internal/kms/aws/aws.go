// Package aws speaks with AWS: KMS as a key service, and Secrets Manager as a place of
// secrets. Credentials come from where AWS' own tools find them.
package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/slipway-ml/slipway"
)

const limit = 10 * time.Second

// load finds region and credentials. An address is SCHEME://REGION, and may name another
// endpoint, as private networks have: SCHEME://REGION?endpoint=https://HOST.
func load(ctx context.Context, address string) (aws.Config, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Path != "" || u.User != nil {
		return aws.Config{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "write aws-kms://REGION, such as aws-kms://eu-central-1", "this names no region of AWS")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(u.Host))
	if err != nil {
		return c, unavailable(err)
	}
	if endpoint := u.Query().Get("endpoint"); endpoint != "" {
		c.BaseEndpoint = aws.String(endpoint)
	}
	return c, nil
}

func unavailable(err error) error {
	return &slipway.Error{Code: slipway.CodeKeyService, Kind: slipway.Unavailable, Message: "AWS cannot be used", Next: "check region, credentials and rights of the server, and --kms", Cause: err}
}

// KMS is a keys.Service: each wrapping key is a symmetric KMS key with an alias. A key that
// was destroyed cannot be used from that moment on; AWS deletes it seven days later, the
// least that it allows, and until then an administrator of AWS could take that back.
type KMS struct{ api *kms.Client }

// OpenKMS makes a KMS. Nothing is asked yet.
func OpenKMS(ctx context.Context, address string) (*KMS, error) {
	c, err := load(ctx, address)
	if err != nil {
		return nil, err
	}
	return &KMS{kms.NewFromConfig(c)}, nil
}

func alias(name string) *string { return aws.String("alias/" + name) }

// pendingDays is how long AWS keeps a key that is to be deleted.
const pendingDays = 7

// state of a key: its id, or CodeShredded when it is gone or about to go.
func (k *KMS) state(ctx context.Context, name string) (id *string, err error) {
	out, err := k.api.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias(name)})
	var missing *types.NotFoundException
	switch {
	case errors.As(err, &missing):
		return nil, gone(name)
	case err != nil:
		return nil, unavailable(err)
	case out.KeyMetadata.KeyState == types.KeyStatePendingDeletion || out.KeyMetadata.KeyState == types.KeyStatePendingReplicaDeletion:
		return nil, gone(name)
	}
	return out.KeyMetadata.KeyId, nil
}

func gone(name string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeShredded, "platform keys list", "AWS has no key %.80s, or is about to delete it", name)
}

// Create implements keys.Service. A crash between the key and its alias leaves a key that
// nothing names; its description says whose it was.
func (k *KMS) Create(ctx context.Context, name string) error {
	switch _, err := k.state(ctx, name); {
	case err == nil:
		return nil
	case !errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}):
		return err
	}
	out, err := k.api.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String(name), Tags: []types.Tag{{TagKey: aws.String("slipway"), TagValue: aws.String(name)}}})
	if err == nil {
		_, err = k.api.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: alias(name), TargetKeyId: out.KeyMetadata.KeyId})
	}
	var there *types.AlreadyExistsException
	if errors.As(err, &there) { // somebody was faster; ours goes
		_, err = k.api.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: out.KeyMetadata.KeyId, PendingWindowInDays: aws.Int32(pendingDays)})
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// inContext is the label as AWS takes it, and writes it into CloudTrail: it holds the name of
// a key space and a number.
func inContext(label []byte) map[string]string {
	return map[string]string{"slipway": base64.StdEncoding.EncodeToString(label)}
}

// Wrap implements keys.Service.
func (k *KMS) Wrap(ctx context.Context, name string, plaintext, label []byte) ([]byte, error) {
	id, err := k.state(ctx, name)
	if err != nil {
		return nil, err
	}
	out, err := k.api.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: plaintext, EncryptionContext: inContext(label)})
	if err != nil {
		return nil, unavailable(err)
	}
	return out.CiphertextBlob, nil
}

// Unwrap implements keys.Service.
func (k *KMS) Unwrap(ctx context.Context, name string, wrapped, label []byte) ([]byte, error) {
	id, err := k.state(ctx, name)
	if err != nil {
		return nil, err
	}
	sealed := &slipway.Error{Code: slipway.CodeSealed, Kind: slipway.Internal, Message: "a wrapped key does not open", Next: "bring it back from a backup"}
	if len(wrapped) == 0 {
		return nil, sealed // the API would refuse the request as such
	}
	out, err := k.api.Decrypt(ctx, &kms.DecryptInput{KeyId: id, CiphertextBlob: wrapped, EncryptionContext: inContext(label)})
	var invalid *types.InvalidCiphertextException
	var other *types.IncorrectKeyException
	if errors.As(err, &invalid) || errors.As(err, &other) {
		sealed.Cause = err
		return nil, sealed
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return out.Plaintext, nil
}

// Destroy implements keys.Service.
func (k *KMS) Destroy(ctx context.Context, names ...string) error {
	for _, name := range names {
		id, err := k.state(ctx, name)
		if errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := k.api.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: aws.Int32(pendingDays)}); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// Check implements keys.Service.
func (k *KMS) Check(ctx context.Context) error {
	if _, err := k.api.ListAliases(ctx, &kms.ListAliasesInput{Limit: aws.Int32(1)}); err != nil {
		return unavailable(err)
	}
	return nil
}

// Values reads secrets of Secrets Manager.
type Values struct{ api *secretsmanager.Client }

// OpenValues makes a Values. Nothing is asked yet.
func OpenValues(ctx context.Context, address string) (*Values, error) {
	c, err := load(ctx, address)
	if err != nil {
		return nil, err
	}
	return &Values{secretsmanager.NewFromConfig(c)}, nil
}

// Read gives the text of a secret.
func (v *Values) Read(ctx context.Context, place string) (string, error) {
	out, err := v.api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(place)})
	var missing *secrets.ResourceNotFoundException
	var invalid *secrets.InvalidRequestException
	if errors.As(err, &missing) || errors.As(err, &invalid) {
		return "", slipway.Errorf(slipway.NotFound, slipway.CodeSecret, "set it there", "AWS has no secret %.200s", place)
	}
	if err != nil {
		return "", unavailable(err)
	}
	if out.SecretString == nil || strings.TrimSpace(*out.SecretString) == "" {
		return "", slipway.Errorf(slipway.NotFound, slipway.CodeSecret, "set it there, as text", "AWS has no text in the secret %.200s", place)
	}
	return *out.SecretString, nil
}
