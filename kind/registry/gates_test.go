package registry_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/registry"
)

// makers is where each kind that is a pod or makes pods has the pod's spec.
func makers() map[kind.ID]string {
	const inTemplate = `{spec: {template: {spec: %}}}`
	return map[kind.ID]string{
		kind.Pods: `{spec: %}`, kind.PodTemplates: `{template: {spec: %}}`, kind.ReplicationControllers: inTemplate,
		kind.Deployments: inTemplate, kind.ReplicaSets: inTemplate, kind.StatefulSets: inTemplate, kind.DaemonSets: inTemplate,
		kind.Jobs: inTemplate, kind.CronJobs: `{spec: {jobTemplate: {spec: {template: {spec: %}}}}}`,
	}
}

// gated is a field of a feature that Kubernetes v1.37 has off by default: a change that sets it, and what is left when
// it is dropped.
type gated struct{ feature, with, without string }

func gatedInPods() []gated {
	const (
		volumes = `{volumes: [{name: v, %}]}`
		sources = `{volumes: [{name: v, projected: {sources: [{%}]}}]}`
		c       = `{containers: [{name: c, image: i, %}]}`
	)
	in := func(outer, feature, with, without string) gated {
		return gated{feature, strings.Replace(outer, "%", with, 1), strings.Replace(outer, "%", without, 1)}
	}
	return []gated{
		in(volumes, "AtomicWriteVolumeUserFields", `secret: {secretName: s, defaultUser: 1, items: [{key: k, path: p, user: 2}]}`, `secret: {secretName: s, items: [{key: k, path: p}]}`),
		in(volumes, "AtomicWriteVolumeUserFields", `configMap: {name: m, defaultUser: 1, items: [{key: k, path: p, user: 2}]}`, `configMap: {name: m, items: [{key: k, path: p}]}`),
		in(volumes, "AtomicWriteVolumeUserFields", `downwardAPI: {defaultUser: 1, items: [{path: p, user: 2, fieldRef: {fieldPath: metadata.name}}]}`, `downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.name}}]}`),
		in(volumes, "AtomicWriteVolumeUserFields", `projected: {defaultUser: 1, sources: []}`, `projected: {sources: []}`),
		in(sources, "AtomicWriteVolumeUserFields", `secret: {name: s, items: [{key: k, path: p, user: 2}]}`, `secret: {name: s, items: [{key: k, path: p}]}`),
		in(sources, "AtomicWriteVolumeUserFields", `configMap: {name: m, items: [{key: k, path: p, user: 2}]}`, `configMap: {name: m, items: [{key: k, path: p}]}`),
		in(sources, "AtomicWriteVolumeUserFields", `downwardAPI: {items: [{path: p, user: 2, fieldRef: {fieldPath: metadata.name}}]}`, `downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.name}}]}`),
		{"AtomicWriteVolumeUserFields", `{serviceAccountName: s, volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t, user: 2}}]}}]}`,
			`{serviceAccountName: s, volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}`},
		in(sources, "AtomicWriteVolumeUserFields", `clusterTrustBundle: {name: b, path: t, user: 2}`, `clusterTrustBundle: {name: b, path: t}`),
		in(sources, "AtomicWriteVolumeUserFields", `podCertificate: {signerName: example.com/a, keyType: ED25519, credentialBundlePath: t, user: 2}`, `podCertificate: {signerName: example.com/a, keyType: ED25519, credentialBundlePath: t}`),
		in(volumes, "EmptyDirVolumeMode", `emptyDir: {mode: 488, medium: Memory}`, `emptyDir: {medium: Memory}`),
		{"VolumeBindMountOptions", `{volumes: [{name: v}], containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v, bindMountOptions: [noexec]}]}]}`,
			`{volumes: [{name: v}], containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}]}`},
		in(c, "H2CContainerProbe", `livenessProbe: {httpGet: {port: 80, protocol: HTTP2}}`, `livenessProbe: {httpGet: {port: 80}}`),
		in(c, "H2CContainerProbe", `readinessProbe: {httpGet: {port: 80, protocol: HTTP2}}`, `readinessProbe: {httpGet: {port: 80}}`),
		in(c, "H2CContainerProbe", `startupProbe: {httpGet: {port: 80, protocol: HTTP1}}`, `startupProbe: {httpGet: {port: 80}}`),
		in(c, "H2CContainerProbe", `lifecycle: {preStop: {httpGet: {port: 80, protocol: HTTP1}}}`, `lifecycle: {preStop: {httpGet: {port: 80}}}`),
		in(c, "GRPCContainerProbeTLS", `livenessProbe: {grpc: {port: 80, mode: TLS}}`, `livenessProbe: {grpc: {port: 80}}`),
		{"GRPCContainerProbeTLS", `{initContainers: [{name: s, image: i, restartPolicy: Always, startupProbe: {grpc: {port: 80, mode: TLS}}}]}`,
			`{initContainers: [{name: s, image: i, restartPolicy: Always, startupProbe: {grpc: {port: 80}}}]}`},
		{"ContainerStopSignals", `{os: {name: linux}, containers: [{name: c, image: i, lifecycle: {stopSignal: SIGQUIT}}]}`,
			`{os: {name: linux}, containers: [{name: c, image: i}]}`},
		{"ContainerStopSignals", `{os: {name: linux}, containers: [{name: c, image: i, lifecycle: {stopSignal: SIGQUIT, preStop: {sleep: {seconds: 1}}}}]}`,
			`{os: {name: linux}, containers: [{name: c, image: i, lifecycle: {preStop: {sleep: {seconds: 1}}}}]}`},
		{"GenericWorkload", `{schedulingGroup: {podGroupName: g}}`, `{}`},
		{"EvictionRequestAPI", `{evictionResponders: [{name: example.com/r, priority: 10}]}`, `{}`},
	}
}

// stored is the least object of a kind as it is stored.
func stored(k *kind.Kind) kind.Object {
	obj := kindtest.Minimal(k)
	k.Default(obj)
	k.PrepareCreate(obj)
	return obj
}

// merged applies a merge patch in YAML to an object, and the defaults.
func merged(t *testing.T, k *kind.Kind, obj kind.Object, patch string) kind.Object {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	change, err := yaml.YAMLToJSON([]byte(patch))
	if err != nil {
		t.Fatalf("%s: %v", patch, err)
	}
	if data, err = jsonpatch.MergePatch(data, change); err != nil {
		t.Fatalf("%s: %v", patch, err)
	}
	out := k.New()
	if err := yaml.UnmarshalStrict(data, out); err != nil {
		t.Fatalf("%s: %v", patch, err)
	}
	k.Default(out)
	return out
}

// TestFieldsOfFeaturesThatAreOff checks for every kind with pods and every field that it is dropped from a new object
// and from a change of an object that has not had it, and kept where it has been.
func TestFieldsOfFeaturesThatAreOff(t *testing.T) {
	for id, outer := range makers() {
		k := registry.New().ByID(id)
		for _, f := range gatedInPods() {
			t.Run(string(id)+"/"+f.feature, func(t *testing.T) {
				f.with, f.without = strings.Replace(outer, "%", f.with, 1), strings.Replace(outer, "%", f.without, 1)
				created, plain := merged(t, k, kindtest.Minimal(k), f.with), merged(t, k, kindtest.Minimal(k), f.without)
				if cmp.Equal(created, plain) {
					t.Fatal("the change sets nothing")
				}
				k.PrepareCreate(created)
				k.PrepareCreate(plain)
				if d := cmp.Diff(plain, created); d != "" {
					t.Errorf("a new object (-want +have):\n%s", d)
				}
				kindtest.Check(t, k.Validate(created))

				with, without := merged(t, k, stored(k), f.with), merged(t, k, stored(k), f.without)
				changed := with.DeepCopyObject().(kind.Object)
				k.PrepareUpdate(changed, without)
				if d := cmp.Diff(without, changed); d != "" {
					t.Errorf("a change (-want +have):\n%s", d)
				}
				kindtest.Check(t, k.ValidateUpdate(changed, without))

				kept := with.DeepCopyObject().(kind.Object)
				k.PrepareUpdate(kept, with)
				if d := cmp.Diff(with, kept); d != "" {
					t.Errorf("a change of an object that has it (-want +have):\n%s", d)
				}
				kindtest.Check(t, k.ValidateUpdate(kept, with))
			})
		}
	}
}

// TestNumbersInTolerations checks that what compares numbers is refused, but where it has been.
func TestNumbersInTolerations(t *testing.T) {
	const spec = `{tolerations: [{key: a, operator: Gt, value: "5"}]}`
	for id, outer := range makers() {
		t.Run(string(id), func(t *testing.T) {
			k := registry.New().ByID(id)
			patch := strings.Replace(outer, "%", spec, 1)
			created, plain := merged(t, k, kindtest.Minimal(k), patch), stored(k)
			with := merged(t, k, plain, patch)
			path := strings.NewReplacer("{", "", "}", "", ": ", ".", "%", "").Replace(outer) + "tolerations[0].operator"
			want := path + `: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"`

			k.PrepareCreate(created)
			kindtest.Check(t, k.Validate(created), want)
			if errs := k.ValidateUpdate(with, plain); !strings.Contains(errs.ToAggregate().Error(), want) {
				t.Errorf("a change is refused with %v, want %s", errs, want)
			}
			kindtest.Check(t, k.ValidateUpdate(with, with))

			// What may be there is checked.
			bad := merged(t, k, plain, strings.Replace(outer, "%", strings.Replace(spec, `"5"`, `"05"`, 1), 1))
			want = strings.TrimSuffix(path, "operator") + `value: Invalid value: "05": `
			if errs := k.ValidateUpdate(bad, with).ToAggregate(); errs == nil || !strings.Contains(errs.Error(), want) {
				t.Errorf("a change to a bad number is refused with %v, want %s", errs, want)
			}
		})
	}
}

// TestFieldsOfOtherKindsThatAreOff does for fields outside of pod specs what [TestFieldsOfFeaturesThatAreOff] does.
func TestFieldsOfOtherKindsThatAreOff(t *testing.T) {
	const mounts = `{status: {%: [{name: c, volumeMounts: [{name: v, mountPath: /v, volumeStatus: {image: {imageRef: "i@sha256:0"}}}]}]}}`
	for _, c := range []struct {
		id     kind.ID
		status bool // it is written through the status subresource
		gated
	}{
		{kind.Leases, false, gated{"CoordinatedLeaderElection", `{spec: {strategy: OldestEmulationVersion, preferredHolder: a}}`, `{}`}},
		{kind.Jobs, false, gated{"WorkloadWithJob", `{spec: {scheduling: {schedulingPolicy: {basic: {}}}}}`, `{}`}},
		{kind.CronJobs, false, gated{"WorkloadWithJob", `{spec: {jobTemplate: {spec: {scheduling: {schedulingPolicy: {basic: {}}}}}}}`, `{}`}},
		{kind.Nodes, false, gated{"InPlacePodVerticalScalingSchedulerPreemption", `{spec: {podPreemptionPolicy: {disableResizePreemption: [example.com/a]}}}`, `{}`}},
		{kind.PersistentVolumeClaims, true, gated{"CSIVolumeHealth", `{status: {healthStatus: {}}}`, `{}`}},
		{kind.Pods, true, gated{"CSIVolumeHealth", `{status: {volumeHealth: [{name: v}]}}`, `{}`}},
		{kind.Pods, true, gated{"DRANodeAllocatableResources", `{status: {nodeAllocatableResourceClaimStatuses: [{resourceClaimName: c}]}}`, `{}`}},
		{kind.Pods, true, gated{"ImageVolumeWithDigest", strings.Replace(mounts, "%", "containerStatuses", 1), `{status: {containerStatuses: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]}}`}},
		{kind.Pods, true, gated{"ImageVolumeWithDigest", strings.Replace(mounts, "%", "initContainerStatuses", 1), `{status: {initContainerStatuses: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]}}`}},
		{kind.Pods, true, gated{"ImageVolumeWithDigest", strings.Replace(mounts, "%", "ephemeralContainerStatuses", 1), `{status: {ephemeralContainerStatuses: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]}}`}},
	} {
		t.Run(string(c.id)+"/"+c.feature, func(t *testing.T) {
			k := registry.New().ByID(c.id)
			with, without := merged(t, k, stored(k), c.with), merged(t, k, stored(k), c.without)
			if cmp.Equal(with, without) {
				t.Fatal("the change sets nothing")
			}
			update := k.PrepareUpdate
			if c.status {
				update = k.Status.PrepareUpdate
			} else {
				created, plain := with.DeepCopyObject().(kind.Object), without.DeepCopyObject().(kind.Object)
				k.PrepareCreate(created)
				k.PrepareCreate(plain)
				if d := cmp.Diff(plain, created); d != "" {
					t.Errorf("a new object (-want +have):\n%s", d)
				}
			}
			changed, kept := with.DeepCopyObject().(kind.Object), with.DeepCopyObject().(kind.Object)
			if update(changed, without); !cmp.Equal(without, changed) {
				t.Errorf("a change (-want +have):\n%s", cmp.Diff(without, changed))
			}
			if update(kept, with); !cmp.Equal(with, kept) {
				t.Errorf("a change of an object that has it (-want +have):\n%s", cmp.Diff(with, kept))
			}
		})
	}
}
