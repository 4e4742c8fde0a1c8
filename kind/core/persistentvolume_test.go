package core_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const volume = `{spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /d}}}`

func TestPersistentVolumeRules(t *testing.T) {
	checkRules(t, core.PersistentVolume(), volume, []rule{
		{"good", `{}`, nil},
		{"no modes", `{spec: {accessModes: null}}`, []string{`spec.accessModes: Required value`}},
		{"unknown mode", `{spec: {accessModes: [Write]}}`, []string{`spec.accessModes: Unsupported value: "Write": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`}},
		{"mode for one pod among others", `{spec: {accessModes: [ReadWriteOncePod, ReadOnlyMany]}}`, []string{`spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes`}},
		{"no size", `{spec: {capacity: null}}`, []string{`spec.capacity: Required value`, `spec.capacity: Unsupported value: null: supported values: "storage"`}},
		{"other sizes", `{spec: {capacity: {cpu: 1}}}`, []string{`spec.capacity: Unsupported value: {"cpu":"1","storage":"1Gi"}: supported values: "storage"`}},
		{"size below nothing", `{spec: {capacity: {storage: -1}}}`, []string{`spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity`, `spec.capacity[storage]: Invalid value: "-1": must be greater than zero`}},
		{"reclaim policy", `{spec: {persistentVolumeReclaimPolicy: Burn}}`, []string{`spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Recycle", "Retain"`}},
		{"recycled root", `{spec: {persistentVolumeReclaimPolicy: Recycle, hostPath: {path: /./}}}`, []string{`spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'`}},
		{"affinity to nothing", `{spec: {nodeAffinity: {}}}`, []string{`spec.nodeAffinity.required: Required value: must specify required node constraints`}},
		{"affinity without terms", `{spec: {nodeAffinity: {required: {nodeSelectorTerms: []}}}}`, []string{`spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term`}},
		{"class", `{spec: {storageClassName: A}}`, []string{`spec.storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"volume mode", `{spec: {volumeMode: Tape}}`, []string{`spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"`}},
		{"attributes class", `{spec: {hostPath: null, csi: {driver: d, volumeHandle: h}, volumeAttributesClassName: fast}}`, nil},
		{"attributes class without driver", `{spec: {volumeAttributesClassName: ""}}`, []string{`spec.volumeAttributesClassName: Required value: an empty string is disallowed`,
			`spec.csi: Required value: has to be specified when using volumeAttributesClassName`}},
		{"attributes class name", `{spec: {hostPath: null, csi: {driver: d, volumeHandle: h}, volumeAttributesClassName: A}}`, []string{`spec.volumeAttributesClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"mount options", `{metadata: {annotations: {volume.beta.kubernetes.io/mount-options: ro}}}`, []string{`metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for this volume type`}},
		{"mount options of NFS", `{metadata: {annotations: {volume.beta.kubernetes.io/mount-options: ro}}, spec: {hostPath: null, nfs: {server: s, path: /}}}`, nil},
		{"no source", `{spec: {hostPath: null}}`, []string{`spec: Required value: must specify a volume type`}},
		{"two sources", `{spec: {nfs: {server: s, path: /}}}`, []string{`spec.nfs: Forbidden: may not specify more than 1 volume type`}},
	})
}

func TestPersistentVolumeSources(t *testing.T) {
	long := `portal-of-the-array-in-the-second-rack-of-the-room-at-the-end-of-the-hall`
	var rules []rule
	for _, r := range []struct {
		name, source string
		want         []string
	}{
		{"host path", `hostPath: {path: ../d}`, []string{`spec.hostPath.path: Invalid value: "../d": must not contain '..'`}},
		{"Google", `gcePersistentDisk: {partition: 256}`, []string{`spec.persistentDisk.pdName: Required value`, `spec.persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive`}},
		{"Amazon", `awsElasticBlockStore: {partition: -1}`, []string{`spec.awsElasticBlockStore.volumeID: Required value`, `spec.awsElasticBlockStore.partition: Invalid value: -1: must be between 1 and 255, inclusive`}},
		{"glusterfs", `glusterfs: {endpointsNamespace: ""}`, []string{`spec.glusterfs.endpoints: Required value`, `spec.glusterfs.path: Required value`,
			`spec.glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace is set, it must be a valid namespace name`}},
		{"glusterfs elsewhere", `glusterfs: {endpoints: e, path: p, endpointsNamespace: A}`, []string{`spec.glusterfs.endpointsNamespace: Invalid value: "A": a lowercase RFC 1123 label must consist of`}},
		{"flocker", `flocker: {}`, []string{`spec.flocker: Required value: one of datasetName and datasetUUID is required`}},
		{"nfs", `nfs: {path: p}`, []string{`spec.nfs.server: Required value`, `spec.nfs.path: Invalid value: "p": must be an absolute path`}},
		{"rbd", `rbd: {}`, []string{`spec.rbd.monitors: Required value`, `spec.rbd.image: Required value`}},
		{"quobyte", `quobyte: {}`, []string{`spec.quobyte.registry: Required value: must be a host:port pair or multiple pairs separated by commas`, `spec.quobyte.volume: Required value`}},
		{"cephfs", `cephfs: {}`, []string{`spec.cephfs.monitors: Required value`}},
		{"iscsi", `iscsi: {targetPortal: ` + long + `, iqn: q, initiatorName: iqn.x, lun: 256, chapAuthSession: true}`, []string{`spec.iscsi.iqn: Invalid value: "q": must be valid format`,
			`spec.iscsi.initiatorname: Invalid value: "iqn.x": must be valid format`, `spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive`, `spec.iscsi.secretRef: Required value`,
			`spec.iscsi.targetportal: Invalid value: "` + long + `": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.`}},
		{"iscsi's secret", `iscsi: {targetPortal: p, iqn: "iqn.2015-02.example.com:test", secretRef: {}}`, []string{`spec.iscsi.secretRef.name: Required value`}},
		{"cinder", `cinder: {secretRef: {}}`, []string{`spec.cinder.volumeID: Required value`, `spec.cinder.secretRef.name: Required value`, `spec.cinder.secretRef.namespace: Required value`}},
		{"fibre channel", `fc: {}`, []string{`spec.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both`}},
		{"flex volume", `flexVolume: {options: {x.kubernetes.io/a: b}}`, []string{`spec.flexVolume.driver: Required value`, `spec.flexVolume.options[x.kubernetes.io/a]: Invalid value: "x.kubernetes.io/a": kubernetes.io and k8s.io namespaces are reserved`}},
		{"Azure's file", `azureFile: {secretNamespace: ""}`, []string{`spec.azureFile.secretName: Required value`, `spec.azureFile.shareName: Required value`, `spec.azureFile.secretNamespace: Required value`}},
		{"Azure's disk", `azureDisk: {kind: Odd, cachingMode: Odd, diskURI: x}`, []string{`spec.azureDisk.diskName: Required value`, `spec.azureDisk.cachingMode: Unsupported value: "Odd": supported values: "None", "ReadOnly", "ReadWrite"`,
			`spec.azureDisk.kind: Unsupported value: "Odd": supported values: "Dedicated", "Managed", "Shared"`, `spec.azureDisk.diskURI: Unsupported value: "x"`}},
		{"vSphere", `vsphereVolume: {}`, []string{`spec.vsphereVolume.volumePath: Required value`}},
		{"Photon", `photonPersistentDisk: {}`, []string{`spec.photonPersistentDisk.pdID: Required value`}},
		{"Portworx", `portworxVolume: {}`, []string{`spec.portworxVolume.volumeID: Required value`}},
		{"ScaleIO", `scaleIO: {}`, []string{`spec.scaleIO.gateway: Required value`, `spec.scaleIO.system: Required value`, `spec.scaleIO.volumeName: Required value`}},
		{"local", `local: {}`, []string{`spec.local.path: Required value`, `spec.nodeAffinity: Required value: Local volume requires node affinity`}},
		{"local, outside", `local: {path: ../d}, nodeAffinity: {required: {nodeSelectorTerms: [{}]}}`, []string{`spec.local.path: Invalid value: "../d": must not contain '..'`}},
		{"StorageOS", `storageos: {volumeNamespace: A, secretRef: {}}`, []string{`spec.storageos.volumeName: Required value`, `spec.storageos.volumeNamespace: Invalid value: "A": a lowercase RFC 1123 label must consist of`,
			`spec.storageos.secretRef.name: Required value`, `spec.storageos.secretRef.namespace: Required value`}},
		{"driver", `csi: {}`, []string{`spec.csi.driver: Required value`, `spec.csi.volumeHandle: Required value`}},
		{"driver's secrets", `csi: {driver: d, volumeHandle: h, controllerPublishSecretRef: {}, controllerExpandSecretRef: {name: A, namespace: ns}, nodePublishSecretRef: {name: a, namespace: A}, nodeExpandSecretRef: {name: a}}`, []string{
			`spec.csi.controllerPublishSecretRef.name: Required value`, `spec.csi.controllerPublishSecretRef.namespace: Required value`,
			`spec.csi.controllerExpandSecretRef.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`,
			`spec.csi.nodePublishSecretRef.namespace: Invalid value: "A": a lowercase RFC 1123 label must consist of`, `spec.csi.nodeExpandSecretRef.namespace: Required value`}},
	} {
		rules = append(rules, rule{r.name, `{spec: {` + r.source + `}}`, r.want})
	}
	checkRules(t, core.PersistentVolume(), `{spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}}}`, rules)
}

func TestPersistentVolumeUpdateRules(t *testing.T) {
	const there = `nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: `
	checkUpdateRules(t, core.PersistentVolume(), `{spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, csi: {driver: d, volumeHandle: h}, volumeAttributesClassName: a, `+there+`beta.kubernetes.io/os, operator: Exists}]}]}}}}`, `{}`, []rule{
		{"same", `{}`, nil},
		{"claimed", `{spec: {claimRef: {namespace: ns, name: c}}}`, nil},
		{"size and modes", `{spec: {capacity: {storage: 2Gi}, accessModes: [ReadOnlyMany]}}`, nil},
		{"source", `{spec: {csi: {volumeHandle: i}}}`, []string{`spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation`}},
		{"secret for growing", `{spec: {csi: {controllerExpandSecretRef: {name: s, namespace: ns}}}}`, nil},
		{"mode", `{spec: {volumeMode: Block}}`, []string{`volumeMode: Invalid value: "Block": field is immutable`}},
		{"newer label", `{spec: {` + there + `kubernetes.io/os, operator: Exists}]}]}}}}`, nil},
		{"other label", `{spec: {` + there + `kubernetes.io/arch, operator: Exists}]}]}}}}`, []string{`nodeAffinity: Invalid value: {"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/arch","operator":"Exists"}]}]}}: field is immutable, except for updating from beta label to GA`}},
		{"no label", `{spec: {nodeAffinity: null}}`, []string{`nodeAffinity: Invalid value: null: field is immutable, except for updating from beta label to GA`}},
		{"attributes", `{spec: {volumeAttributesClassName: b}}`, nil},
		{"no attributes", `{spec: {volumeAttributesClassName: null}}`, []string{`spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden`}},
	})
	checkUpdateRules(t, core.PersistentVolume(), volume, `{}`, []rule{
		{"affinity", `{spec: {` + there + `a, operator: Exists}]}]}}}}`, nil},
		{"host path", `{spec: {hostPath: {path: /e}}}`, []string{`spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation`}},
	})
}

func TestPersistentVolumeDefaults(t *testing.T) {
	v := kindtest.Created(t, core.PersistentVolume(), volume, `{status: {phase: Bound}}`).(*corev1.PersistentVolume)
	if v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain || *v.Spec.VolumeMode != corev1.PersistentVolumeFilesystem {
		t.Errorf("%+v", v.Spec)
	}
	if v.Status.Phase != corev1.VolumePending || !v.Status.LastPhaseTransitionTime.Equal(&v.CreationTimestamp) {
		t.Errorf("%+v", v.Status)
	}
	v = kindtest.Created(t, core.PersistentVolume(), `{spec: {rbd: {}, iscsi: {}, azureDisk: {}, scaleIO: {}}}`).(*corev1.PersistentVolume)
	if s := v.Spec; s.RBD.Keyring != "/etc/ceph/keyring" || s.RBD.RBDPool != "rbd" || s.RBD.RadosUser != "admin" || s.ISCSI.ISCSIInterface != "default" ||
		*s.AzureDisk.Kind != corev1.AzureSharedBlobDisk || s.ScaleIO.FSType != "xfs" || s.ScaleIO.StorageMode != "ThinProvisioned" {
		t.Errorf("%+v", s)
	}
}

func TestPersistentVolumeWarnings(t *testing.T) {
	v := kindtest.Parse(t, core.PersistentVolume(), `{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: a}}, spec: {persistentVolumeReclaimPolicy: Recycle,
		nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: beta.kubernetes.io/os, operator: Exists}]}]}}, glusterfs: {}, rbd: {}}}`)
	want := []string{
		`metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead`,
		`spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.`,
		`spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead`,
		`spec.glusterfs: deprecated in v1.25, non-functional in v1.26+`,
		`spec.rbd: deprecated in v1.28, non-functional in v1.31+`,
	}
	if got := core.PersistentVolume().Warnings(v); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestPersistentVolumeTable(t *testing.T) {
	bound := kindtest.Parse(t, core.PersistentVolume(), `{spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Delete, claimRef: {namespace: ns, name: c}, storageClassName: fast}, status: {phase: Bound, reason: why}}`)
	going := kindtest.Parse(t, core.PersistentVolume(), `{metadata: {name: b, deletionTimestamp: "2026-05-01T11:59:00Z", annotations: {volume.beta.kubernetes.io/storage-class: old}}, spec: {volumeMode: Block, volumeAttributesClassName: gold}, status: {phase: Released}}`)
	const want = "NAME   CAPACITY   ACCESS MODES   RECLAIM POLICY   STATUS        CLAIM   STORAGECLASS   VOLUMEATTRIBUTESCLASS   REASON   AGE   [VOLUMEMODE]\n" +
		"a      1Gi        RWO            Delete           Bound         ns/c    fast           <unset>                 why      5m    <unset>\n" +
		"b      0                                          Terminating           old            gold                             5m    Block\n"
	if d := cmp.Diff(want, kindtest.Table(t, core.PersistentVolume(), bound, going)); d != "" {
		t.Error(d)
	}
}
