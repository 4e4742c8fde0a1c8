package cluster

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sampan/apiserver/auth/satoken"
	"sampan/store/memory"
)

func TestClockIsWatchedUntilTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	set, err := watchClock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-set:
		t.Error("the clock was set, or the end of the watch is taken for that")
	default:
	}
}

// A server whose clock is years ahead, or behind, for a while serves with a certificate that is valid as soon as its
// clock is right, and the administrator's kubeconfig of before is good again.
func TestServerSurvivesAClockThatIsWrongForAWhile(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, wrong := range map[string]time.Duration{
		"eight months ahead": 250 * 24 * time.Hour, "three years ahead": 3 * 365 * 24 * time.Hour, "twelve years ahead": 12 * 365 * 24 * time.Hour,
		"fifty years behind": -50 * 365 * 24 * time.Hour,
	} {
		for _, firstStart := range []bool{false, true} {
			if firstStart && wrong > 0 {
				continue // an authority that is not valid yet cannot be told from a clock that is behind
			}
			st := memory.New()
			s, log := settingsOf(t), slog.New(slog.DiscardHandler)
			before := new(identities)
			begin := now
			if firstStart {
				begin = now.Add(wrong)
			}
			if err := before.prepare(t.Context(), s, st, log, begin); err != nil {
				t.Fatal(err)
			}
			held := before.admin.Pair()
			i := new(identities)
			if err := i.prepare(t.Context(), s, st, log, now.Add(wrong)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var trusted *x509.CertPool
			if err := i.refresh(t.Context(), now, func(pool *x509.CertPool, _ *satoken.Keys) { trusted = pool }); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			good := func(what string, certPEM []byte, use x509.ExtKeyUsage, roots *x509.CertPool) {
				t.Helper()
				block, _ := pem.Decode(certPEM)
				cert, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
					t.Errorf("%s, first start then %v: %s: %v", name, firstStart, what, err)
				}
			}
			bundle, err := os.ReadFile(filepath.Join(s.pkiDir(), "ca.crt"))
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(bundle)
			if trusted == nil {
				trusted = i.current.Load().pool
			}
			good("the server's certificate", i.serving.Pair().CertPEM, x509.ExtKeyUsageServerAuth, roots)
			good("the administrator's certificate", i.admin.Pair().CertPEM, x509.ExtKeyUsageClientAuth, trusted)
			if !firstStart {
				good("the administrator's certificate of before", held.CertPEM, x509.ExtKeyUsageClientAuth, trusted)
			}
			st.Close()
		}
	}
}
