package volume

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/view"
)

// TokenIssuer asks the API server for a token of a service account. The result's status holds it.
type TokenIssuer func(ctx context.Context, serviceAccount view.Key, request *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error)

// defaultTokenSeconds is the lifetime of a token if the volume names none.
const defaultTokenSeconds = 3600

// renewAgain is how long a renewal that failed waits, while the old token still holds.
const renewAgain = 10 * time.Second

// maxTokenAge is the age at which a token is renewed however long it holds, as kubelet does.
const maxTokenAge = 24 * time.Hour

// tokens keeps the service account tokens that pods have in their volumes, until they are due for another.
type tokens struct {
	issue TokenIssuer // nil: the node cannot get tokens
	now   func() time.Time

	mu   sync.Mutex // guards have
	have map[types.UID]map[tokenID]token
}

// tokenID is which token of a pod.
type tokenID struct {
	audience string
	seconds  int64
}

type token struct {
	text    string
	expires time.Time
	renew   time.Time // when another is asked for
}

// get returns a token that holds. A renewal that fails leaves the old token in use as long as it holds.
func (t *tokens) get(ctx context.Context, pod *corev1.Pod, src *corev1.ServiceAccountTokenProjection) (string, error) {
	if t.issue == nil {
		return "", errors.New("this node has no issuer of service account tokens")
	}
	id := tokenID{audience: src.Audience, seconds: defaultTokenSeconds}
	if src.ExpirationSeconds != nil {
		id.seconds = *src.ExpirationSeconds
	}
	now := t.now()
	t.mu.Lock()
	old, ok := t.have[pod.UID][id]
	t.mu.Unlock()
	if ok && now.Before(old.renew) {
		return old.text, nil
	}
	fresh, err := t.request(ctx, pod, id, now)
	if err != nil && !ok {
		return "", fmt.Errorf("failed to fetch token: %w", err)
	}
	if err != nil {
		fresh = old
		fresh.renew = now.Add(renewAgain)
	}
	t.keep(pod.UID, id, fresh)
	if !now.Before(fresh.expires) {
		return "", fmt.Errorf("token expired and failed to fetch another: %w", err)
	}
	return fresh.text, nil
}

func (t *tokens) keep(uid types.UID, id tokenID, fresh token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.have == nil {
		t.have = map[types.UID]map[tokenID]token{}
	}
	if t.have[uid] == nil {
		t.have[uid] = map[tokenID]token{}
	}
	t.have[uid][id] = fresh
}

// request asks for a token that ends with the pod.
func (t *tokens) request(ctx context.Context, pod *corev1.Pod, id tokenID, now time.Time) (token, error) {
	tr := &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName},
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &id.seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
		},
	}
	if id.audience != "" {
		tr.Spec.Audiences = []string{id.audience}
	}
	key := view.Key{Kind: kind.ServiceAccounts, Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName}
	got, err := t.issue(ctx, key, tr)
	if err != nil {
		return token{}, err
	}
	expires := got.Status.ExpirationTimestamp.Time
	if got.Status.Token == "" || !now.Before(expires) {
		return token{}, fmt.Errorf("the answer for %s holds no token that is valid now", key)
	}
	age := expires.Sub(now) * 4 / 5
	return token{text: got.Status.Token, expires: expires, renew: now.Add(min(max(age, time.Second), maxTokenAge))}, nil
}

// next returns when the first token of a pod is due for renewal; zero if the pod has none.
func (t *tokens) next(uid types.UID) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first time.Time
	for _, have := range t.have[uid] {
		if first.IsZero() || have.renew.Before(first) {
			first = have.renew
		}
	}
	return first
}

func (t *tokens) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.have, uid)
}

// tokenOwner returns the user to whom a pod's token files belong: the one that all its containers run as, if they
// do. Then nobody else in the pod needs to read them.
func tokenOwner(pod *corev1.Pod) *int64 {
	var common *int64
	if pod.Spec.SecurityContext != nil {
		common = pod.Spec.SecurityContext.RunAsUser
	}
	var owner *int64
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			user := common
			if sc := list[i].SecurityContext; sc != nil && sc.RunAsUser != nil {
				user = sc.RunAsUser
			}
			if user == nil || owner != nil && *owner != *user {
				return nil
			}
			owner = user
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		user := common
		if sc := pod.Spec.EphemeralContainers[i].SecurityContext; sc != nil && sc.RunAsUser != nil {
			user = sc.RunAsUser
		}
		if user == nil || owner != nil && *owner != *user {
			return nil
		}
	}
	return owner
}

// tokenFile returns the file of a token source. Only the pod's own user or group may read it, if there is one.
func (t *tokens) tokenFile(ctx context.Context, pod *corev1.Pod, src *corev1.ServiceAccountTokenProjection, mode *int32) (payload, error) {
	text, err := t.get(ctx, pod, src)
	if err != nil {
		return nil, err
	}
	f := file{data: []byte(text), mode: *mode, owner: tokenOwner(pod)}
	if f.owner != nil || fsGroup(pod) != nil {
		f.mode = 0o600
	}
	return payload{src.Path: f}, nil
}
