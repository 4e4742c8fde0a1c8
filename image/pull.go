package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// PullOptions say how to pull.
type PullOptions struct {
	// Auth answers the registry's question for credentials. Nil stands for anonymous; authn.DefaultKeychain
	// has those of docker login.
	Auth     authn.Keychain
	Progress func(Progress) // or nil
}

// Pull brings an image in from a registry, over HTTPS, or plain HTTP if the registry is on this machine and
// does not answer HTTPS. Digests are verified. Pulls of the same image at the same time with the same
// credentials are one.
func (s *Store) Pull(ctx context.Context, ref string, opts PullOptions) (Info, error) {
	normalized, err := Normalize(ref)
	if err != nil {
		return Info{}, err
	}
	remoteRef, err := name.ParseReference(normalized)
	if err != nil {
		return Info{}, fmt.Errorf("invalid image name %q: %w", ref, err)
	}
	keychain := opts.Auth
	if keychain == nil {
		keychain = authn.NewMultiKeychain()
	}
	credentials, err := credentialsFor(ctx, keychain, remoteRef)
	if err != nil {
		return Info{}, fmt.Errorf("pull %s: %w", normalized, err)
	}
	key := fmt.Sprintf("%s\x00%+v", normalized, *credentials)
	// The pull lives as long as the first caller; whoever joins it and survives that one starts again.
	for {
		result, err, shared := s.pulls.Do(key, func() (any, error) {
			return s.pull(ctx, normalized, remoteRef, authn.FromConfig(*credentials), opts.Progress)
		})
		if err != nil && shared && ctx.Err() == nil && errors.Is(err, context.Canceled) {
			continue
		}
		if err != nil {
			return Info{}, fmt.Errorf("pull %s: %w", normalized, err)
		}
		return result.(Info), nil
	}
}

func credentialsFor(ctx context.Context, keychain authn.Keychain, ref name.Reference) (*authn.AuthConfig, error) {
	auth, err := authn.Resolve(ctx, keychain, ref.Context())
	if err != nil {
		return nil, fmt.Errorf("find credentials: %w", err)
	}
	return auth.Authorization()
}

func (s *Store) pull(ctx context.Context, normalized string, ref name.Reference, auth authn.Authenticator, progress func(Progress)) (Info, error) {
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithAuth(auth), remote.WithUserAgent("sampan"),
		remote.WithRetryBackoff(s.backoff),
		remote.WithPlatform(v1.Platform{OS: s.goos, Architecture: s.goarch}),
	}
	desc, err := remote.Get(ref, options...)
	if err != nil {
		return Info{}, pullError(ref, err)
	}
	img, err := desc.Image()
	if err != nil {
		if desc.MediaType.IsIndex() && !isRegistryError(err) {
			return Info{}, fmt.Errorf("there is no image for %s/%s in it: %w", s.goos, s.goarch, err)
		}
		return Info{}, pullError(ref, err)
	}
	src, err := remoteSource(normalized, img)
	if err != nil {
		return Info{}, pullError(ref, err)
	}
	repo, err := repository(normalized)
	if err != nil {
		return Info{}, err
	}
	// First by digest, which stays true when the tag moves on.
	src.refs = []string{repo + "@" + desc.Digest.String()}
	if !isDigested(normalized) {
		src.refs = append(src.refs, normalized)
	}
	info, err := s.add(ctx, src, progress)
	if err != nil {
		return Info{}, pullError(ref, err)
	}
	return info, nil
}

func remoteSource(name string, img v1.Image) (source, error) {
	src := source{name: name}
	var err error
	if src.config, err = img.RawConfigFile(); err != nil {
		return source{}, err
	}
	if src.image, err = parseConfig(src.config); err != nil {
		return source{}, err
	}
	layers, err := img.Layers()
	if err != nil {
		return source{}, err
	}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return source{}, err
		}
		size, err := l.Size()
		if err != nil {
			return source{}, err
		}
		src.layers = append(src.layers, layerSource{
			label: digest.String(), size: size,
			open: func(context.Context) (io.ReadCloser, error) { return l.Compressed() }, // verifies the digest
		})
	}
	return src, nil
}

func isRegistryError(err error) bool {
	var registry *transport.Error
	var network net.Error
	return errors.As(err, &registry) || errors.As(err, &network)
}

// pullError says in few words what is wrong, for the message beside ErrImagePull.
func pullError(ref name.Reference, err error) error {
	host := ref.Context().RegistryStr()
	var registry *transport.Error
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &registry):
		switch registry.StatusCode {
		case http.StatusNotFound:
			return ErrNotFound
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("registry %s denies access: the image does not exist there or needs (other) credentials", host)
		case http.StatusTooManyRequests:
			return fmt.Errorf("registry %s asks to pull less often (too many requests)", host)
		}
		return fmt.Errorf("registry %s answered: %w", host, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("registry %s: connection refused", host)
	case errors.As(err, &dns):
		return fmt.Errorf("registry %s: %s", host, dns.Err)
	case errors.As(err, &authority), errors.As(err, &record):
		return fmt.Errorf("registry %s: no trusted HTTPS: %w", host, err)
	}
	return err
}
