package autoscaling_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"sampan/kind"
	"sampan/kind/autoscaling"
	"sampan/kind/kindtest"
)

// part returns a part of an object as JSON values, or nil if it is not there.
func part(t *testing.T, obj kind.Object, fields ...string) any {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		m, _ := value.(map[string]any)
		value = m[f]
	}
	return value
}

func values(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

const (
	cpu50    = `{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}`
	cpuValue = `{type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 250m}}}`
	memory70 = `{type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 70}}}`

	memory70V1 = `{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":70}}`
	cpuValueV1 = `{"type":"Resource","resource":{"name":"cpu","targetAverageValue":"250m"}}`
)

// TestShownAsVersion1 checks what upstream's version 1 says of an object: field by field, and its annotations letter by
// letter, since old clients read them.
func TestShownAsVersion1(t *testing.T) {
	const annotation = "autoscaling.alpha.kubernetes.io/"
	k := autoscaling.HorizontalPodAutoscaler()
	for _, c := range []struct {
		name, patch       string
		spec, status      string
		annotations, kept map[string]string // kept: those of the object itself
	}{
		{name: "use of CPU", patch: `{spec: {minReplicas: 2, metrics: [` + cpu50 + `]}}`,
			spec: `{minReplicas: 2, maxReplicas: 5, targetCPUUtilizationPercentage: 50}`},
		{name: "no metric", patch: `{spec: {metrics: []}}`, spec: `{maxReplicas: 5}`},
		{name: "use of CPU beside another metric", patch: `{spec: {metrics: [` + memory70 + `, ` + cpu50 + `]}}`,
			spec:        `{maxReplicas: 5, targetCPUUtilizationPercentage: 50}`,
			annotations: map[string]string{"metrics": `[` + memory70V1 + `]`}},
		// Upstream loses the second of them when somebody writes in version 1 what he has read there.
		{name: "use of CPU twice", patch: `{spec: {metrics: [` + cpu50 + `, ` + strings.Replace(cpu50, "50", "60", 1) + `]}}`,
			spec:        `{maxReplicas: 5, targetCPUUtilizationPercentage: 50}`,
			annotations: map[string]string{"metrics": `[{"type":"Resource","resource":{"name":"cpu","targetAverageUtilization":60}}]`}},
		{name: "CPU that is not used by a share", patch: `{spec: {metrics: [` + cpuValue + `]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"metrics": `[` + cpuValueV1 + `]`}},
		{name: "use of a container's CPU", patch: `{spec: {metrics: [{type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 50}}}]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"metrics": `[{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageUtilization":50,"container":"c"}}]`}},
		{name: "pods", patch: `{spec: {metrics: [{type: Pods, pods: {metric: {name: hits, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: "10"}}}]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"metrics": `[{"type":"Pods","pods":{"metricName":"hits","targetAverageValue":"10","selector":{"matchLabels":{"a":"b"}}}}]`}},
		{name: "object", patch: `{spec: {metrics: [{type: Object, object: {describedObject: {apiVersion: v1, kind: Service, name: s}, metric: {name: rate}, target: {type: Value, value: "5"}}}]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"metrics": `[{"type":"Object","object":{"target":{"kind":"Service","name":"s","apiVersion":"v1"},"metricName":"rate","targetValue":"5"}}]`}},
		{name: "object, by pod", patch: `{spec: {metrics: [{type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: rate}, target: {type: AverageValue, averageValue: "5"}}}]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"metrics": `[{"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"rate","targetValue":"0","averageValue":"5"}}]`}},
		{name: "external", patch: `{spec: {metrics: [{type: External, external: {metric: {name: queue, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: "30"}}}]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"metrics": `[{"type":"External","external":{"metricName":"queue","metricSelector":{"matchLabels":{"a":"b"}},"targetAverageValue":"30"}}]`}},
		{name: "behavior", patch: `{spec: {behavior: {scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Max, policies: [{type: Pods, value: 4, periodSeconds: 15}], tolerance: 50m}}}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"behavior": `{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":"50m"},"ScaleDown":null}`}},
		{name: "behavior without policies", patch: `{spec: {behavior: {scaleDown: {selectPolicy: Disabled}}}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"behavior": `{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Disabled","Policies":null,"Tolerance":null}}`}},
		{name: "status", patch: `{status: {observedGeneration: 3, currentReplicas: 1, desiredReplicas: 2, lastScaleTime: "2026-05-01T11:00:00Z"}}`, spec: `{maxReplicas: 5}`,
			status: `{observedGeneration: 3, currentReplicas: 1, desiredReplicas: 2, lastScaleTime: "2026-05-01T11:00:00Z"}`},
		{name: "measured use of CPU, with its value", patch: `{status: {currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 12, averageValue: 12m}}}]}}`, spec: `{maxReplicas: 5}`,
			status:      `{currentReplicas: 0, desiredReplicas: 0, currentCPUUtilizationPercentage: 12}`,
			annotations: map[string]string{"current-metrics": `[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":12,"currentAverageValue":"12m"}}]`}},
		{name: "measured metrics", patch: `{status: {currentMetrics: [{type: Pods, pods: {metric: {name: hits}, current: {averageValue: "3"}}}, {type: External, external: {metric: {name: queue}, current: {averageValue: "4"}}}, {type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: rate}, current: {value: "5"}}}]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"current-metrics": `[{"type":"Pods","pods":{"metricName":"hits","currentAverageValue":"3"}},{"type":"External","external":{"metricName":"queue","currentValue":"0","currentAverageValue":"4"}},{"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"rate","currentValue":"5"}}]`}},
		{name: "conditions", patch: `{status: {conditions: [{type: AbleToScale, status: "True", reason: R, message: m, lastTransitionTime: "2026-05-01T11:59:00Z"}]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"conditions": `[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-05-01T11:59:00Z","reason":"R","message":"m"}]`}},
		{name: "annotations that the object has", patch: `{metadata: {annotations: {mine: "yes", autoscaling.alpha.kubernetes.io/metrics: "[]", autoscaling.alpha.kubernetes.io/conditions: old}}, spec: {metrics: [` + memory70 + `]}}`, spec: `{maxReplicas: 5}`,
			annotations: map[string]string{"metrics": `[` + memory70V1 + `]`}, kept: map[string]string{"mine": "yes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			shown := k.Versions[0].Shown(kindtest.Parse(t, k, hpa, c.patch))
			spec := values(t, c.spec).(map[string]any)
			spec["scaleTargetRef"] = map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
			if d := cmp.Diff(any(spec), part(t, shown, "spec")); d != "" {
				t.Errorf("spec (-want +have):\n%s", d)
			}
			if c.status != "" {
				if d := cmp.Diff(values(t, c.status), part(t, shown, "status")); d != "" {
					t.Errorf("status (-want +have):\n%s", d)
				}
			}
			want := map[string]string{}
			for name, value := range c.annotations {
				want[annotation+name] = value
			}
			for name, value := range c.kept {
				want[name] = value
			}
			have := shown.GetAnnotations()
			if have == nil {
				have = map[string]string{}
			}
			if d := cmp.Diff(want, have); d != "" {
				t.Errorf("annotations (-want +have):\n%s", d)
			}
		})
	}
}

// TestStoredFromVersion1 checks what becomes of what a writer of version 1 says, by its fields and by its annotations.
func TestStoredFromVersion1(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	v := k.Versions[0]
	for _, c := range []struct {
		name, patch string
		metrics     string // of the spec, with defaults
		behavior    string
		status      string
	}{
		{name: "use of CPU", patch: `{spec: {targetCPUUtilizationPercentage: 50}}`, metrics: `[` + cpu50 + `]`},
		{name: "nothing", patch: `{}`, metrics: `[{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]`},
		{name: "another metric, then the use of CPU", patch: `{metadata: {annotations: {A/metrics: '[` + memory70V1 + `]'}}, spec: {targetCPUUtilizationPercentage: 50}}`,
			metrics: `[` + memory70 + `, ` + cpu50 + `]`},
		{name: "another metric and none of CPU", patch: `{metadata: {annotations: {A/metrics: '[` + cpuValueV1 + `,` + memory70V1 + `]'}}}`,
			metrics: `[` + cpuValue + `, ` + memory70 + `]`},
		{name: "object", patch: `{metadata: {annotations: {A/metrics: '[{"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"rate","targetValue":"5"}}]'}}}`,
			metrics: `[{type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: rate}, target: {type: Value, value: "5"}}}]`},
		{name: "object, by pod, with the zero that version 1 always says", patch: `{metadata: {annotations: {A/metrics: '[{"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"rate","targetValue":"0","averageValue":"5"}}]'}}}`,
			metrics: `[{type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: rate}, target: {type: AverageValue, averageValue: "5"}}}]`},
		{name: "external, by value", patch: `{metadata: {annotations: {A/metrics: '[{"type":"External","external":{"metricName":"queue","targetValue":"5"}}]'}}}`,
			metrics: `[{type: External, external: {metric: {name: queue}, target: {type: Value, value: "5"}}}]`},
		{name: "metrics that cannot be read", patch: `{metadata: {annotations: {A/metrics: '[{"type":'}}, spec: {targetCPUUtilizationPercentage: 50}}`, metrics: `[` + cpu50 + `]`},
		{name: "metrics of another form", patch: `{metadata: {annotations: {A/metrics: '{"type":"Pods"}'}}}`, metrics: `[{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]`},
		{name: "behavior", patch: `{metadata: {annotations: {A/behavior: '{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":300,"SelectPolicy":"Min","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":60}],"Tolerance":"50m"}}'}}, spec: {targetCPUUtilizationPercentage: 50}}`,
			metrics: `[` + cpu50 + `]`, behavior: `{scaleDown: {stabilizationWindowSeconds: 300, selectPolicy: Min, policies: [{type: Pods, value: 4, periodSeconds: 60}], tolerance: 50m}}`},
		{name: "behavior in the names of version 2", patch: `{metadata: {annotations: {A/behavior: '{"scaleDown":{"selectPolicy":"Disabled"}}'}}, spec: {targetCPUUtilizationPercentage: 50}}`,
			metrics: `[` + cpu50 + `]`, behavior: `{scaleDown: {selectPolicy: Disabled}}`},
		{name: "empty behavior", patch: `{metadata: {annotations: {A/behavior: '{}'}}, spec: {targetCPUUtilizationPercentage: 50}}`, metrics: `[` + cpu50 + `]`},
		{name: "behavior that cannot be read", patch: `{metadata: {annotations: {A/behavior: 'x'}}, spec: {targetCPUUtilizationPercentage: 50}}`, metrics: `[` + cpu50 + `]`},
		{name: "measured use of CPU", patch: `{spec: {targetCPUUtilizationPercentage: 50}, status: {currentCPUUtilizationPercentage: 12}}`, metrics: `[` + cpu50 + `]`,
			status: `{desiredReplicas: 0, currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 12}}}]}`},
		{name: "measured metrics, which say more", patch: `{metadata: {annotations: {A/current-metrics: '[{"type":"Pods","pods":{"metricName":"hits","currentAverageValue":"3"}},{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":13,"currentAverageValue":"13m"}}]'}}, spec: {targetCPUUtilizationPercentage: 50}, status: {currentCPUUtilizationPercentage: 12}}`, metrics: `[` + cpu50 + `]`,
			status: `{desiredReplicas: 0, currentMetrics: [{type: Pods, pods: {metric: {name: hits}, current: {averageValue: "3"}}}, {type: Resource, resource: {name: cpu, current: {averageUtilization: 13, averageValue: 13m}}}]}`},
		{name: "measured metrics that cannot be read", patch: `{metadata: {annotations: {A/current-metrics: '"x"'}}, spec: {targetCPUUtilizationPercentage: 50}, status: {currentCPUUtilizationPercentage: 12}}`, metrics: `[` + cpu50 + `]`,
			status: `{desiredReplicas: 0, currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 12}}}]}`},
		{name: "conditions", patch: `{metadata: {annotations: {A/conditions: '[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-05-01T11:59:00Z","reason":"R"}]'}}, spec: {targetCPUUtilizationPercentage: 50}}`, metrics: `[` + cpu50 + `]`,
			status: `{desiredReplicas: 0, currentMetrics: null, conditions: [{type: AbleToScale, status: "True", lastTransitionTime: "2026-05-01T11:59:00Z", reason: R}]}`},
		{name: "conditions that cannot be read", patch: `{metadata: {annotations: {A/conditions: '{}'}}, spec: {targetCPUUtilizationPercentage: 50}}`, metrics: `[` + cpu50 + `]`,
			status: `{desiredReplicas: 0, currentMetrics: null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(c.patch, "A/", "autoscaling.alpha.kubernetes.io/")))
			if err != nil {
				t.Fatal(err)
			}
			shown := v.New()
			if err := yaml.UnmarshalStrict(data, shown); err != nil {
				t.Fatal(err)
			}
			annotations := shown.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations["mine"] = "yes"
			shown.SetAnnotations(annotations)

			stored := v.Stored(shown)
			k.Default(stored)
			if d := cmp.Diff(values(t, c.metrics), part(t, stored, "spec", "metrics")); d != "" {
				t.Errorf("metrics (-want +have):\n%s", d)
			}
			if have := part(t, v.Stored(shown), "spec", "behavior"); c.behavior == "" && have != nil {
				t.Errorf("behavior %v", have)
			} else if c.behavior != "" {
				if d := cmp.Diff(values(t, c.behavior), have); d != "" {
					t.Errorf("behavior (-want +have):\n%s", d)
				}
			}
			if c.status != "" {
				if d := cmp.Diff(values(t, c.status), part(t, stored, "status")); d != "" {
					t.Errorf("status (-want +have):\n%s", d)
				}
			}
			if d := cmp.Diff(map[string]string{"mine": "yes"}, stored.GetAnnotations()); d != "" {
				t.Errorf("annotations (-want +have):\n%s", d)
			}
		})
	}
}

// TestAnnotationsOfVersion1InVersion2 checks that they mean nothing there and do not stay.
func TestAnnotationsOfVersion1InVersion2(t *testing.T) {
	k := autoscaling.HorizontalPodAutoscaler()
	const ours = `{metadata: {annotations: {mine: "yes", autoscaling.alpha.kubernetes.io/metrics: '[` + memory70V1 + `]'}}}`
	created := kindtest.Created(t, k, hpa, ours)
	updated, _ := kindtest.Update(t, k, kindtest.Created(t, k, hpa), ours)
	status, _ := kindtest.UpdateStatus(t, k, kindtest.Created(t, k, hpa), ours)
	for name, obj := range map[string]kind.Object{"create": created, "update": updated, "status": status} {
		if d := cmp.Diff(map[string]string{"mine": "yes"}, obj.GetAnnotations()); d != "" {
			t.Errorf("%s (-want +have):\n%s", name, d)
		}
	}
}
