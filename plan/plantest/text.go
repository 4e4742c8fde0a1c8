package plantest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"sampan/kind"
	"sampan/kind/registry"
	"sampan/plan"
	"sampan/view"
)

// Text prints a plan for people and for golden files: one line per action, then the wait, then the reasons.
func Text(p plan.Plan, now time.Time) string {
	kinds := registry.New()
	var b strings.Builder
	for _, a := range p.Actions {
		fmt.Fprintln(&b, actionText(kinds, a))
	}
	if !p.WakeAt.IsZero() {
		fmt.Fprintf(&b, "wake in %v\n", p.WakeAt.Sub(now))
	}
	for _, r := range p.Reasons {
		switch {
		case r.EventReason != "" && r.Warning:
			fmt.Fprintf(&b, "warning %s: %s\n", r.EventReason, r.Message)
		case r.EventReason != "":
			fmt.Fprintf(&b, "event %s: %s\n", r.EventReason, r.Message)
		case r.Waiting:
			fmt.Fprintf(&b, "waiting: %s\n", r.Message)
		}
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func actionText(kinds *kind.Registry, a plan.Action) string {
	name := func(obj kind.Object) string {
		return view.KeyOf(kinds.Of(obj).ID, obj).String()
	}
	switch a := a.(type) {
	case plan.Create:
		return "create " + name(a.Object) + replicasText(a.Object)
	case plan.Update:
		return "update " + name(a.Object) + replicasText(a.Object)
	case plan.UpdateStatus:
		return "status " + name(a.Object)
	case plan.Finalize:
		return "finalize " + name(a.Object)
	case plan.Delete:
		return "delete " + a.Key.String()
	case plan.Evict:
		return "evict " + a.Pod.String()
	case plan.Bind:
		return "bind " + a.Pod.String() + " to " + a.Node
	}
	return fmt.Sprintf("%T", a)
}

// replicasText says how many replicas an object asks for, if it does.
func replicasText(obj kind.Object) string {
	spec := reflect.ValueOf(obj).Elem().FieldByName("Spec")
	if !spec.IsValid() || spec.Kind() != reflect.Struct {
		return ""
	}
	f := spec.FieldByName("Replicas")
	if !f.IsValid() {
		return ""
	}
	if n, ok := f.Interface().(*int32); ok && n != nil {
		return fmt.Sprintf(" replicas=%d", *n)
	}
	return ""
}
