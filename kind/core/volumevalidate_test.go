package core_test

import (
	"strings"
	"testing"
)

func TestVolumes(t *testing.T) {
	const at = `spec.volumes[0]`
	refusePods(t, []podCase{
		{inSpec(`volumes: [{name: v}, {name: v}]`), wants(`spec.`, `volumes[1].name: Duplicate value: "v"`)},
		{inSpec(`volumes: [{emptyDir: {}}]`), wants(at, `.name: Required value`)},
		{inSpec(`volumes: [{name: A}]`), wants(at, `.name: Invalid value: "A": `+notLabel)},
		{inVolume(`emptyDir: {}, configMap: {name: x}, secret: {}`), wants(at, `.configMap: Forbidden: may not specify more than 1 volume type`, `.secret: Forbidden: may not specify more than 1 volume type`)},
		{inVolume(`emptyDir: {sizeLimit: -1}`), wants(at, `.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity`)},
		{inVolume(`hostPath: {}`), wants(at, `.hostPath.path: Required value`)},
		{inVolume(`hostPath: {path: /a/../b, type: Pipe}`), wants(at, `.hostPath.path: Invalid value: "/a/../b": must not contain '..'`, `.hostPath.type: Unsupported value: "Pipe": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"`)},
		{inVolume(`secret: {}`), wants(at, `.secret.secretName: Required value`)},
		{inVolume(`secret: {secretName: s, defaultMode: 1000}`), wants(at, `.secret.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive`)},
		{inVolume(`secret: {secretName: s, items: [{}, {key: k, path: ../p, mode: -1}, {key: k, path: ..p}, {key: k, path: /p}, {key: k, path: a/..}]}`), wants(at+`.secret.items`,
			`[0].key: Required value`, `[0].path: Required value`, `[1].path: Invalid value: "../p": must not contain '..'`, `[1].mode: Invalid value: -1: must be a number between`,
			`[2].path: Invalid value: "..p": must not start with '..'`, `[3].path: Invalid value: "/p": must be a relative path`, `[4].path: Invalid value: "a/..": must not contain '..'`)},
		{inVolume(`configMap: {defaultMode: 1000, items: [{path: p}]}`), wants(at, `.configMap.name: Required value`, `.configMap.defaultMode: Invalid value: 1000`, `.configMap.items[0].key: Required value`)},
		{inVolume(`nfs: {}`), wants(at, `.nfs.server: Required value`, `.nfs.path: Required value`, `.nfs.path: Invalid value: "": must be an absolute path`)},
		{inVolume(`persistentVolumeClaim: {claimName: ""}`), wants(at, `.persistentVolumeClaim.claimName: Required value`)},
		{inVolume(`image: {pullPolicy: Often}`), wants(at, `.image.reference: Required value`, `.image.pullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"`)},
		{inVolume(`csi: {driver: ""}`), wants(at, `.csi.driver: Required value`)},
		{inVolume(`csi: {driver: Disk.Example.com, nodePublishSecretRef: {}}`), wants(at, `.csi.nodePublishSecretRef.name: Required value`)},
		{inVolume(`csi: {driver: a_b, nodePublishSecretRef: {name: A}}`), wants(at, `.csi.driver: Invalid value: "a_b": `+notSubdomain, `.csi.name: Invalid value: "A": `+notSubdomain)},
		{inVolume(`csi: {driver: ` + strings.Repeat("a", 64) + `}`), wants(at, `.csi.driver: Too long: may not be more than 63 bytes`)},
	})
	refuseUsed(t, []podCase{
		{inVolume(`emptyDir: {mode: 1024}`), wants(at, `.emptyDir.mode: Invalid value: 1024: must be a number between 0 and 01777 (octal), both inclusive`)},
		{inVolume(`secret: {secretName: s, defaultUser: -1, items: [{key: k, path: p, user: -1}]}`), wants(at+`.secret.`, `defaultUser: Invalid value: -1: must be between 0 and 2147483647, inclusive`, `items[0].user: Invalid value: -1`)},
		{inVolume(`configMap: {name: m, defaultUser: -1, items: [{key: k, path: p, user: -1}]}`), wants(at+`.configMap.`, `defaultUser: Invalid value: -1`, `items[0].user: Invalid value: -1`)},
		{inVolume(`downwardAPI: {defaultUser: -1, items: [{path: d, fieldRef: {fieldPath: metadata.name}, user: -1}]}`), wants(at+`.downwardAPI.`, `defaultUser: Invalid value: -1`, `user: Invalid value: -1`)},
		{inVolume(`projected: {defaultUser: -1, sources: []}`), wants(at+`.projected.`, `defaultUser: Invalid value: -1`)},
		{inSpec(`serviceAccountName: s, volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t, user: -1}}]}}]`), wants(at+`.projected.`, `sources[0].serviceAccountToken.user: Invalid value: -1`)},
	})
}

func TestEphemeralVolumes(t *testing.T) {
	const claim = `spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`
	template := func(name, fields string) string {
		return inSpec(`volumes: [{name: ` + name + `, ephemeral: {volumeClaimTemplate: {` + fields + `}}}]`)
	}
	const at = `spec.volumes[0]`
	refusePods(t, []podCase{
		{template(`v`, `metadata: {labels: {a: b}}, `+claim), nil},
		{inVolume(`ephemeral: {}`), wants(at, `.ephemeral.volumeClaimTemplate: Required value`)},
		{template(`v`, `metadata: {labels: {"a b": c}, name: x, finalizers: [a/b]}, `+claim), wants(at+`.ephemeral.volumeClaimTemplate.metadata.`, `labels: Invalid value: "a b": name part must consist of`, `name: Forbidden: cannot be set`, `finalizers: Forbidden: cannot be set`)},
		{template(`v`, `spec: {}`), wants(at+`.ephemeral.volumeClaimTemplate.spec.`, `accessModes: Required value: at least 1 access mode is required`, `resources[storage]: Required value`)},
		{`{metadata: {name: ` + strings.Repeat("a", 250) + `}, spec: {volumes: [{name: vvvv, ephemeral: {volumeClaimTemplate: {` + claim + `}}}]}}`, wants(at, `.name: Invalid value: "vvvv": PVC name "aaaa`)},
		{inSpec(`volumes: [{name: v, ephemeral: {volumeClaimTemplate: {` + claim + `}}}, {name: w, persistentVolumeClaim: {claimName: a-v}}]`), wants(`spec.`, `volumes[1].persistentVolumeClaim.claimName: Invalid value: "a-v": must not reference a PVC that gets created for an ephemeral volume`)},
	})
}

func TestDownwardAPIVolumes(t *testing.T) {
	file := func(fields string) string { return inVolume(`downwardAPI: {items: [{` + fields + `}]}`) }
	const at = `spec.volumes[0].downwardAPI`
	refusePods(t, []podCase{
		{file(`path: a, fieldRef: {fieldPath: "metadata.labels['x']"}`), nil},
		{file(`fieldRef: {fieldPath: metadata.labels}`), wants(at, `.path: Required value`)},
		{file(`path: ../b, fieldRef: {fieldPath: spec.nodeName}`), wants(at, `.path: Invalid value: "../b": must not contain '..'`, `.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"`)},
		{file(`path: c`), wants(at, `: Required value: one of fieldRef and resourceFieldRef is required`)},
		{file(`path: d, resourceFieldRef: {resource: limits.cpu}`), wants(at, `.resourceFieldRef.containerName: Required value`)},
		{file(`path: d, fieldRef: {fieldPath: metadata.name}, resourceFieldRef: {containerName: c, resource: limits.cpu}`), wants(at, `: Invalid value: "resource": fieldRef and resourceFieldRef can not be specified simultaneously`)},
		{file(`path: d, fieldRef: {fieldPath: metadata.name}, mode: 512`), wants(at, `.mode: Invalid value: 512: must be a number between 0 and 0777`)},
		{inVolume(`downwardAPI: {defaultMode: 512}`), wants(at, `.defaultMode: Invalid value: 512`)},
	})
}

func TestProjectedVolumes(t *testing.T) {
	source := func(fields string) string {
		return inSpec(`serviceAccountName: s, volumes: [{name: v, projected: {sources: [{` + fields + `}]}}]`)
	}
	const at = `spec.volumes[0].projected`
	const first = at + `.sources[0].`
	refusePods(t, []podCase{
		{inVolume(`projected: {defaultMode: 512}`), wants(at, `.defaultMode: Invalid value: 512`)},
		{source(`secret: {items: [{key: k}]}`), wants(first, `secret.name: Required value`, `secret.items[0].path: Required value`)},
		{source(`configMap: {items: [{path: p}]}`), wants(first, `configMap.name: Required value`, `configMap.items[0].key: Required value`)},
		{source(`secret: {name: s}, configMap: {name: m}`), wants(at, `.sources[0]: Forbidden: may not specify more than 1 volume type per source`)},
		{source(`secret: {name: s, items: [{key: k, path: p}]}}, {configMap: {name: m, items: [{key: k, path: p}]}}, {downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.name}}]}`),
			wants(at, `: Invalid value: "m": conflicting duplicate paths`, `: Invalid value: "p": conflicting duplicate paths`)},
		{source(`downwardAPI: {items: [{path: p}]}`), wants(first, `downwardAPI: Required value: one of fieldRef and resourceFieldRef is required`)},
		{source(`serviceAccountToken: {path: t, expirationSeconds: 5}`), wants(first, `serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes`)},
		{source(`serviceAccountToken: {path: t, expirationSeconds: 4294967297}`), wants(first, `serviceAccountToken.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds`)},
		{source(`serviceAccountToken: {path: ""}`), wants(at, `.path: Required value`)},
		{source(`serviceAccountToken: {path: ..t}`), wants(at, `.path: Invalid value: "..t": must not start with '..'`)},
		{inVolume(`projected: {sources: [{serviceAccountToken: {path: t}}]}`), wants(first, `serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set`)},
		{source(`clusterTrustBundle: {name: example.com:signer:a, path: p}`), nil},
		{source(`clusterTrustBundle: {path: p}`), wants(first, `clusterTrustBundle: Required value: either name or signerName must be specified`)},
		{source(`clusterTrustBundle: {name: a, signerName: a.b/c, path: p}`), wants(first, `clusterTrustBundle: Invalid value: {"name":"a","signerName":"a.b/c","path":"p"}: only one of name and signerName may be used`)},
		{source(`clusterTrustBundle: {name: "", labelSelector: {}}`), wants(first+`clusterTrustBundle.`, `name: Required value: must be a valid object name`, `name: Invalid value: "": not a valid clustertrustbundlename: `+notSubdomain, `labelSelector: Invalid value: {}: labelSelector must be unset if name is specified`, `path: Required value`)},
		{source(`clusterTrustBundle: {signerName: "", labelSelector: {matchLabels: {"a b": c}}, path: /p}`), wants(first+`clusterTrustBundle.`, `signerName: Required value: must be a valid signer name`, `signerName: Required value`, `labelSelector.matchLabels: Invalid value: "a b"`, `path: Invalid value: "/p": must be a relative path`)},
		{source(`podCertificate: {signerName: a.b/c, keyType: ED25519, credentialBundlePath: p, userAnnotations: {a.b/c: d}}`), nil},
		{source(`podCertificate: {signerName: a, keyType: RSA1024}`), wants(first+`podCertificate`, `.signerName: Invalid value: "a": must be a fully qualified domain and path of the form 'example.com/signer-name'`,
			`.keyType: Unsupported value: "RSA1024": supported values: "RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"`, `: Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath`)},
		{source(`podCertificate: {signerName: a/c_d, keyType: ED25519, keyPath: p, certificateChainPath: p, maxExpirationSeconds: 60}`), wants(at,
			`.sources[0].podCertificate.signerName: Invalid value: "a": should be a domain with at least two segments separated by dots`, `.sources[0].podCertificate.signerName: Invalid value: "c_d": validating label "c_d": `+notSubdomain,
			`.sources[0].podCertificate.maxExpirationSeconds: Invalid value: 60: if provided, maxExpirationSeconds must be >= 3600`, `: Invalid value: "p": conflicting duplicate paths`)},
		{source(`podCertificate: {signerName: A.b/c, keyType: ED25519, keyPath: p, maxExpirationSeconds: 7862401}`), wants(first+`podCertificate.`, `signerName: Invalid value: "A.b": validating label "A": `+notLabel, `maxExpirationSeconds: Invalid value: 7862401: if provided, maxExpirationSeconds must be <= 7862400`)},
		{source(`podCertificate: {signerName: x.kubernetes.io/c, keyType: ED25519, keyPath: p, maxExpirationSeconds: 86401}`), wants(first+`podCertificate.`, `maxExpirationSeconds: Invalid value: 86401: if provided, maxExpirationSeconds must be <= 86400`)},
		{source(`podCertificate: {signerName: kubernetes.io/c, keyType: ED25519, keyPath: ../p, maxExpirationSeconds: 86401}`), wants(first+`podCertificate.`, `keyPath: Invalid value: "../p": must not contain '..'`, `maxExpirationSeconds: Invalid value: 86401: if provided, maxExpirationSeconds must be <= 86400`)},
	})
}

func TestVolumesOfOldDrivers(t *testing.T) {
	const at = `spec.volumes[0].`
	need := func(source string, fields ...string) podCase {
		return podCase{inVolume(source + `: {}`), wants(at+source+`.`, each(`: Required value`, fields...)...)}
	}
	iscsi := func(fields string) string {
		return inVolume(`iscsi: {targetPortal: "10.0.0.1:3260", lun: 0, ` + fields + `}`)
	}
	const iqn = `iqn: "iqn.2001-04.com.example:disk"`
	refusePods(t, []podCase{
		need(`gitRepo`, `repository`),
		{inVolume(`gitRepo: {repository: r, directory: ../x}`), wants(at, `gitRepo.directory: Invalid value: "../x": must not contain '..'`)},
		{inVolume(`gcePersistentDisk: {pdName: "", partition: 256}`), wants(at, `persistentDisk.pdName: Required value`, `persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive`)},
		{inVolume(`awsElasticBlockStore: {volumeID: "", partition: -1}`), wants(at, `awsElasticBlockStore.volumeID: Required value`, `awsElasticBlockStore.partition: Invalid value: -1: must be between 1 and 255, inclusive`)},
		need(`glusterfs`, `endpoints`, `path`),
		need(`rbd`, `monitors`, `image`),
		need(`cephfs`, `monitors`),
		need(`cinder`, `volumeID`),
		{inVolume(`cinder: {volumeID: v, secretRef: {}}`), wants(at, `cinder.secretRef.name: Required value`)},
		need(`azureFile`, `secretName`, `shareName`),
		need(`vsphereVolume`, `volumePath`),
		need(`photonPersistentDisk`, `pdID`),
		need(`portworxVolume`, `volumeID`),
		need(`scaleIO`, `gateway`, `system`, `volumeName`),
		need(`storageos`, `volumeName`),
		{inVolume(`storageos: {volumeName: A, volumeNamespace: B, secretRef: {}}`), wants(at+`storageos.`, `volumeName: Invalid value: "A": `+notLabel, `volumeNamespace: Invalid value: "B": `+notLabel, `secretRef.name: Required value`)},
		{inVolume(`flocker: {}`), wants(at, `flocker: Required value: one of datasetName and datasetUUID is required`)},
		{inVolume(`flocker: {datasetName: a/b, datasetUUID: c}`), wants(at, `flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously`, `flocker.datasetName: Invalid value: "a/b": must not contain '/'`)},
		{inVolume(`quobyte: {}`), wants(at, `quobyte.registry: Required value: must be a host:port pair or multiple pairs separated by commas`, `quobyte.volume: Required value`)},
		{inVolume(`quobyte: {registry: "a:1,b", volume: v}`), wants(at, `quobyte.registry: Invalid value: "a:1,b": must be a host:port pair or multiple pairs separated by commas`)},
		{inVolume(`quobyte: {registry: "a:1", volume: v, tenant: ` + strings.Repeat("a", 65) + `}`), wants(at, `quobyte.tenant: Required value: must be a UUID and may not exceed a length of 64 characters`)},
		{inVolume(`fc: {}`), wants(at, `fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both`)},
		{inVolume(`fc: {targetWWNs: [a], wwids: [b], lun: 1}`), wants(at, `fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously`)},
		{inVolume(`fc: {targetWWNs: [a]}`), wants(at, `fc.lun: Required value: lun is required if targetWWNs is specified`)},
		{inVolume(`fc: {targetWWNs: [a], lun: 256}`), wants(at, `fc.lun: Invalid value: 256: must be between 0 and 255, inclusive`)},
		{inVolume(`flexVolume: {driver: "", options: {a.k8s.io/x: a, kubernetes.io/z: a, example.com/w: a}}`), wants(at+`flexVolume`, `.driver: Required value`,
			`.options[a.k8s.io/x]: Invalid value: "a.k8s.io/x": kubernetes.io and k8s.io namespaces are reserved`, `.options[kubernetes.io/z]: Invalid value: "kubernetes.io/z"`)},
		{inVolume(`azureDisk: {diskName: "", diskURI: "", kind: Shared}`), wants(at+`azureDisk.`, `diskName: Required value`, `diskURI: Required value`, `diskURI: Unsupported value: "": supported values: "https://{account-name}`)},
		{inVolume(`azureDisk: {diskName: d, diskURI: /d, cachingMode: All, kind: Managed}`), wants(at+`azureDisk.`, `cachingMode: Unsupported value: "All": supported values: "None", "ReadOnly", "ReadWrite"`, `diskURI: Unsupported value: "/d": supported values: "/subscriptions/{sub-id}`)},
		{inVolume(`azureDisk: {diskName: d, diskURI: "https://d", kind: Hired}`), wants(at, `azureDisk.kind: Unsupported value: "Hired": supported values: "Dedicated", "Managed", "Shared"`)},
		{iscsi(iqn), nil},
		{inVolume(`iscsi: {targetPortal: "", iqn: "", lun: 256}`), wants(at+`iscsi.`, `targetPortal: Required value`, `iqn: Required value`, `lun: Invalid value: 256: must be between 0 and 255, inclusive`)},
		{iscsi(`iqn: abc`), wants(at, `iscsi.iqn: Invalid value: "abc": must be valid format starting with iqn, eui, or naa`)},
		{iscsi(`iqn: iqn.x`), wants(at, `iscsi.iqn: Invalid value: "iqn.x": must be valid format`)},
		{iscsi(`iqn: eui.x`), wants(at, `iscsi.iqn: Invalid value: "eui.x": must be valid format`)},
		{iscsi(`iqn: naa.x`), wants(at, `iscsi.iqn: Invalid value: "naa.x": must be valid format`)},
		{iscsi(iqn + `, chapAuthSession: true`), wants(at, `iscsi.secretRef: Required value`)},
		{iscsi(iqn + `, initiatorName: x`), wants(at, `iscsi.initiatorname: Invalid value: "x": must be valid format starting with`)},
		{inVolume(`iscsi: {targetPortal: ` + strings.Repeat("a", 63) + `, lun: 0, ` + iqn + `, initiatorName: eui.0123456789abcdef}`), wants(at, `name: Invalid value: "v": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.`)},
	})
}

func TestMounts(t *testing.T) {
	mounts := func(list string) string {
		return inSpec(`volumes: [{name: v}, {name: w}, {name: img, image: {reference: i}}], containers: [{name: c, image: i, volumeMounts: [` + list + `]}]`)
	}
	const at = `spec.containers[0].volumeMounts`
	refusePods(t, []podCase{
		{mounts(`{name: v, mountPath: /v, subPath: a/b}`), nil},
		{mounts(`{mountPath: /v}`), wants(at, `[0].name: Required value`, `[0].name: Not found: ""`)},
		{mounts(`{name: x, mountPath: /v}`), wants(at, `[0].name: Not found: "x"`)},
		{mounts(`{name: v}`), wants(at, `[0].mountPath: Required value`)},
		{mounts(`{name: v, mountPath: /v}, {name: w, mountPath: /v}`), wants(at, `[1].mountPath: Invalid value: "/v": must be unique`)},
		{mounts(`{name: v, mountPath: /v, subPath: ../x}`), wants(at, `.subPath: Invalid value: "../x": must not contain '..'`)},
		{mounts(`{name: v, mountPath: /v, subPath: /x, subPathExpr: /y}`), wants(at, `.subPath: Invalid value: "/x": must be a relative path`, `[0].subPathExpr: Invalid value: "/y": subPathExpr and subPath are mutually exclusive`, `.subPathExpr: Invalid value: "/y": must be a relative path`)},
		{mounts(`{name: v, mountPath: /v, mountPropagation: Both}`), wants(at, `.mountPropagation: Unsupported value: "Both": supported values: "Bidirectional", "HostToContainer", "None"`)},
		{mounts(`{name: v, mountPath: /v, mountPropagation: Bidirectional}`), wants(at, `.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers`)},
		{mounts(`{name: v, mountPath: /v, recursiveReadOnly: Enabled}`), wants(at, `.recursiveReadOnly: Forbidden: may only be specified when readOnly is true`)},
		{mounts(`{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: IfPossible, mountPropagation: HostToContainer}`), wants(at, `.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified`)},
		{mounts(`{name: v, mountPath: /v, recursiveReadOnly: Perhaps}`), wants(at, `.recursiveReadOnly: Unsupported value: "Perhaps": supported values: "Disabled", "Enabled", "IfPossible"`)},
	})
	refuseUsed(t, []podCase{
		{mounts(`{name: v, mountPath: /v, bindMountOptions: [noexec, noexec, sync]}`), wants(at, `[0].bindMountOptions[1]: Duplicate value: "noexec"`, `[0].bindMountOptions[2]: Unsupported value: "sync": supported values: "nodev", "noexec", "nosuid"`)},
		{mounts(`{name: img, mountPath: /v, bindMountOptions: [nodev]}`), wants(at, `[0].bindMountOptions: Invalid value: ["nodev"]: bindMountOptions may not be used with image volumes`)},
	})
}

func TestVolumeDevices(t *testing.T) {
	devices := func(list, mounts string) string {
		return inSpec(`volumes: [{name: v, persistentVolumeClaim: {claimName: p}}, {name: w}], containers: [{name: c, image: i, volumeDevices: [` + list + `], volumeMounts: [` + mounts + `]}]`)
	}
	const at = `spec.containers[0].volumeDevices`
	refusePods(t, []podCase{
		{devices(`{name: v, devicePath: /dev/x}`, `{name: w, mountPath: /w}`), nil},
		{devices(`{name: "", devicePath: ""}`, ``), wants(at, `[0].name: Required value`, `[0].name: Not found: ""`, `[0].devicePath: Required value`)},
		{devices(`{name: x, devicePath: /dev/x}`, ``), wants(at, `[0].name: Not found: "x"`)},
		{devices(`{name: w, devicePath: /dev/x}`, ``), wants(at, `[0].name: Invalid value: "w": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode`)},
		{devices(`{name: v, devicePath: /dev/x}, {name: v, devicePath: /dev/x}`, ``), wants(at, `[1].name: Invalid value: "v": must be unique`, `[1].devicePath: Invalid value: "/dev/x": must be unique`)},
		{devices(`{name: v, devicePath: /dev/../x}`, ``), wants(at, `[0].devicePath: Invalid value: "/dev/../x": can not contain backsteps ('..')`)},
		{devices(`{name: v, devicePath: /x}`, `{name: v, mountPath: /x}`), wants(`spec.containers[0].`,
			`volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices`, `volumeMounts[0].mountPath: Invalid value: "/x": must not already exist as a path in volumeDevices`,
			`volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts`, `volumeDevices[0].devicePath: Invalid value: "/x": must not already exist as a path in volumeMounts`)},
	})
}
