package apiserver

import (
	"crypto/subtle"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/apiserver/auth/satoken"
	"sampan/kind"
	"sampan/view"
)

// invalidSinceLabel is on a Secret whose token counts no more, as upstream's cleaner of unused tokens marks them.
const invalidSinceLabel = "kubernetes.io/legacy-token-invalid-since"

// stampToken puts a token without an end into a Secret of type kubernetes.io/service-account-token that has none and
// says the name and UID of an account that is there. old is nil for a new Secret. Other objects are left alone.
func (s *Server) stampToken(obj, old kind.Object, snap *view.Snapshot) (stamped bool, err error) {
	secret, ok := obj.(*corev1.Secret)
	if !ok || secret.Type != corev1.SecretTypeServiceAccountToken || len(secret.Data[corev1.ServiceAccountTokenKey]) > 0 {
		return false, nil
	}
	if had, ok := old.(*corev1.Secret); ok && had.Immutable != nil && *had.Immutable {
		return false, nil
	}
	account, ok := view.Get[*corev1.ServiceAccount](snap, kind.ServiceAccounts, secret.Namespace, secret.Annotations[corev1.ServiceAccountNameKey])
	if !ok || string(account.UID) != secret.Annotations[corev1.ServiceAccountUIDKey] {
		return false, nil
	}
	token, err := s.tokens.keys().Sign(satoken.Claims{Lasting: true, Bound: satoken.Bound{
		Namespace:      secret.Namespace,
		ServiceAccount: satoken.Ref{Name: account.Name, UID: string(account.UID)},
		Secret:         &satoken.Ref{Name: secret.Name},
	}})
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[corev1.ServiceAccountTokenKey] = []byte(token)
	return true, nil
}

// stampTokenAgain replaces a token that stampToken has made, after the Secret got another name.
func (s *Server) stampTokenAgain(obj kind.Object, snap *view.Snapshot) error {
	delete(obj.(*corev1.Secret).Data, corev1.ServiceAccountTokenKey)
	_, err := s.stampToken(obj, nil, snap)
	return err
}

// inItsSecret returns an error if a token without an end is not the one in the Secret that it names.
func inItsSecret(snap *view.Snapshot, token string, b satoken.Bound) error {
	key := view.Key{Kind: kind.Secrets, Namespace: b.Namespace, Name: b.Secret.Name}
	secret, ok := view.Get[*corev1.Secret](snap, key.Kind, key.Namespace, key.Name)
	switch {
	case !ok || secret.DeletionTimestamp != nil:
		return fmt.Errorf("token has been invalidated: %s is not there", key)
	case subtle.ConstantTimeCompare(secret.Data[corev1.ServiceAccountTokenKey], []byte(token)) == 0:
		return errors.New("token does not match server's copy")
	case secret.Labels[invalidSinceLabel] != "":
		return fmt.Errorf("token has been marked invalid since %s", secret.Labels[invalidSinceLabel])
	}
	return nil
}
