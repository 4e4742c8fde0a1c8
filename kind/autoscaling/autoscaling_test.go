package autoscaling_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"

	"sampan/kind/autoscaling"
	"sampan/kind/kindtest"
)

const hpa = `
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 5
`

func TestDefaults(t *testing.T) {
	for _, c := range []struct{ patch, want string }{
		{`{}`, `metadata:
  generation: 1
  name: a
  namespace: ns
spec:
  maxReplicas: 5
  metrics:
  - resource:
      name: cpu
      target:
        averageUtilization: 80
        type: Utilization
    type: Resource
  minReplicas: 1
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: web
status:
  currentMetrics: null
  desiredReplicas: 0
`},
		{`{spec: {behavior: {scaleUp: {stabilizationWindowSeconds: 5, tolerance: "0.05"}}}}`, `metadata:
  generation: 1
  name: a
  namespace: ns
spec:
  behavior:
    scaleDown:
      policies:
      - periodSeconds: 15
        type: Percent
        value: 100
      selectPolicy: Max
    scaleUp:
      policies:
      - periodSeconds: 15
        type: Pods
        value: 4
      - periodSeconds: 15
        type: Percent
        value: 100
      selectPolicy: Max
      stabilizationWindowSeconds: 5
      tolerance: 50m
  maxReplicas: 5
  metrics:
  - resource:
      name: cpu
      target:
        averageUtilization: 80
        type: Utilization
    type: Resource
  minReplicas: 1
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: web
status:
  currentMetrics: null
  desiredReplicas: 0
`},
	} {
		if d := cmp.Diff(c.want, kindtest.YAML(t, kindtest.Created(t, autoscaling.HorizontalPodAutoscaler(), hpa, c.patch))); d != "" {
			t.Errorf("%s:\n%s", c.patch, d)
		}
	}
}

func TestValidation(t *testing.T) {
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {minReplicas: 0}}`, []string{"spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"}},
		{`{spec: {maxReplicas: 0}}`, []string{"spec.maxReplicas: Invalid value: 0: must be greater than 0", "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`"}},
		{`{spec: {minReplicas: 7}}`, []string{"spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"}},
		{`{spec: {scaleTargetRef: {name: ""}}}`, []string{"spec.scaleTargetRef.name: Required value"}},
		{`{spec: {scaleTargetRef: {kind: a/b}}}`, []string{`spec.scaleTargetRef.kind: Invalid value: "a/b": may not contain '/'`}},
		{`{spec: {metrics: [{type: Odd}]}}`, []string{`spec.metrics[0].type: Unsupported value: "Odd"`}},
		{`{spec: {metrics: [{type: Resource}]}}`, []string{"spec.metrics[0].resource: Required value: must populate information for the given metric source"}},
		{`{spec: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization}}}]}}`, []string{
			"spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization"}},
		{`{spec: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 0}}}]}}`, []string{
			"spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"}},
		{`{spec: {metrics: [{type: Pods, pods: {metric: {name: hits}, target: {type: Value, value: "1"}}}]}}`, []string{
			"spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue"}},
		{`{spec: {metrics: [{type: External, external: {metric: {name: q}, target: {type: Value, value: "1", averageValue: "2"}}}]}}`, []string{
			"spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"}},
		{`{spec: {behavior: {scaleDown: {policies: [{type: Pods, value: 0, periodSeconds: 1801}], stabilizationWindowSeconds: 3601, selectPolicy: Odd}}}}`, []string{
			"spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
			`spec.behavior.scaleDown.selectPolicy: Unsupported value: "Odd": supported values: "Disabled", "Max", "Min"`,
			"spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
			"spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800"}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, autoscaling.HorizontalPodAutoscaler(), hpa, c.patch), c.want...)
		})
	}
}

// everything has each kind of metric and status once.
const everything = `
metadata: {annotations: {mine: "yes"}}
spec:
  minReplicas: 2
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
  - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 100Mi}}}
  - {type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 30}}}
  - {type: Pods, pods: {metric: {name: hits, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: "10"}}}
  - {type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: rate}, target: {type: Value, value: "5"}}}
  - {type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: rate}, target: {type: AverageValue, averageValue: "5"}}}
  - {type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: "30"}}}
  behavior: {scaleDown: {selectPolicy: Disabled}}
status:
  currentReplicas: 3
  desiredReplicas: 4
  observedGeneration: 2
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 12, averageValue: 12m}}}
  - {type: Pods, pods: {metric: {name: hits}, current: {averageValue: "3"}}}
  conditions:
  - {type: AbleToScale, status: "True", reason: ReadyForNewScale, message: m, lastTransitionTime: "2026-05-01T11:59:00Z"}
`

func TestNothingIsLostInVersion1(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	for _, manifest := range []string{hpa, everything} {
		obj := kindtest.Parse(t, k, hpa, manifest)
		k.Default(obj)
		v := k.Versions[0]
		back := v.Stored(v.Shown(obj))
		if !equality.Semantic.DeepEqual(obj, back) {
			t.Error(cmp.Diff(obj, back))
		}
	}
}

func TestUnreadableAnnotationsOfVersion1AreDropped(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	v := k.Versions[0]
	shown := v.Shown(kindtest.Parse(t, k, hpa))
	shown.SetAnnotations(map[string]string{"autoscaling.alpha.kubernetes.io/metrics": "{", "autoscaling.alpha.kubernetes.io/behavior": "[]", "mine": "yes"})
	stored := v.Stored(shown).(*autoscalingv2.HorizontalPodAutoscaler)
	if len(stored.Spec.Metrics) != 0 || stored.Spec.Behavior != nil || len(stored.Annotations) != 1 {
		t.Errorf("%+v %v", stored.Spec, stored.Annotations)
	}
}

func TestTable(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	obj := kindtest.Parse(t, k, hpa, everything)
	if d := cmp.Diff(`NAME   REFERENCE        TARGETS                                             MINPODS   MAXPODS   REPLICAS   AGE
a      Deployment/web   cpu: 12%/60%, memory: <unknown>/100Mi + 5 more...   2         5         3          5m
`, kindtest.Table(t, k, obj)); d != "" {
		t.Error(d)
	}
}
