package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/kind"
	"sampan/view"
)

// imageError is a failure to have an image, with the reason that a container's status shows.
type imageError struct{ reason, message string }

// ensureImage makes a container's image present as its pull policy says. message is for the event "Pulled".
func (w *worker) ensureImage(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (*runtimeapi.Image, string, *imageError) {
	ref, err := name.ParseReference(c.Image)
	if err != nil {
		return nil, "", &imageError{"InvalidImageName", fmt.Sprintf(
			"Failed to apply default image tag %q: couldn't parse image name %q: invalid reference format", c.Image, c.Image)}
	}
	spec := &runtimeapi.ImageSpec{Image: c.Image, UserSpecifiedImage: c.Image}
	policy := c.ImagePullPolicy
	if policy != corev1.PullAlways {
		image, err := w.inspect(ctx, spec)
		switch {
		case err != nil:
			return nil, "", err
		case image != nil:
			return image, fmt.Sprintf("Container image %q already present on machine", c.Image), nil
		case policy == corev1.PullNever:
			return nil, "", &imageError{"ErrImageNeverPull", fmt.Sprintf(
				"Container image %q is not present with pull policy of Never", c.Image)}
		}
	}
	w.record(fieldPath(pod, c.Name), false, "Pulling", fmt.Sprintf("Pulling image %q", c.Image))
	began := w.a.cfg.Now()
	if err := w.pull(pod, spec, ref); err != nil {
		return nil, "", err
	}
	took := w.a.cfg.Now().Sub(began).Round(1_000_000)
	image, failed := w.inspect(ctx, spec)
	if failed != nil {
		return nil, "", failed
	}
	if image == nil {
		return nil, "", &imageError{"ErrImagePull", fmt.Sprintf("image %q is not there after it was pulled", c.Image)}
	}
	return image, fmt.Sprintf("Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.",
		c.Image, took, took, image.Size), nil
}

func (w *worker) inspect(ctx context.Context, spec *runtimeapi.ImageSpec) (*runtimeapi.Image, *imageError) {
	resp, err := w.a.cfg.Images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil {
		return nil, &imageError{"ImageInspectError", fmt.Sprintf("Failed to inspect image %q: %s", spec.Image, text(err))}
	}
	return resp.Image, nil
}

// pull pulls an image, once for all pods that ask for it at the same time with the same credentials.
func (w *worker) pull(pod *corev1.Pod, spec *runtimeapi.ImageSpec, ref name.Reference) *imageError {
	auths := w.credentials(pod, ref)
	key := spec.Image
	for _, auth := range auths {
		key += "\n" + auth.Username + "\n" + auth.Password + "\n" + auth.Auth + "\n" + auth.IdentityToken
	}
	_, err, _ := w.a.pulls.Do(key, func() (any, error) {
		if len(auths) == 0 {
			auths = []*runtimeapi.AuthConfig{nil}
		}
		var err error
		for _, auth := range auths {
			_, err = w.a.cfg.Images.PullImage(w.life, &runtimeapi.PullImageRequest{Image: spec, Auth: auth})
			if err == nil {
				return nil, nil
			}
		}
		return nil, err
	})
	if err != nil {
		return &imageError{"ErrImagePull", text(err)}
	}
	return nil
}

// credentials returns what the pod's image pull secrets say of the image's registry.
func (w *worker) credentials(pod *corev1.Pod, ref name.Reference) []*runtimeapi.AuthConfig {
	var out []*runtimeapi.AuthConfig
	registry := ref.Context().RegistryStr()
	for _, s := range pod.Spec.ImagePullSecrets {
		secret, ok := view.Get[*corev1.Secret](w.a.cfg.Client.Snapshot(), kind.Secrets, pod.Namespace, s.Name)
		if !ok {
			continue
		}
		for host, auth := range dockerAuths(secret) {
			if host == registry || host == ref.Context().Name() {
				out = append(out, auth)
			}
		}
	}
	return out
}

// dockerAuths reads the credentials of a secret of type kubernetes.io/dockerconfigjson or dockercfg, by registry.
func dockerAuths(secret *corev1.Secret) map[string]*runtimeapi.AuthConfig {
	type entry struct{ Username, Password, Auth, IdentityToken string }
	var cfg struct{ Auths map[string]entry }
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		if json.Unmarshal(secret.Data[corev1.DockerConfigJsonKey], &cfg) != nil {
			return nil
		}
	case corev1.SecretTypeDockercfg:
		if json.Unmarshal(secret.Data[corev1.DockerConfigKey], &cfg.Auths) != nil {
			return nil
		}
	}
	out := map[string]*runtimeapi.AuthConfig{}
	for host, e := range cfg.Auths {
		if e.Username == "" && e.Auth != "" {
			if plain, err := base64.StdEncoding.DecodeString(e.Auth); err == nil {
				e.Username, e.Password, _ = strings.Cut(string(plain), ":")
			}
		}
		host = strings.TrimPrefix(strings.TrimPrefix(host, "https://"), "http://")
		host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(host, "/"), "/v1"), "/v2")
		if host == "docker.io" || host == "registry-1.docker.io" {
			host = name.DefaultRegistry
		}
		out[host] = &runtimeapi.AuthConfig{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken}
	}
	return out
}
