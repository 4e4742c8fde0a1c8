package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const plainPod = `
spec:
  containers:
  - {name: c, image: nginx}
`

func TestPodDefaults(t *testing.T) {
	pod := kindtest.Created(t, core.Pod(), `
spec:
  serviceAccount: robot
  hostNetwork: true
  volumes:
  - {name: scratch}
  - {name: conf, configMap: {name: x}}
  - {name: secret, secret: {secretName: x}}
  - {name: token, projected: {sources: [{serviceAccountToken: {path: token}}]}}
  - {name: pod, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}
  - {name: host, hostPath: {path: /srv}}
  initContainers:
  - {name: i, image: "registry:5000/init"}
  containers:
  - name: c
    image: nginx:1.27
    ports: [{containerPort: 80}]
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    resources: {limits: {cpu: 500.5m, memory: 64Mi}, requests: {cpu: 100m}}
    livenessProbe: {httpGet: {port: 80}}
    readinessProbe: {grpc: {port: 90}, periodSeconds: 1}
`)
	const want = `metadata:
  generation: 1
  name: a
  namespace: ns
spec:
  containers:
  - env:
    - name: IP
      valueFrom:
        fieldRef:
          apiVersion: v1
          fieldPath: status.podIP
    image: nginx:1.27
    imagePullPolicy: IfNotPresent
    livenessProbe:
      failureThreshold: 3
      httpGet:
        path: /
        port: 80
        scheme: HTTP
      periodSeconds: 10
      successThreshold: 1
      timeoutSeconds: 1
    name: c
    ports:
    - containerPort: 80
      hostPort: 80
      protocol: TCP
    readinessProbe:
      failureThreshold: 3
      grpc:
        port: 90
        service: ""
      periodSeconds: 1
      successThreshold: 1
      timeoutSeconds: 1
    resources:
      limits:
        cpu: 501m
        memory: 64Mi
      requests:
        cpu: 100m
        memory: 64Mi
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  hostNetwork: true
  initContainers:
  - image: registry:5000/init
    imagePullPolicy: Always
    name: i
    resources: {}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccount: robot
  serviceAccountName: robot
  terminationGracePeriodSeconds: 30
  volumes:
  - emptyDir: {}
    name: scratch
  - configMap:
      defaultMode: 420
      name: x
    name: conf
  - name: secret
    secret:
      defaultMode: 420
      secretName: x
  - name: token
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken:
          expirationSeconds: 3600
          path: token
  - downwardAPI:
      defaultMode: 420
      items:
      - fieldRef:
          apiVersion: v1
          fieldPath: metadata.name
        path: name
    name: pod
  - hostPath:
      path: /srv
      type: ""
    name: host
status:
  phase: Pending
  qosClass: Burstable
`
	if d := cmp.Diff(want, kindtest.YAML(t, pod)); d != "" {
		t.Error(d)
	}
}

func TestPullPolicyFollowsTag(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"nginx": corev1.PullAlways, "nginx:latest": corev1.PullAlways, "r:5000/nginx": corev1.PullAlways,
		"nginx:1": corev1.PullIfNotPresent, "r:5000/a/nginx:1": corev1.PullIfNotPresent,
		"r:5000/nginx@sha256:0123": corev1.PullIfNotPresent,
		"nginx:1@sha256:0123":      corev1.PullIfNotPresent,
		"nginx:latest@sha256:0123": corev1.PullAlways,
	} {
		pod := kindtest.Created(t, core.Pod(), plainPod, `{spec: {containers: [{name: c, image: "`+image+`"}]}}`).(*corev1.Pod)
		if got := pod.Spec.Containers[0].ImagePullPolicy; got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestTemplateIsNotFilledLikeAPod(t *testing.T) {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{
		Ports: []corev1.ContainerPort{{ContainerPort: 1}}}}}}
	core.DefaultPodTemplate(&template)
	if template.Spec.EnableServiceLinks != nil || template.Spec.Containers[0].Ports[0].HostPort != 0 {
		t.Error("a template got what belongs to pods")
	}
}

func TestAnnotationsThatOnceWereInitContainersAreDropped(t *testing.T) {
	const annotations = `annotations: {a: b, pod.beta.kubernetes.io/init-containers: x, pod.alpha.kubernetes.io/init-containers: x, pod.beta.kubernetes.io/init-container-statuses: x, pod.alpha.kubernetes.io/init-container-statuses: x}`
	want := map[string]string{"a": "b"}
	pod := kindtest.Created(t, core.Pod(), plainPod, `{metadata: {`+annotations+`}}`)
	if d := cmp.Diff(want, pod.GetAnnotations()); d != "" {
		t.Errorf("pod: %s", d)
	}
	template := kindtest.Created(t, core.PodTemplate(), `{template: {metadata: {`+annotations+`}, spec: {containers: [{name: c, image: i}]}}}`)
	if d := cmp.Diff(want, template.(*corev1.PodTemplate).Template.Annotations); d != "" {
		t.Errorf("template: %s", d)
	}
}

func TestQualityOfService(t *testing.T) {
	for _, c := range []struct {
		resources string
		want      corev1.PodQOSClass
	}{
		{`{}`, corev1.PodQOSBestEffort},
		{`{requests: {cpu: 1}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1, memory: 1Gi}}`, corev1.PodQOSGuaranteed},
		{`{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: "0"}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: "1", memory: 1024Mi}}`, corev1.PodQOSGuaranteed},
		{`{requests: {example.com/gpu: 1}, limits: {example.com/gpu: 1}}`, corev1.PodQOSBestEffort},
	} {
		pod := kindtest.Created(t, core.Pod(), `{spec: {containers: [{name: c, image: i, resources: `+c.resources+`}]}}`).(*corev1.Pod)
		if pod.Status.QOSClass != c.want {
			t.Errorf("%s: %s, want %s", c.resources, pod.Status.QOSClass, c.want)
		}
	}
}

func TestPodGracePeriod(t *testing.T) {
	bound, finished := `{spec: {nodeName: n1}}`, `{spec: {nodeName: n1}, status: {phase: Succeeded}}`
	for _, c := range []struct {
		name, patch string
		requested   *int64
		want        int64
	}{
		{"from the pod", bound, nil, 30},
		{"asked for", bound, new(int64(3)), 3},
		{"negative", bound, new(int64(-1)), 1},
		{"not scheduled", `{}`, new(int64(3)), 0},
		{"finished", finished, nil, 0},
	} {
		pod := kindtest.Parse(t, core.Pod(), plainPod, c.patch)
		core.Pod().Default(pod)
		if got := core.Pod().GracePeriod(pod, c.requested); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
