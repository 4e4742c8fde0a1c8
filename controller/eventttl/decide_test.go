package eventttl

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan/plantest"
	"sampan/view"
)

func TestEventGoesAnHourAfterItWasLastSeen(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	e := &corev1.Event{
		ObjectMeta:    metav1.ObjectMeta{Namespace: "default", Name: "web.1", UID: "uid", CreationTimestamp: metav1.NewTime(start)},
		LastTimestamp: metav1.NewTime(start.Add(10 * time.Minute)),
	}
	key := view.KeyOf(kind.Events, e)
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{
		{20 * time.Minute, "wake in 50m0s\n"},
		{70 * time.Minute, "delete events/default/web.1\n"},
		{5 * time.Hour, "delete events/default/web.1\n"},
	} {
		now := start.Add(tt.after)
		p, _ := New().Decide(plantest.New(now, e).Snapshot(), key, now, nil)
		if got := plantest.Text(p, now); got != tt.want {
			t.Errorf("after %v: %q, want %q", tt.after, got, tt.want)
		}
		plantest.Check(t, New(), key, now, e)
	}
}
