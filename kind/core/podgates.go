package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// GatePods returns t with what the features of pods that Kubernetes v1.37 has off by default mean for a kind that is a
// pod or makes pods. Their fields are dropped, and their values refused, unless the object had them before: nobody
// must lose a field to a change of something else. spec may return nil; path is where it is.
func GatePods[T kind.Object](t kind.Typed[T], path *field.Path, spec func(obj T) *corev1.PodSpec) kind.Typed[T] {
	create, update, validate, validateUpdate := t.PrepareCreate, t.PrepareUpdate, t.Validate, t.ValidateUpdate
	t.PrepareCreate = func(obj T) {
		dropGated(spec(obj), nil)
		if create != nil {
			create(obj)
		}
	}
	t.PrepareUpdate = func(obj, old T) {
		dropGated(spec(obj), spec(old))
		if update != nil {
			update(obj, old)
		}
	}
	t.Validate = func(obj T) field.ErrorList {
		return append(validate(obj), validateGated(spec(obj), nil, path)...)
	}
	t.ValidateUpdate = func(obj, old T) field.ErrorList {
		return append(validateUpdate(obj, old), validateGated(spec(obj), spec(old), path)...)
	}
	return t
}

// gate visits the fields of one feature.
type gate struct {
	drop bool // clear them; else they are only read
	used bool // one of them is set
}

func visit[T any](g *gate, field **T) {
	if *field == nil {
		return
	}
	g.used = true
	if g.drop {
		*field = nil
	}
}

func visitList[T any](g *gate, field *[]T) {
	if len(*field) == 0 {
		return
	}
	g.used = true
	if g.drop {
		*field = nil
	}
}

// dropGated drops the fields of features that are off and that old does not use. old is nil for a new object.
func dropGated(spec, old *corev1.PodSpec) {
	if spec == nil {
		return
	}
	dropUnused(spec, old, volumeUsers, emptyDirModes, bindMountOptions, probeProtocols, probeModes, stopSignals,
		schedulingGroup, evictionResponders)
}

// dropGatedStatus is dropGated for what a node's agent reports.
func dropGatedStatus(status, old *corev1.PodStatus) {
	dropUnused(status, old, imageVolumes, nodeResourceClaims, volumeHealth)
}

// dropUnused drops the fields of each feature that obj uses and old, which may be nil, does not.
func dropUnused[T any](obj, old *T, features ...func(*gate, *T)) {
	uses := func(feature func(*gate, *T), obj *T) bool {
		var g gate
		feature(&g, obj)
		return g.used
	}
	for _, feature := range features {
		if uses(feature, obj) && (old == nil || !uses(feature, old)) {
			feature(&gate{drop: true}, obj)
		}
	}
}

// volumeUsers are the fields of AtomicWriteVolumeUserFields (KEP-5936).
func volumeUsers(g *gate, spec *corev1.PodSpec) {
	items := func(list []corev1.KeyToPath) {
		for i := range list {
			visit(g, &list[i].User)
		}
	}
	files := func(list []corev1.DownwardAPIVolumeFile) {
		for i := range list {
			visit(g, &list[i].User)
		}
	}
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if s := v.Secret; s != nil {
			visit(g, &s.DefaultUser)
			items(s.Items)
		}
		if s := v.ConfigMap; s != nil {
			visit(g, &s.DefaultUser)
			items(s.Items)
		}
		if s := v.DownwardAPI; s != nil {
			visit(g, &s.DefaultUser)
			files(s.Items)
		}
		if v.Projected == nil {
			continue
		}
		visit(g, &v.Projected.DefaultUser)
		for j := range v.Projected.Sources {
			p := &v.Projected.Sources[j]
			if s := p.Secret; s != nil {
				items(s.Items)
			}
			if s := p.ConfigMap; s != nil {
				items(s.Items)
			}
			if s := p.DownwardAPI; s != nil {
				files(s.Items)
			}
			if s := p.ServiceAccountToken; s != nil {
				visit(g, &s.User)
			}
			if s := p.ClusterTrustBundle; s != nil {
				visit(g, &s.User)
			}
			if s := p.PodCertificate; s != nil {
				visit(g, &s.User)
			}
		}
	}
}

// emptyDirModes is the field of EmptyDirVolumeMode (KEP-5502).
func emptyDirModes(g *gate, spec *corev1.PodSpec) {
	for i := range spec.Volumes {
		if s := spec.Volumes[i].EmptyDir; s != nil {
			visit(g, &s.Mode)
		}
	}
}

// bindMountOptions is the field of VolumeBindMountOptions (KEP-5855).
func bindMountOptions(g *gate, spec *corev1.PodSpec) {
	eachContainer(spec, nil, func(c *corev1.Container, _ containerAt) {
		for i := range c.VolumeMounts {
			visitList(g, &c.VolumeMounts[i].BindMountOptions)
		}
	})
}

// probeProtocols is the field of H2CContainerProbe (KEP-5999).
func probeProtocols(g *gate, spec *corev1.PodSpec) {
	eachContainer(spec, nil, func(c *corev1.Container, _ containerAt) {
		for _, p := range probesOf(c) {
			if p != nil && p.HTTPGet != nil {
				visit(g, &p.HTTPGet.Protocol)
			}
		}
		if c.Lifecycle == nil {
			return
		}
		for _, h := range [...]*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil && h.HTTPGet != nil {
				visit(g, &h.HTTPGet.Protocol)
			}
		}
	})
}

func probesOf(c *corev1.Container) [3]*corev1.Probe {
	return [...]*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe}
}

// probeModes is the field of GRPCContainerProbeTLS (KEP-4939).
func probeModes(g *gate, spec *corev1.PodSpec) {
	eachContainer(spec, nil, func(c *corev1.Container, _ containerAt) {
		for _, p := range probesOf(c) {
			if p != nil && p.GRPC != nil {
				visit(g, &p.GRPC.Mode)
			}
		}
	})
}

// stopSignals is the field of ContainerStopSignals (KEP-4960). A lifecycle that says nothing else goes with it.
func stopSignals(g *gate, spec *corev1.PodSpec) {
	eachContainer(spec, nil, func(c *corev1.Container, _ containerAt) {
		if c.Lifecycle == nil || c.Lifecycle.StopSignal == nil {
			return
		}
		visit(g, &c.Lifecycle.StopSignal)
		if *c.Lifecycle == (corev1.Lifecycle{}) {
			c.Lifecycle = nil
		}
	})
}

// schedulingGroup is the field of GenericWorkload (KEP-4671).
func schedulingGroup(g *gate, spec *corev1.PodSpec) { visit(g, &spec.SchedulingGroup) }

// evictionResponders is the field of EvictionRequestAPI (KEP-4563).
func evictionResponders(g *gate, spec *corev1.PodSpec) { visitList(g, &spec.EvictionResponders) }

// imageVolumes is the field of ImageVolumeWithDigest (KEP-5365).
func imageVolumes(g *gate, status *corev1.PodStatus) {
	for _, list := range [...][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range list {
			for j := range list[i].VolumeMounts {
				visit(g, &list[i].VolumeMounts[j].VolumeStatus)
			}
		}
	}
}

// nodeResourceClaims is the field of DRANodeAllocatableResources (KEP-5517).
func nodeResourceClaims(g *gate, status *corev1.PodStatus) {
	visitList(g, &status.NodeAllocatableResourceClaimStatuses)
}

// volumeHealth is the field of CSIVolumeHealth (KEP-1432).
func volumeHealth(g *gate, status *corev1.PodStatus) { visitList(g, &status.VolumeHealth) }

// validateGated checks tolerations that compare numbers, which are of TaintTolerationComparisonOperators (KEP-5471). There
// may be some where old has some.
func validateGated(spec, old *corev1.PodSpec, path *field.Path) field.ErrorList {
	switch p := path.Child("tolerations"); {
	case spec == nil:
		return nil
	case comparing(old):
		return validateComparing(spec.Tolerations, p)
	default:
		return refuseComparing(spec.Tolerations, p)
	}
}

func validateComparing(list []corev1.Toleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		t := &list[i]
		if !compares(t.Operator) {
			continue
		}
		p := path.Index(i).Child("value")
		errs = append(errs, invalids(p, t.Value, content.IsDecimalInteger(t.Value))...)
		if _, err := strconv.ParseInt(t.Value, 10, 64); err != nil {
			errs = append(errs, field.Invalid(p, t.Value, err.Error()))
		}
	}
	return errs
}

// refuseComparing names the operators that it refuses as upstream does: among those that are good.
func refuseComparing(list []corev1.Toleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		if op := list[i].Operator; compares(op) {
			errs = append(errs, field.NotSupported(path.Index(i).Child("operator"), op,
				[]corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt}))
		}
	}
	return errs
}

func comparing(spec *corev1.PodSpec) bool {
	if spec == nil {
		return false
	}
	for i := range spec.Tolerations {
		if compares(spec.Tolerations[i].Operator) {
			return true
		}
	}
	return false
}

func compares(op corev1.TolerationOperator) bool {
	return op == corev1.TolerationOpLt || op == corev1.TolerationOpGt
}
