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
		{`{spec: {minReplicas: 0}}`, []string{"spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"}},
		{`{spec: {maxReplicas: 0}}`, []string{"spec.maxReplicas: Required value", "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`"}},
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

func TestMetricRules(t *testing.T) {
	metric := func(text string) string { return `{spec: {metrics: [` + text + `]}}` }
	const at = "spec.metrics[0]"
	const cpu = `target: {type: Utilization, averageUtilization: 60}`
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{metric(`{}`), []string{at + ".type: Required value: must specify a metric source type", at + `.type: Unsupported value: "": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"`}},
		{metric(`{type: Resource, resource: {name: cpu, ` + cpu + `}, pods: {metric: {name: ""}}}`), []string{
			at + ".pods: Forbidden: must populate the given metric source only", at + ".pods.metric.name: Required value: must specify a metric name", at + ".pods.target.type: Required value: must specify a metric target type",
			at + `.pods.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue`, at + ".pods.target.averageValue: Required value: must specify a positive target averageValue"}},
		{metric(`{type: Pods, pods: {metric: {name: a/b}, target: {type: AverageValue, averageValue: "0"}}}`), []string{
			at + `.pods.metric.name: Invalid value: "a/b": may not contain '/'`, at + `.pods.target.averageValue: Invalid value: "0": must be positive`}},
		{metric(`{type: Object, object: {describedObject: {kind: Service, name: "", apiVersion: a/b/c}, metric: {name: m}, target: {type: Value}}}`), []string{
			at + ".object.describedObject.name: Required value", at + `.object.describedObject.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c`,
			at + ".object.target.averageValue: Required value: must set either a target value or averageValue"}},
		{metric(`{type: External, external: {metric: {name: m}, target: {type: Value, value: "-1"}}}`), []string{at + `.external.target.value: Invalid value: "-1": must be positive`}},
		{metric(`{type: External, external: {metric: {name: m}, target: {type: Value}}}`), []string{at + ".external.target.averageValue: Required value: must set either a target value for metric or a per-pod target"}},
		{metric(`{type: Resource, resource: {name: "", target: {type: Utilization, averageUtilization: 1, averageValue: "1"}}}`), []string{
			at + ".resource.name: Required value: must specify a resource name", at + ".resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization"}},
		{metric(`{type: ContainerResource, containerResource: {name: "", container: "", ` + cpu + `}}`), []string{
			at + ".containerResource.name: Required value: must specify a resource name", at + ".containerResource.container: Required value: must specify a container"}},
		{metric(`{type: ContainerResource, containerResource: {name: "a b", container: A, ` + cpu + `}}`), []string{
			at + `.containerResource.name: Invalid value: "a b": name part must consist of`, at + `.containerResource.name: Invalid value: "a b": must be a standard resource for containers`, at + `.containerResource.container: Invalid value: "A"`}},
		{`{spec: {minReplicas: 0, metrics: [{type: External, external: {metric: {name: m}, target: {type: Value, value: "1"}}}]}}`, nil},
		{`{spec: {minReplicas: -1, maxReplicas: -2}}`, []string{"spec.minReplicas: Invalid value: -1: must be greater than or equal to 0",
			"spec.maxReplicas: Invalid value: -2: must be greater than or equal to 1", "spec.maxReplicas: Invalid value: -2: must be greater than or equal to `minReplicas`"}},
		{`{spec: {behavior: {scaleUp: {policies: [], stabilizationWindowSeconds: -1, tolerance: "-1"}, scaleDown: {selectPolicy: "", policies: [{type: Odd, value: 1, periodSeconds: 0}]}}}}`, []string{
			"spec.behavior.scaleUp.policies: Required value: must specify at least one Policy", "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
			`spec.behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0`, `spec.behavior.scaleDown.selectPolicy: Unsupported value: "": supported values: "Disabled", "Max", "Min"`,
			`spec.behavior.scaleDown.policies[0].type: Unsupported value: "Odd": supported values: "Percent", "Pods"`, "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 0: must be greater than zero"}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, autoscaling.HorizontalPodAutoscaler(), hpa, c.patch), c.want...)
		})
	}
}

func TestTargetsNameTheirGroup(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	const bare = `{spec: {scaleTargetRef: {apiVersion: null}}}`
	const missing = `spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group`
	kindtest.Check(t, kindtest.Create(t, k, hpa, bare), missing)
	kindtest.Check(t, kindtest.Create(t, k, hpa, `{spec: {scaleTargetRef: {apiVersion: v1, kind: ReplicationController}}}`))
	kindtest.Check(t, kindtest.Create(t, k, hpa, `{spec: {scaleTargetRef: {apiVersion: a/b/c}}}`), `spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c`)
	old := kindtest.Created(t, k, hpa, bare) // of the time before the rule
	_, errs := kindtest.Update(t, k, old, `{spec: {maxReplicas: 9}}`)
	kindtest.Check(t, errs)
	_, errs = kindtest.Update(t, k, old, `{spec: {scaleTargetRef: {kind: StatefulSet}}}`)
	kindtest.Check(t, errs, missing)
}

func TestStatus(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	next, errs := kindtest.UpdateStatus(t, k, kindtest.Created(t, k, hpa), `{spec: {maxReplicas: 9}, status: {currentReplicas: -1, desiredReplicas: -1, conditions: [{type: X, status: "True", observedGeneration: -1}]}}`)
	kindtest.Check(t, errs, "status.currentReplicas: Invalid value: -1", "status.desiredReplicas: Invalid value: -1", "status.conditions[0].observedGeneration: Invalid value: -1")
	if next.(*autoscalingv2.HorizontalPodAutoscaler).Spec.MaxReplicas != 5 {
		t.Error("a status update changed the spec")
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
		// The use of CPU is the first metric here, and the last one of what version 1 says.
		spec := &obj.(*autoscalingv2.HorizontalPodAutoscaler).Spec
		spec.Metrics = append(spec.Metrics[1:len(spec.Metrics):len(spec.Metrics)], spec.Metrics[0])
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

func TestTargetsOfEachKind(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	for _, c := range []struct{ metric, status, want string }{
		{`{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}`, `{type: Resource, resource: {name: cpu, current: {averageUtilization: 10}}}`, "cpu: 10%/80%"},
		{`{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}`, `{type: Resource, resource: {name: memory, current: {averageValue: 1Mi}}}`, "memory: 1Mi/1Gi"},
		{`{type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 80}}}`, `{type: X}`, "cpu: <unknown>/80%"},
		{`{type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: AverageValue, averageValue: "2"}}}`, `{type: ContainerResource, containerResource: {name: cpu, container: c, current: {averageValue: "1"}}}`, "cpu: 1/2"},
		{`{type: Pods, pods: {metric: {name: m}, target: {type: AverageValue, averageValue: "2"}}}`, `{type: Pods, pods: {metric: {name: m}, current: {averageValue: "1"}}}`, "1/2"},
		{`{type: Object, object: {describedObject: {kind: K, name: n}, metric: {name: m}, target: {type: AverageValue, averageValue: "2"}}}`, `{type: X}`, "<unknown>/2 (avg)"},
		{`{type: Object, object: {describedObject: {kind: K, name: n}, metric: {name: m}, target: {type: Value, value: "2"}}}`, `{type: Object, object: {describedObject: {kind: K, name: n}, metric: {name: m}, current: {value: "1"}}}`, "1/2"},
		{`{type: External, external: {metric: {name: m}, target: {type: AverageValue, averageValue: "2"}}}`, `{type: External, external: {metric: {name: m}, current: {averageValue: "1"}}}`, "1/2 (avg)"},
		{`{type: External, external: {metric: {name: m}, target: {type: Value, value: "2"}}}`, `{type: External, external: {metric: {name: m}, current: {value: "1"}}}`, "1/2"},
		{`{type: Odd}`, `{type: Odd}`, "<unknown type>"},
	} {
		obj := kindtest.Parse(t, k, hpa, `{spec: {metrics: [`+c.metric+`]}, status: {currentMetrics: [`+c.status+`]}}`)
		if have := k.Row(obj, kindtest.Now())[2]; have != c.want {
			t.Errorf("%s: %v, want %s", c.metric, have, c.want)
		}
	}
	if have := k.Row(kindtest.Parse(t, k, hpa), kindtest.Now()); have[2] != "<none>" || have[3] != "<unset>" {
		t.Errorf("without metrics and a minimum: %v", have)
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
