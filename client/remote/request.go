package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/view"
)

// requestTimeout bounds a request whose context has no end; the server gives up a little earlier.
const requestTimeout = 65 * time.Second

// Get reads the newest state of an object from the server.
func (c *Client) Get(ctx context.Context, key view.Key) (kind.Object, error) {
	return c.object(ctx, http.MethodGet, key, "", nil, body{})
}

// Create creates an object.
func (c *Client) Create(ctx context.Context, obj kind.Object, opts metav1.CreateOptions) (kind.Object, error) {
	k, key, err := c.of(obj)
	if err != nil {
		return nil, err
	}
	content, err := objectBody(k.GVK, obj)
	if err != nil {
		return nil, err
	}
	key.Name = ""
	return c.object(ctx, http.MethodPost, key, "", options(opts.DryRun, opts.FieldManager, opts.FieldValidation), content)
}

// Update replaces an object, or its status, or a namespace's finalizers (subresource "finalize"). A
// resourceVersion in obj makes it conditional.
func (c *Client) Update(ctx context.Context, obj kind.Object, subresource string, opts metav1.UpdateOptions) (kind.Object, error) {
	k, key, err := c.of(obj)
	if err != nil {
		return nil, err
	}
	content, err := objectBody(k.GVK, obj)
	if err != nil {
		return nil, err
	}
	return c.object(ctx, http.MethodPut, key, subresource, options(opts.DryRun, opts.FieldManager, opts.FieldValidation), content)
}

// Patch applies a patch to an object or its subresource. The result is the object itself, also for scale.
func (c *Client) Patch(ctx context.Context, key view.Key, pt types.PatchType, data []byte, subresource string, opts metav1.PatchOptions) (kind.Object, error) {
	query := options(opts.DryRun, opts.FieldManager, opts.FieldValidation)
	if opts.Force != nil {
		query.Set("force", fmt.Sprint(*opts.Force))
	}
	content := body{media: string(pt), data: data}
	if subresource != "scale" {
		return c.object(ctx, http.MethodPatch, key, subresource, query, content)
	}
	if _, err := c.do(ctx, http.MethodPatch, key, subresource, query, content); err != nil {
		return nil, err
	}
	return c.Get(ctx, key) // the answer was a Scale
}

// Delete starts or finishes the deletion of an object. The result is its last state, or its state while it waits
// for its grace period or finalizers.
func (c *Client) Delete(ctx context.Context, key view.Key, opts metav1.DeleteOptions) (kind.Object, error) {
	content, err := jsonBody(&opts)
	if err != nil {
		return nil, err
	}
	return c.object(ctx, http.MethodDelete, key, "", nil, content)
}

// Bind assigns a pod to a node. A uid that is not empty must be the pod's.
func (c *Client) Bind(ctx context.Context, pod view.Key, uid types.UID, node string) error {
	content, err := jsonBody(&corev1.Binding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Binding"},
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: uid},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPost, pod, "binding", nil, content)
	return err
}

// Evict deletes a pod as far as disruption budgets allow.
func (c *Client) Evict(ctx context.Context, pod view.Key, opts metav1.DeleteOptions) error {
	content, err := jsonBody(&policyv1.Eviction{
		TypeMeta:      metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"},
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &opts,
	})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPost, pod, "eviction", nil, content)
	return err
}

// Token returns the request with its status: the token and when it expires.
func (c *Client) Token(ctx context.Context, serviceAccount view.Key, request *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	sent := request.DeepCopy()
	sent.TypeMeta = metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"}
	content, err := jsonBody(sent)
	if err != nil {
		return nil, err
	}
	a, err := c.do(ctx, http.MethodPost, serviceAccount, "token", nil, content)
	if err != nil {
		return nil, err
	}
	answer := new(authenticationv1.TokenRequest)
	return answer, a.into(answer)
}

// of returns the kind and key of an object.
func (c *Client) of(obj kind.Object) (*kind.Kind, view.Key, error) {
	k := c.cfg.Kinds.Of(obj)
	if k == nil {
		return nil, view.Key{}, apierrors.NewBadRequest(fmt.Sprintf("no kind is registered for the type %T", obj))
	}
	return k, view.KeyOf(k.ID, obj), nil
}

func options(dryRun []string, fieldManager, fieldValidation string) url.Values {
	query := make(url.Values)
	if len(dryRun) > 0 {
		query["dryRun"] = dryRun
	}
	if fieldManager != "" {
		query.Set("fieldManager", fieldManager)
	}
	if fieldValidation != "" {
		query.Set("fieldValidation", fieldValidation)
	}
	return query
}

// path returns where an object, or a collection if the name is empty, is served.
func path(k *kind.Kind, key view.Key, subresource string) string {
	parts := []string{"", "apis", k.GVK.Group, k.GVK.Version}
	if k.GVK.Group == "" {
		parts = []string{"", "api", k.GVK.Version}
	}
	if k.Namespaced {
		parts = append(parts, "namespaces", url.PathEscape(key.Namespace))
	}
	parts = append(parts, k.GroupResource().Resource)
	if key.Name != "" {
		parts = append(parts, url.PathEscape(key.Name))
	}
	if subresource != "" {
		parts = append(parts, subresource)
	}
	return strings.Join(parts, "/")
}

// object sends a request that is answered with an object of the kind.
func (c *Client) object(ctx context.Context, method string, key view.Key, subresource string, query url.Values, content body) (kind.Object, error) {
	a, err := c.do(ctx, method, key, subresource, query, content)
	if err != nil {
		return nil, err
	}
	k := c.cfg.Kinds.ByID(key.Kind)
	obj := k.New()
	if err := a.into(obj); err != nil {
		return nil, fmt.Errorf("answer to %s %s: %w", method, key, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GVK)
	return obj, nil
}

// do sends a request about an object and returns the answer, or the server's error.
func (c *Client) do(ctx context.Context, method string, key view.Key, subresource string, query url.Values, content body) (*answer, error) {
	k := c.cfg.Kinds.ByID(key.Kind)
	if k == nil {
		return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "", key.Kind.GroupResource(), "", "", 0, true)
	}
	if key.Name == "" && method != http.MethodPost {
		return nil, apierrors.NewBadRequest("the object has no name")
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	req, err := c.request(ctx, method, path(k, key, subresource), query.Encode(), content)
	if err != nil {
		return nil, err
	}
	if method == http.MethodDelete {
		req.Header.Set("Prefer", "return=representation") // RFC 7240: the object, not a Status
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, key, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", method, key, err)
	}
	a := &answer{media: resp.Header.Get("Content-Type"), data: data}
	if resp.StatusCode/100 != 2 {
		return nil, a.asError(resp, method, key)
	}
	return a, nil
}

func (c *Client) request(ctx context.Context, method, path, query string, content body) (*http.Request, error) {
	target := *c.base
	target.RawPath = c.base.EscapedPath() + path
	var err error
	if target.Path, err = url.PathUnescape(target.RawPath); err != nil {
		return nil, err
	}
	target.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(content.data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", mediaProto+", "+mediaJSON)
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if content.media != "" {
		req.Header.Set("Content-Type", content.media)
	}
	if c.cfg.Token != nil {
		token, err := c.cfg.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("token for the API server: %w", err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	return req, nil
}

// asError returns the server's error.
func (a *answer) asError(resp *http.Response, method string, key view.Key) error {
	status := new(metav1.Status)
	if err := a.into(status); err == nil && status.Status == metav1.StatusFailure {
		return &apierrors.StatusError{ErrStatus: *status}
	}
	// Something between us and the server answered.
	text := a.data[:min(len(a.data), 512)]
	return apierrors.NewGenericServerResponse(resp.StatusCode, strings.ToLower(method), key.Kind.GroupResource(), key.Name, string(text), 0, true)
}

// jsonBody is for small messages, whose encoding does not matter.
func jsonBody(v any) (body, error) {
	data, err := json.Marshal(v)
	return body{media: mediaJSON, data: data}, err
}
