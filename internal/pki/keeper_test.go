package pki_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"sampan/internal/pki"
)

func TestCertificatesAreRenewedBeforeTheyEndWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ca, err := pki.EnsureCA(dir, "ca", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		serving, err := ca.Keep(dir, "serving", pki.Request{CommonName: "s", DNSNames: []string{"s"}, Server: true}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		admin, err := ca.Keep(dir, "admin", pki.Request{CommonName: "a", Client: true}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca.Certificate)
		first, _ := serving.GetCertificate(nil)

		ctx, cancel := context.WithCancel(t.Context())
		told := map[*pki.Keeper]int{}
		ended := make(chan error)
		go func() {
			ended <- pki.KeepFresh(ctx, slog.New(slog.DiscardHandler), func(k *pki.Keeper) error { told[k]++; return nil }, serving, admin)
		}()
		// Nine of the ten years of the authority: what is served is good every week, and is what the disk has.
		for range 9 * 52 {
			time.Sleep(7 * 24 * time.Hour)
			synctest.Wait()
			cert, err := serving.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "s", CurrentTime: time.Now()}); err != nil {
				t.Fatalf("at %s: %v", time.Now(), err)
			}
			if left := time.Until(cert.Leaf.NotAfter); left < 100*24*time.Hour {
				t.Fatalf("only %s are left", left)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		again, err := ca.Ensure(dir, "serving", pki.Request{CommonName: "s", DNSNames: []string{"s"}, Server: true}, time.Now())
		if err != nil || string(again.CertPEM) != string(serving.Pair().CertPEM) {
			t.Errorf("the disk has another certificate than is served: %v", err)
		}
		last, _ := serving.GetCertificate(nil)
		if last.Leaf.Equal(first.Leaf) || told[serving] < 10 || told[serving] > 20 || told[admin] != told[serving] {
			t.Errorf("renewed %d and %d times", told[serving], told[admin])
		}
	})
}
