package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/resource"

	"sampan/kind"
	"sampan/node/podconfig"
	"sampan/view"
)

// AnnotationProvisionedBy on a PersistentVolume names the provisioner that made it.
const AnnotationProvisionedBy = "pv.kubernetes.io/provisioned-by"

// LocalPath is the name of the built-in provisioner, and of the finalizer of its volumes.
const LocalPath = "sampan.dev/local-path"

// Manager makes and removes volumes below one directory. Its methods may be called from several goroutines, for
// different pods.
type Manager struct {
	root   string // <root>/<pod UID>
	tokens *tokens
}

// New returns a manager of the pods' directories below root. issue gives it the tokens of serviceAccountToken
// sources; nil means that there are none, and such volumes fail. now is the clock by which they are renewed.
func New(root string, issue TokenIssuer, now func() time.Time) *Manager {
	return &Manager{root: root, tokens: &tokens{issue: issue, now: now}}
}

// PodDir returns the directory of a pod.
func (m *Manager) PodDir(uid types.UID) string { return filepath.Join(m.root, string(uid)) }

// Mounted is a volume as a container's mount needs it.
type Mounted struct {
	HostPath string
	ReadOnly bool // whatever the mount says
	// Device says that HostPath is a block device.
	Device bool
}

// Mount makes every volume of the pod.
func (m *Manager) Mount(ctx context.Context, pod *corev1.Pod, f podconfig.Facts) error {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.mount(ctx, pod, v, f); err != nil {
			return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
		}
	}
	return nil
}

// Update renews the content of the volumes that are made from API objects, and the tokens that are due.
func (m *Manager) Update(ctx context.Context, pod *corev1.Pod, f podconfig.Facts) error {
	var errs []error
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; fromObjects(v) {
			if err := m.mount(ctx, pod, v, f); err != nil {
				errs = append(errs, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// NextUpdate returns when Update must be called for a mounted pod even if nothing changed: a token of the pod is due
// for renewal. Zero means never.
func (m *Manager) NextUpdate(uid types.UID) time.Time { return m.tokens.next(uid) }

func fromObjects(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil
}

// Path returns where a volume of a pod is on the node. The volume must have been mounted.
func (m *Manager) Path(pod *corev1.Pod, v *corev1.Volume, snap *view.Snapshot) (Mounted, error) {
	switch {
	case v.HostPath != nil:
		return Mounted{HostPath: v.HostPath.Path}, nil
	case v.PersistentVolumeClaim != nil, v.Ephemeral != nil:
		pv, readOnly, err := claimed(pod, v, snap)
		if err != nil {
			return Mounted{}, err
		}
		path, err := pvPath(pv)
		block := pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == corev1.PersistentVolumeBlock
		return Mounted{HostPath: path, ReadOnly: readOnly, Device: block}, err
	}
	return Mounted{HostPath: m.dir(pod, v), ReadOnly: fromObjects(v)}, nil
}

func (m *Manager) dir(pod *corev1.Pod, v *corev1.Volume) string {
	plugin := "kubernetes.io~empty-dir"
	switch {
	case v.ConfigMap != nil:
		plugin = "kubernetes.io~configmap"
	case v.Secret != nil:
		plugin = "kubernetes.io~secret"
	case v.Projected != nil:
		plugin = "kubernetes.io~projected"
	case v.DownwardAPI != nil:
		plugin = "kubernetes.io~downward-api"
	}
	return filepath.Join(m.PodDir(pod.UID), "volumes", plugin, v.Name)
}

func (m *Manager) mount(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, f podconfig.Facts) error {
	dir := m.dir(pod, v)
	switch {
	case v.EmptyDir != nil:
		return emptyDir(pod, v.EmptyDir, dir)
	case v.HostPath != nil:
		return checkHostPath(v.HostPath)
	case v.PersistentVolumeClaim != nil, v.Ephemeral != nil:
		return m.mountClaim(pod, v, f.Snapshot)
	case v.ConfigMap != nil:
		p, err := configMapPayload(pod, v.ConfigMap, f.Snapshot)
		return m.project(pod, dir, p, err, false)
	case v.Secret != nil:
		p, err := secretFiles(pod.Namespace, v.Secret.SecretName, v.Secret.Items, v.Secret.DefaultMode, v.Secret.Optional, f.Snapshot)
		return m.project(pod, dir, p, err, true)
	case v.DownwardAPI != nil:
		p, err := downwardFiles(pod, v.DownwardAPI.Items, v.DownwardAPI.DefaultMode, f)
		return m.project(pod, dir, p, err, false)
	case v.Projected != nil:
		p, err := m.projectedFiles(ctx, pod, v.Projected, f)
		secret := false
		for i := range v.Projected.Sources {
			secret = secret || v.Projected.Sources[i].Secret != nil || v.Projected.Sources[i].ServiceAccountToken != nil
		}
		return m.project(pod, dir, p, err, secret)
	}
	return errors.New("this node does not support volumes of this type")
}

// project writes files made from API objects. Secrets are kept in memory and never reach a disk.
func (m *Manager) project(pod *corev1.Pod, dir string, p payload, err error, secret bool) error {
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make volume directory: %w", err)
	}
	if secret && os.Geteuid() == 0 {
		if err := tmpfs(dir, 0, 0o755, nil); err != nil {
			return err
		}
	}
	gid := fsGroup(pod)
	if err := giveDir(dir, gid); err != nil {
		return err
	}
	_, err = writePayload(dir, p, gid)
	return err
}

func fsGroup(pod *corev1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// giveDir hands a directory to the pod's fsGroup.
func giveDir(dir string, gid *int64) error {
	if gid == nil {
		return nil
	}
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("set fsGroup of volume: %w", err)
	}
	if err := os.Chown(dir, -1, int(*gid)); err != nil {
		return fmt.Errorf("set fsGroup of volume: %w", err)
	}
	if err := os.Chmod(dir, st.Mode()|0o070|os.ModeSetgid); err != nil {
		return fmt.Errorf("set fsGroup of volume: %w", err)
	}
	return nil
}

// emptyDir makes a directory of the pod's own. One that exists is left alone: its owner may have changed its mode.
func emptyDir(pod *corev1.Pod, src *corev1.EmptyDirVolumeSource, dir string) error {
	gid := fsGroup(pod)
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		// It gets its name when it is complete, so that a directory that exists is a finished one.
		making := dir + ".making"
		if err := os.MkdirAll(making, 0o755); err != nil {
			return fmt.Errorf("make volume directory: %w", err)
		}
		if err := os.Chmod(making, 0o777); err != nil { // beyond the umask
			return fmt.Errorf("set mode of volume: %w", err)
		}
		if err := giveDir(making, gid); err != nil {
			return err
		}
		if err := os.Rename(making, dir); err != nil {
			return fmt.Errorf("make volume directory: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("look at volume directory: %w", err)
	}
	switch src.Medium {
	case corev1.StorageMediumDefault:
		return nil
	case corev1.StorageMediumMemory:
		size := int64(0)
		all := resource.PodLimits(pod, resource.PodResourcesOptions{})
		if limit := all.Memory(); !limit.IsZero() {
			size = limit.Value()
		}
		if src.SizeLimit != nil && !src.SizeLimit.IsZero() && (size == 0 || src.SizeLimit.Value() < size) {
			size = src.SizeLimit.Value()
		}
		return tmpfs(dir, size, 0o777, gid)
	}
	return fmt.Errorf("unknown storage medium %q", src.Medium)
}

// ErrUnbound says that a claim has no volume yet.
var ErrUnbound = errors.New("not bound")

// claimed returns the PersistentVolume of a claim volume.
func claimed(pod *corev1.Pod, v *corev1.Volume, snap *view.Snapshot) (pv *corev1.PersistentVolume, readOnly bool, err error) {
	name := pod.Name + "-" + v.Name // a generic ephemeral volume's claim
	if v.PersistentVolumeClaim != nil {
		name, readOnly = v.PersistentVolumeClaim.ClaimName, v.PersistentVolumeClaim.ReadOnly
	}
	claim, ok := view.Get[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, pod.Namespace, name)
	if !ok {
		return nil, false, fmt.Errorf("persistentvolumeclaim %q not found", name)
	}
	if claim.Spec.VolumeName == "" || claim.Status.Phase != corev1.ClaimBound {
		return nil, false, fmt.Errorf("PVC %s/%s is %w", pod.Namespace, name, ErrUnbound)
	}
	pv, ok = view.Get[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "", claim.Spec.VolumeName)
	if !ok {
		return nil, false, fmt.Errorf("persistentvolume %q not found", claim.Spec.VolumeName)
	}
	if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != claim.UID {
		return nil, false, fmt.Errorf("PV %s is not bound to PVC %s/%s", pv.Name, pod.Namespace, name)
	}
	return pv, readOnly, nil
}

func pvPath(pv *corev1.PersistentVolume) (string, error) {
	switch {
	case pv.Spec.Local != nil:
		return pv.Spec.Local.Path, nil
	case pv.Spec.HostPath != nil:
		return pv.Spec.HostPath.Path, nil
	}
	return "", fmt.Errorf("PV %s is of a type that this node does not support", pv.Name)
}

func (m *Manager) mountClaim(pod *corev1.Pod, v *corev1.Volume, snap *view.Snapshot) error {
	pv, readOnly, err := claimed(pod, v, snap)
	if err != nil {
		return err
	}
	path, err := pvPath(pv)
	if err != nil {
		return err
	}
	switch {
	case pv.Annotations[AnnotationProvisionedBy] == LocalPath:
		if _, err := os.Stat(path); os.IsNotExist(err) {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return fmt.Errorf("make directory of PV %s: %w", pv.Name, err)
			}
			if err := os.Chmod(path, 0o777); err != nil { // beyond the umask
				return fmt.Errorf("make directory of PV %s: %w", pv.Name, err)
			}
		}
	case pv.Spec.HostPath != nil:
		return checkHostPath(pv.Spec.HostPath)
	}
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("PV %s: path %q does not exist", pv.Name, path)
	}
	if gid := fsGroup(pod); gid != nil && !readOnly && st.IsDir() && pv.Spec.HostPath == nil {
		// Once in the pod's life: not again under running containers when the agent restarts.
		given := filepath.Join(m.PodDir(pod.UID), "volumes", "kubernetes.io~local-volume", v.Name)
		if _, err := os.Stat(given); err == nil {
			return nil
		}
		policy := pod.Spec.SecurityContext.FSGroupChangePolicy
		if err := giveTree(path, *gid, policy != nil && *policy == corev1.FSGroupChangeOnRootMismatch); err != nil {
			return err
		}
		if err := os.MkdirAll(given, 0o750); err != nil {
			return fmt.Errorf("note fsGroup of volume: %w", err)
		}
	}
	return nil
}

// Unmount removes everything of a pod. It is an error if something is still mounted below its directory and
// cannot be unmounted; nothing is removed then.
func (m *Manager) Unmount(uid types.UID) error {
	m.tokens.forget(uid)
	dir := m.PodDir(uid)
	if _, err := os.Lstat(dir); os.IsNotExist(err) {
		return nil
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pod directory: %w", err)
	}
	return nil
}

// Orphans removes the directories of pods that keep does not know.
func (m *Manager) Orphans(keep func(uid types.UID) bool) error {
	entries, err := os.ReadDir(m.root)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list pod directories: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if uid := types.UID(e.Name()); !keep(uid) {
			errs = append(errs, m.Unmount(uid))
		}
	}
	return errors.Join(errs...)
}

// RemoveLocalPath deletes the data of a volume of the built-in provisioner. It refuses paths that cannot be such.
func RemoveLocalPath(pv *corev1.PersistentVolume) error {
	path, err := pvPath(pv)
	if err != nil {
		return err
	}
	if pv.Annotations[AnnotationProvisionedBy] != LocalPath || !filepath.IsAbs(path) || strings.Count(filepath.Clean(path), "/") < 2 {
		return fmt.Errorf("PV %s: refuse to remove %q", pv.Name, path)
	}
	if err := unmountBelow(path); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("PV %s: remove data: %w", pv.Name, err)
	}
	return nil
}

// subPathDir is where the nth mount of a container that uses a subPath of a volume is bound.
func (m *Manager) subPathDir(uid types.UID, volume, container string, n int) string {
	return filepath.Join(m.PodDir(uid), "volume-subpaths", volume, container, strconv.Itoa(n))
}
