package apiserver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/store"
)

// storeError makes an error of the store one for the user.
func storeError(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return apierrors.NewServiceUnavailable(err.Error())
	}
	if errors.Is(err, store.ErrTooLarge) {
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	}
	return apierrors.NewInternalError(err)
}

// storeRetry is how long follow waits before it asks a store again that could not be reached.
const storeRetry = time.Second

// awaitStore says that the store cannot be reached, and waits a moment. It returns false when ctx has ended.
func awaitStore(ctx context.Context, log *slog.Logger, err error) bool {
	log.Warn("the API server's cache is behind; reads go on", "error", err)
	retry := time.NewTimer(storeRetry)
	defer retry.Stop()
	select {
	case <-retry.C:
		return true
	case <-ctx.Done():
		return false
	}
}
