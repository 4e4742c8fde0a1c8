package apiserver_test

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever follows comes back after a while, and is asked anew what it may: a right that was taken away must not be used
// for ever.
func TestFollowingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemory(t).Handler()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/sampan/v1/follow?follow=resource%3Dconfigmaps", nil)
		r.Header.Set("Accept", "application/vnd.kubernetes.protobuf;stream=watch")
		ended, rec := make(chan struct{}), httptest.NewRecorder()
		go func() {
			defer close(ended)
			h.ServeHTTP(rec, r)
		}()
		select {
		case <-ended:
		case <-time.After(24 * time.Hour):
			t.Fatal("the stream goes on")
		}
		if rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}
