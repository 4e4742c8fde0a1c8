package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestPodTable(t *testing.T) {
	const base = `
spec:
  nodeName: n1
  initContainers: [{name: i1, image: i}, {name: i2, image: i}]
  containers: [{name: c, image: i}, {name: d, image: i}]
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
`
	const sidecar = `spec: {initContainers: [{name: i1, image: i, restartPolicy: Always}, {name: i2, image: i}]}, `
	var pods []kind.Object
	for _, c := range []struct{ name, patch string }{
		{"pending", `{spec: {nodeName: ""}, status: {phase: Pending, podIP: "", podIPs: []}}`},
		{"gated", `{status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: SchedulingGated}]}}`},
		{"init-first", `{status: {phase: Pending, initContainerStatuses: [{name: i1, state: {running: {}}}]}}`},
		{"init-second", `{status: {phase: Pending, initContainerStatuses: [{name: i1, state: {terminated: {exitCode: 0}}}, {name: i2, state: {waiting: {reason: PodInitializing}}}]}}`},
		{"init-failed", `{status: {phase: Pending, initContainerStatuses: [{name: i1, restartCount: 2, state: {terminated: {exitCode: 3}}}]}}`},
		{"init-crash", `{status: {phase: Pending, initContainerStatuses: [{name: i1, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}}]}}`},
		{"sidecar", `{` + sidecar + `status: {initContainerStatuses: [{name: i1, started: true, ready: true, restartCount: 1, state: {running: {}}}, {name: i2, restartCount: 5, state: {terminated: {exitCode: 0}}}], containerStatuses: [{name: c, ready: true, state: {running: {}}}, {name: d, ready: true, state: {running: {}}}]}}`},
		{"init-reason", `{status: {phase: Pending, initContainerStatuses: [{name: i1, state: {terminated: {exitCode: 1, reason: OOMKilled}}}]}}`},
		{"init-signal", `{status: {phase: Pending, initContainerStatuses: [{name: i1, state: {terminated: {exitCode: 137, signal: 9}}}]}}`},
		{"sidecar-starts", `{` + sidecar + `status: {phase: Pending, initContainerStatuses: [{name: i1, started: false, state: {running: {}}}]}}`},
		{"sidecar-unready", `{` + sidecar + `status: {initContainerStatuses: [{name: i1, started: true, state: {running: {}}, restartCount: 2, lastState: {terminated: {finishedAt: "2026-05-01T11:00:00Z"}}}, {name: i2, state: {terminated: {exitCode: 0}}}], containerStatuses: [{name: c, ready: true, restartCount: 1, state: {running: {}}, lastState: {terminated: {finishedAt: "2026-05-01T11:55:00Z"}}}, {name: d, state: {running: {}}}]}}`},
		{"initialized", `{status: {conditions: [{type: Initialized, status: "True"}], initContainerStatuses: [{name: i1, restartCount: 4, state: {running: {}}}], containerStatuses: [{name: c, ready: true, state: {running: {}}}, {name: d, ready: true, state: {running: {}}}]}}`},
		{"done-but-ready", `{status: {containerStatuses: [{name: c, state: {terminated: {reason: Completed}}}, {name: d, ready: true, state: {running: {}}}], conditions: [{type: Ready, status: "True"}]}}`},
		{"first-word", `{status: {containerStatuses: [{name: c, state: {waiting: {reason: ImagePullBackOff}}}, {name: d, state: {waiting: {reason: CrashLoopBackOff}}}]}}`},
		{"unknown", `{status: {phase: Unknown}}`},
		{"creating", `{status: {phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating}}}]}}`},
		{"crash", `{status: {containerStatuses: [{name: c, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {finishedAt: "2026-05-01T11:58:00Z"}}}, {name: d, ready: true, state: {running: {}}}]}}`},
		{"half-done", `{status: {containerStatuses: [{name: c, state: {terminated: {reason: Completed}}}, {name: d, ready: true, state: {running: {}}}], conditions: [{type: Ready, status: "False"}]}}`},
		{"done", `{status: {phase: Succeeded, containerStatuses: [{name: c, state: {terminated: {reason: Completed}}}, {name: d, state: {terminated: {reason: Completed}}}]}}`},
		{"killed", `{status: {phase: Failed, containerStatuses: [{name: c, state: {terminated: {signal: 9}}}, {name: d, state: {terminated: {exitCode: 2}}}]}}`},
		{"evicted", `{status: {phase: Failed, reason: Evicted}}`},
		{"terminating", `{metadata: {deletionTimestamp: "2026-05-01T11:59:00Z"}}`},
		{"ended-terminating", `{metadata: {deletionTimestamp: "2026-05-01T11:59:00Z"}, status: {phase: Succeeded}}`},
		{"lost", `{metadata: {deletionTimestamp: "2026-05-01T11:59:00Z"}, status: {reason: NodeLost}}`},
		{"gates", `{spec: {readinessGates: [{conditionType: a}, {conditionType: b}]}, status: {nominatedNodeName: n2, conditions: [{type: a, status: "True"}]}}`},
	} {
		pods = append(pods, kindtest.Parse(t, core.Pod(), base, `{metadata: {name: `+c.name+`}}`, c.patch))
	}
	const want = `NAME                READY   STATUS                  RESTARTS     AGE   [IP]       [NODE]   [NOMINATED NODE]   [READINESS GATES]
pending             0/2     Pending                 0            5m    <none>     <none>   <none>             <none>
gated               0/2     SchedulingGated         0            5m    10.0.0.1   n1       <none>             <none>
init-first          0/2     Init:0/2                0            5m    10.0.0.1   n1       <none>             <none>
init-second         0/2     Init:1/2                0            5m    10.0.0.1   n1       <none>             <none>
init-failed         0/2     Init:ExitCode:3         2            5m    10.0.0.1   n1       <none>             <none>
init-crash          0/2     Init:CrashLoopBackOff   2            5m    10.0.0.1   n1       <none>             <none>
sidecar             3/3     Running                 1            5m    10.0.0.1   n1       <none>             <none>
init-reason         0/2     Init:OOMKilled          0            5m    10.0.0.1   n1       <none>             <none>
init-signal         0/2     Init:Signal:9           0            5m    10.0.0.1   n1       <none>             <none>
sidecar-starts      0/3     Init:0/2                0            5m    10.0.0.1   n1       <none>             <none>
sidecar-unready     1/3     Running                 3 (5m ago)   5m    10.0.0.1   n1       <none>             <none>
initialized         2/2     Init:0/2                0            5m    10.0.0.1   n1       <none>             <none>
done-but-ready      1/2     Running                 0            5m    10.0.0.1   n1       <none>             <none>
first-word          0/2     ImagePullBackOff        0            5m    10.0.0.1   n1       <none>             <none>
unknown             0/2     Unknown                 0            5m    10.0.0.1   n1       <none>             <none>
creating            0/2     ContainerCreating       0            5m    10.0.0.1   n1       <none>             <none>
crash               1/2     CrashLoopBackOff        3 (2m ago)   5m    10.0.0.1   n1       <none>             <none>
half-done           1/2     NotReady                0            5m    10.0.0.1   n1       <none>             <none>
done                0/2     Completed               0            5m    10.0.0.1   n1       <none>             <none>
killed              0/2     Signal:9                0            5m    10.0.0.1   n1       <none>             <none>
evicted             0/2     Evicted                 0            5m    10.0.0.1   n1       <none>             <none>
terminating         0/2     Terminating             0            5m    10.0.0.1   n1       <none>             <none>
ended-terminating   0/2     Succeeded               0            5m    10.0.0.1   n1       <none>             <none>
lost                0/2     Unknown                 0            5m    10.0.0.1   n1       <none>             <none>
gates               0/2     Running                 0            5m    10.0.0.1   n1       n2                 1/2
`
	if d := cmp.Diff(want, kindtest.Table(t, core.Pod(), pods...)); d != "" {
		t.Error(d)
	}
}
