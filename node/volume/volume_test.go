package volume_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/node/podconfig"
	"sampan/node/volume"
	"sampan/view"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("SAMPAN_E2E") == "require" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

func podWith(volumes ...corev1.Volume) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u1", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Volumes: volumes, Containers: []corev1.Container{{Name: "c"}}},
	}
}

func vol(name string, src corev1.VolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: src}
}

func facts(objects ...kind.Object) podconfig.Facts {
	var w view.World
	for i, o := range objects {
		id := kind.ConfigMaps
		switch o.(type) {
		case *corev1.Secret:
			id = kind.Secrets
		case *corev1.PersistentVolume:
			id = kind.PersistentVolumes
		case *corev1.PersistentVolumeClaim:
			id = kind.PersistentVolumeClaims
		}
		w.Put(id, o, int64(i+1))
	}
	return podconfig.Facts{Snapshot: w.Snapshot()}
}

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "ns"}, Data: data}
}

func cmVolume(change ...func(*corev1.ConfigMapVolumeSource)) corev1.Volume {
	src := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}
	for _, f := range change {
		f(src)
	}
	return vol("v", corev1.VolumeSource{ConfigMap: src})
}

func mount(t *testing.T, m *volume.Manager, pod *corev1.Pod, f podconfig.Facts) string {
	t.Helper()
	if err := m.Mount(t.Context(), pod, f); err != nil {
		t.Fatal(err)
	}
	at, err := m.Path(pod, &pod.Spec.Volumes[0], f.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return at.HostPath
}

func visible(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") {
			out = append(out, e.Name())
		}
	}
	return out
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestConfigMapVolumeIsSwitchedAtOnce(t *testing.T) {
	m := volume.New(t.TempDir(), nil, time.Now)
	pod := podWith(cmVolume())
	dir := mount(t, m, pod, facts(configMap(map[string]string{"a": "1", "b": "2"})))
	if got := visible(t, dir); !slices.Equal(got, []string{"a", "b"}) || content(t, dir+"/a") != "1" {
		t.Fatalf("files %v", got)
	}
	before, err := os.Readlink(dir + "/..data")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Update(t.Context(), pod, facts(configMap(map[string]string{"a": "1", "b": "2"}))); err != nil {
		t.Fatal(err)
	}
	if same, _ := os.Readlink(dir + "/..data"); same != before {
		t.Error("an update without a change wrote")
	}
	if err := m.Update(t.Context(), pod, facts(configMap(map[string]string{"a": "3", "c": "4"}))); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, dir); !slices.Equal(got, []string{"a", "c"}) || content(t, dir+"/a") != "3" || content(t, dir+"/c") != "4" {
		t.Errorf("after the update: %v", got)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 4 { // a, c, ..data and one content
		t.Errorf("old content is left: %v", entries)
	}
}

func TestItemsModesAndNestedPaths(t *testing.T) {
	m := volume.New(t.TempDir(), nil, time.Now)
	mode, own := int32(0o640), int32(0o400)
	pod := podWith(cmVolume(func(s *corev1.ConfigMapVolumeSource) {
		s.DefaultMode = &mode
		s.Items = []corev1.KeyToPath{{Key: "a", Path: "dir/x"}, {Key: "b", Path: "y", Mode: &own}}
	}))
	dir := mount(t, m, pod, facts(configMap(map[string]string{"a": "1", "b": "2"})))
	for name, want := range map[string]os.FileMode{"dir/x": 0o640, "y": 0o400} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %o", name, st, err, want)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		volume corev1.Volume
		want   string
	}{
		"configmap": {cmVolume(), `MountVolume.SetUp failed for volume "v" : configmap "cm" not found`},
		"optional":  {cmVolume(func(s *corev1.ConfigMapVolumeSource) { s.Optional = &yes }), ""},
		"secret":    {vol("v", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}), `MountVolume.SetUp failed for volume "v" : secret "s" not found`},
		"claim":     {vol("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}), `MountVolume.SetUp failed for volume "v" : persistentvolumeclaim "c" not found`},
		"token": {vol("v", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}}}}),
			`MountVolume.SetUp failed for volume "v" : this node has no issuer of service account tokens`},
		"nfs": {vol("v", corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}), `MountVolume.SetUp failed for volume "v" : this node does not support volumes of this type`},
	} {
		t.Run(name, func(t *testing.T) {
			err := volume.New(t.TempDir(), nil, time.Now).Mount(t.Context(), podWith(c.volume), facts())
			if got := errText(err); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestPayloadPathsCannotLeaveTheVolume(t *testing.T) {
	root := t.TempDir()
	m := volume.New(root+"/pods", nil, time.Now)
	for _, path := range []string{"../x", "a/../../x", "/x", "..data"} {
		pod := podWith(cmVolume(func(s *corev1.ConfigMapVolumeSource) { s.Items = []corev1.KeyToPath{{Key: "a", Path: path}} }))
		if err := m.Mount(t.Context(), pod, facts(configMap(map[string]string{"a": "1"}))); err == nil {
			t.Errorf("path %q was accepted", path)
		}
	}
	if _, err := os.Stat(root + "/x"); !os.IsNotExist(err) {
		t.Error("a file was written outside of the volume")
	}
}

func TestDownwardAPIAndProjected(t *testing.T) {
	m := volume.New(t.TempDir(), nil, time.Now)
	downward := []corev1.DownwardAPIVolumeFile{
		{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
		{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
	}
	pod := podWith(vol("v", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: downward}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}},
	}}}))
	f := facts(configMap(map[string]string{"a": "1"}))
	dir := mount(t, m, pod, f)
	if content(t, dir+"/labels") != `app="web"` || content(t, dir+"/name") != "p" || content(t, dir+"/a") != "1" {
		t.Errorf("files %v, labels %q", visible(t, dir), content(t, dir+"/labels"))
	}
	pod = pod.DeepCopy()
	pod.Labels["app"] = "db"
	if err := m.Update(t.Context(), pod, f); err != nil || content(t, dir+"/labels") != `app="db"` {
		t.Errorf("after the change: %q, %v", content(t, dir+"/labels"), err)
	}
}

func TestHostPathTypes(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		kind corev1.HostPathType
		ok   bool
	}{
		{dir, corev1.HostPathDirectory, true}, {file, corev1.HostPathDirectory, false}, {dir + "/no", corev1.HostPathDirectory, false},
		{file, corev1.HostPathFile, true}, {dir, corev1.HostPathFile, false}, {dir + "/no", corev1.HostPathFile, false},
		{dir + "/new", corev1.HostPathDirectoryOrCreate, true}, {file, corev1.HostPathDirectoryOrCreate, false},
		{dir + "/newfile", corev1.HostPathFileOrCreate, true}, {dir + "/no/newfile", corev1.HostPathFileOrCreate, false},
		{file, corev1.HostPathSocket, false}, {"/dev/null", corev1.HostPathCharDev, true}, {"/dev/null", corev1.HostPathBlockDev, false},
		{dir + "/unset", corev1.HostPathUnset, true}, {dir, "Nonsense", false},
	} {
		pod := podWith(vol("v", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: c.path, Type: &c.kind}}))
		err := volume.New(t.TempDir(), nil, time.Now).Mount(t.Context(), pod, facts())
		if (err == nil) != c.ok {
			t.Errorf("%s as %q: %v", c.path, c.kind, err)
		}
	}
}

// claim makes a bound claim and its volume.
func claim(path string, change ...func(*corev1.PersistentVolume)) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume) {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv", Annotations: map[string]string{volume.AnnotationProvisionedBy: volume.LocalPath}},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			ClaimRef:               &corev1.ObjectReference{UID: "claim"},
		},
	}
	for _, f := range change {
		f(pv)
	}
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "ns", UID: "claim"},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "pv"},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}, pv
}

func claimPod() *corev1.Pod {
	return podWith(vol("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}))
}

func TestLocalPathVolumeIsMadeOnceAndRemovedWithItsPV(t *testing.T) {
	path := t.TempDir() + "/local/pv-1"
	m := volume.New(t.TempDir(), nil, time.Now)
	c, pv := claim(path)
	dir := mount(t, m, claimPod(), facts(c, pv))
	st, err := os.Stat(path)
	if dir != path || err != nil || st.Mode().Perm() != 0o777 {
		t.Fatalf("%s: %v, %v", dir, st, err)
	}
	if err := os.WriteFile(path+"/rows", []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount("u1"); err != nil || content(t, path+"/rows") != "1" {
		t.Fatalf("the pod took its claim's data along: %v", err)
	}
	if err := volume.RemoveLocalPath(pv); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("data is left: %v", err)
	}
	_, foreign := claim("/", func(pv *corev1.PersistentVolume) { pv.Annotations = nil })
	if volume.RemoveLocalPath(foreign) == nil {
		t.Error("a volume of somebody else was removed")
	}
}

func TestClaimThatIsNotBoundIsNotMounted(t *testing.T) {
	path := t.TempDir()
	for name, change := range map[string]func(*corev1.PersistentVolumeClaim, *corev1.PersistentVolume){
		"pending": func(c *corev1.PersistentVolumeClaim, _ *corev1.PersistentVolume) {
			c.Status.Phase = corev1.ClaimPending
		},
		"other claim": func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "x" },
		"missing path": func(_ *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) {
			pv.Annotations, pv.Spec.Local.Path = nil, path+"/no"
		},
	} {
		c, pv := claim(path)
		change(c, pv)
		if volume.New(t.TempDir(), nil, time.Now).Mount(t.Context(), claimPod(), facts(c, pv)) == nil {
			t.Errorf("%s: mounted", name)
		}
	}
}

func TestOrphansAreRemoved(t *testing.T) {
	root := t.TempDir()
	m := volume.New(root, nil, time.Now)
	for _, uid := range []string{"u1", "u2"} {
		if err := os.MkdirAll(filepath.Join(root, uid, "volumes/x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Orphans(func(uid types.UID) bool { return uid == "u2" }); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, root); !slices.Equal(got, []string{"u2"}) {
		t.Errorf("left: %v", got)
	}
}

func TestMemoryVolumeHasItsSizeAndGoesAway(t *testing.T) {
	needRoot(t)
	m := volume.New(t.TempDir(), nil, time.Now)
	pod := podWith(
		vol("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(64<<10, resource.BinarySI)}}),
		vol("s", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}))
	f := facts(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns"}, Data: map[string][]byte{"k": []byte("v")}})
	dir := mount(t, m, pod, f)
	if err := os.WriteFile(dir+"/small", make([]byte, 1<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Mount(t.Context(), pod, f); err != nil { // as after a restart of the agent
		t.Fatal(err)
	}
	if len(content(t, dir+"/small")) != 1<<10 {
		t.Error("a second mount emptied the volume")
	}
	if err := os.WriteFile(dir+"/big", make([]byte, 128<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing beyond the size limit: %v", err)
	}
	if err := m.Unmount("u1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.PodDir("u1")); !os.IsNotExist(err) {
		t.Errorf("left: %v", err)
	}
}

func TestVolumesOfRunningPodsAreLeftAlone(t *testing.T) {
	m := volume.New(t.TempDir(), nil, time.Now)
	pod := podWith(vol("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	dir := mount(t, m, pod, facts())
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, m, pod, facts()) // as after a restart of the agent
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestFSGroupOwnsTheVolume(t *testing.T) {
	needRoot(t)
	m := volume.New(t.TempDir(), nil, time.Now)
	gid := int64(4711)
	pod := podWith(vol("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}), cmVolume())
	pod.Spec.Volumes[1].Name = "cm"
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &gid}
	dir := mount(t, m, pod, facts(configMap(map[string]string{"a": "1"})))
	st, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st.Sys().(*syscall.Stat_t).Gid != 4711 || st.Mode()&os.ModeSetgid == 0 {
		t.Errorf("mode %v, gid %d", st.Mode(), st.Sys().(*syscall.Stat_t).Gid)
	}
}

func TestSubPathStaysInTheVolume(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	secret := base + "/outside"
	if err := os.WriteFile(secret, []byte("host"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := volume.New(base+"/pods", nil, time.Now)
	pod := podWith(vol("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	dir := mount(t, m, pod, facts())
	t.Cleanup(func() {
		if err := m.Unmount("u1"); err != nil {
			t.Error(err)
		}
	})
	at, err := m.SubPath("u1", "v", "c", 0, dir, "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at+"/f", []byte("1"), 0o600); err != nil || content(t, dir+"/a/b/f") != "1" {
		t.Fatalf("the sub path is not the volume's directory: %v", err)
	}
	// The pod plants links that lead out of its volume.
	if err := os.Symlink(base, dir+"/abs"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../../../..", dir+"/up"); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"abs/outside", "up" + base + "/outside", "../outside"} {
		at, err := m.SubPath("u1", "v", "c", 1, dir, sub)
		if err != nil {
			continue
		}
		if data, err := os.ReadFile(at); err == nil && string(data) == "host" {
			t.Errorf("%s leads out of the volume", sub)
		}
	}
}
