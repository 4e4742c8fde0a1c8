package sim

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client"
	"sampan/kind"
	"sampan/view"
)

// Faults are probabilities, per write or per second as said.
type Faults struct {
	LostRequest float64 // a write never arrives; the caller gets a timeout
	LostAnswer  float64 // a write is done; the caller gets a timeout
	Conflict    float64 // a write is refused as if someone had been faster
	Lag         float64 // a view, a write or an answer arrives seconds late rather than milliseconds
	Crash       float64 // per second and process
	NodeDeath   float64 // per second and node: its agent is gone for minutes, so its pods are given up
}

// DefaultFaults is a bad day.
func DefaultFaults() Faults {
	return Faults{LostRequest: 0.02, LostAnswer: 0.02, Conflict: 0.02, Lag: 0.05, Crash: 0.02, NodeDeath: 0.002}
}

// flaky is a client whose writes suffer from the faults while they last.
type flaky struct {
	client.Client
	s *simulation
	r stream
}

// write does one write, or not, and says what the caller gets to see.
func (f *flaky) write(id kind.ID, do func() error) error {
	if !f.s.chaos {
		return do()
	}
	switch p, x := f.s.cfg.Faults, f.r.Float64(); {
	case x < p.LostRequest:
		return apierrors.NewTimeoutError("request lost", 0)
	case x < p.LostRequest+p.LostAnswer:
		_ = do()
		return apierrors.NewTimeoutError("answer lost", 0)
	case x < p.LostRequest+p.LostAnswer+p.Conflict:
		return apierrors.NewConflict(id.GroupResource(), "", errors.New("simulated"))
	}
	return do()
}

// object is write for a call that returns an object.
func (f *flaky) object(id kind.ID, do func() (kind.Object, error)) (obj kind.Object, err error) {
	var got kind.Object
	err = f.write(id, func() error {
		var err error
		got, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

func (f *flaky) idOf(obj kind.Object) kind.ID {
	if k := f.s.kinds.Of(obj); k != nil {
		return k.ID
	}
	return ""
}

func (f *flaky) Create(ctx context.Context, obj kind.Object, o metav1.CreateOptions) (kind.Object, error) {
	return f.object(f.idOf(obj), func() (kind.Object, error) { return f.Client.Create(ctx, obj, o) })
}

func (f *flaky) Update(ctx context.Context, obj kind.Object, sub string, o metav1.UpdateOptions) (kind.Object, error) {
	return f.object(f.idOf(obj), func() (kind.Object, error) { return f.Client.Update(ctx, obj, sub, o) })
}

func (f *flaky) Patch(ctx context.Context, k view.Key, pt types.PatchType, data []byte, sub string, o metav1.PatchOptions) (kind.Object, error) {
	return f.object(k.Kind, func() (kind.Object, error) { return f.Client.Patch(ctx, k, pt, data, sub, o) })
}

func (f *flaky) Delete(ctx context.Context, k view.Key, o metav1.DeleteOptions) (kind.Object, error) {
	return f.object(k.Kind, func() (kind.Object, error) { return f.Client.Delete(ctx, k, o) })
}

func (f *flaky) Bind(ctx context.Context, pod view.Key, uid types.UID, node string) error {
	return f.write(pod.Kind, func() error { return f.Client.Bind(ctx, pod, uid, node) })
}

func (f *flaky) Evict(ctx context.Context, pod view.Key, o metav1.DeleteOptions) error {
	return f.write(pod.Kind, func() error { return f.Client.Evict(ctx, pod, o) })
}
