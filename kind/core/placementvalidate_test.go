package core_test

import "testing"

func TestTolerations(t *testing.T) {
	tolerate := func(fields string) string { return inSpec(`tolerations: [{` + fields + `}]`) }
	const at = `spec.tolerations[0].`
	refusePods(t, []podCase{
		{tolerate(`operator: Exists`), nil},
		{tolerate(`key: "a b", operator: Exists`), wants(at, `key: Invalid value: "a b": name part must consist of`)},
		{tolerate(`operator: Equal, value: x`), wants(at, "operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"")},
		{tolerate(`key: k, operator: Exists, effect: NoSchedule, tolerationSeconds: 3`), wants(at, "effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set")},
		{tolerate(`key: k, value: "a b"`), wants(at, `operator: Invalid value: "a b": a valid label must be`)},
		{tolerate(`key: k, operator: Exists, value: x`), wants(at, "operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'")},
		{tolerate(`key: k, operator: Like`), wants(at, `operator: Unsupported value: "Like": supported values: "Equal", "Exists"`)},
		{tolerate(`key: k, operator: Exists, effect: Never`), wants(at, `effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`)},
	})
	refuseUsed(t, []podCase{
		{tolerate(`key: a, operator: Gt, value: "-5"`), nil},
		{tolerate(`key: k, operator: Lt, value: "05"`), wants(at, `value: Invalid value: "05": `)},
		{tolerate(`key: k, operator: Lt, value: "9223372036854775808"`), wants(at, `value: Invalid value: "9223372036854775808": strconv.ParseInt: parsing "9223372036854775808": value out of range`)},
	})
}

func TestNodeAffinity(t *testing.T) {
	required := func(terms string) string {
		return inSpec(`affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [` + terms + `]}}}`)
	}
	preferred := func(term string) string {
		return inSpec(`affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{` + term + `}]}}`)
	}
	const at = `spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`
	refusePods(t, []podCase{
		{inSpec(`nodeSelector: {"a b": x}`), wants(`spec.`, `nodeSelector: Invalid value: "a b": name part must consist of`)},
		{required(``), wants(at, `: Required value: must have at least one node selector term`)},
		{required(`{matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [x]}, {key: c, operator: Gt}, {key: d, operator: Like}, {key: "e f", operator: In, values: ["g h"]}]}`), wants(at+`[0].matchExpressions`,
			`[0].values: Required value: must be specified when `, `[1].values: Forbidden: may not be specified when `, `[2].values: Required value: must be specified single value when `,
			`[3].operator: Invalid value: "Like": not a valid selector operator`, `[4].key: Invalid value: "e f": name part must consist of`, `[4].values[0]: Invalid value: "g h": a valid label must be`)},
		{required(`{matchFields: [{key: metadata.name, operator: In, values: [n1]}]}`), nil},
		{required(`{matchFields: [{key: metadata.uid, operator: Exists}, {key: metadata.name, operator: In, values: [a, B]}]}`), wants(at+`[0].matchFields`,
			`[0].operator: Invalid value: "Exists": not a valid selector operator`, `[0].key: Invalid value: "metadata.uid": not a valid field selector key`,
			"[1].values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field selector", `[1].values[1]: Invalid value: "B": `+notSubdomain)},
		{preferred(`weight: 101, preference: {matchExpressions: [{key: a, operator: In, values: ["b c"]}]}`), wants(`spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].`, `weight: Invalid value: 101: must be in the range 1-100`)},
		{preferred(`weight: 1, preference: {matchExpressions: [{key: a, operator: Near}]}`), wants(`spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].`, `preference.matchExpressions[0].operator: Invalid value: "Near"`)},
	})
}

func TestPodAffinity(t *testing.T) {
	required := func(fields string) string {
		return `{metadata: {labels: {app: x}}, spec: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{` + fields + `}]}}}}`
	}
	const at = `spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]`
	const zone, selector = `topologyKey: zone, `, `labelSelector: {matchLabels: {a: b}}, `
	refusePods(t, []podCase{
		{required(zone + selector + `matchLabelKeys: [app], mismatchLabelKeys: [tier], namespaces: [other], namespaceSelector: {}`), nil},
		{required(selector), wants(at+`.topologyKey: `, `Required value: can not be empty`, `Invalid value: "": name part must be non-empty`, `Invalid value: "": name part must consist of`)},
		{required(zone + `labelSelector: {matchExpressions: [{key: a, operator: Like}]}, namespaceSelector: {matchLabels: {"a b": c}}, namespaces: [A]`), wants(at,
			`.labelSelector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator`, `.namespaceSelector.matchLabels: Invalid value: "a b"`, `.namespace: Invalid value: "A": `+notLabel)},
		{required(zone + `matchLabelKeys: [app], mismatchLabelKeys: [tier]`), wants(at, `.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set`, `.mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set`)},
		{required(zone + selector + `matchLabelKeys: ["a b"], mismatchLabelKeys: ["c d"]`), wants(at, `.matchLabelKeys[0]: Invalid value: "a b"`, `.mismatchLabelKeys[0]: Invalid value: "c d"`)},
		{required(zone + `labelSelector: {matchLabels: {app: x}}, matchLabelKeys: [app]`), wants(at, `[0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector`)},
		{required(zone + selector + `matchLabelKeys: [app], mismatchLabelKeys: [app]`), wants(at, `[0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector`, `.matchLabelKeys[0]: Invalid value: "app": exists in both matchLabelKeys and mismatchLabelKeys`)},
		{inSpec(`affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, podAffinityTerm: {topologyKey: "a b"}}]}}`), wants(`spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].`,
			`weight: Invalid value: 0: must be in the range 1-100`, `podAffinityTerm.topologyKey: Invalid value: "a b": name part must consist of`)},
	})
}

func TestTopologySpread(t *testing.T) {
	spread := func(list string) string {
		return `{metadata: {labels: {app: x}}, spec: {topologySpreadConstraints: [` + list + `]}}`
	}
	const zone = `topologyKey: zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule`
	const at = `spec.topologySpreadConstraints`
	refusePods(t, []podCase{
		{spread(`{` + zone + `, minDomains: 2, nodeAffinityPolicy: Honor, nodeTaintsPolicy: Ignore, labelSelector: {}, matchLabelKeys: [app]}`), nil},
		{spread(`{}`), wants(at+`[0].`, `maxSkew: Invalid value: 0: must be greater than zero`, `topologyKey: Required value: can not be empty`, `whenUnsatisfiable: Unsupported value: "": supported values: "DoNotSchedule", "ScheduleAnyway"`)},
		{spread(`{` + zone + `}, {` + zone + `}`), wants(at, `[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, DoNotSchedule}"`)},
		{spread(`{` + zone + `, minDomains: 0}`), wants(at, `[0].minDomains: Invalid value: 0: must be greater than zero`)},
		{spread(`{topologyKey: zone, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway, minDomains: 2}`), wants(at, `[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway`)},
		{spread(`{` + zone + `, nodeAffinityPolicy: Maybe, nodeTaintsPolicy: Maybe}`), wants(at+`[0].`, each(`: Unsupported value: "Maybe": supported values: "Honor", "Ignore"`, "nodeAffinityPolicy", "nodeTaintsPolicy")...)},
		{spread(`{` + zone + `, matchLabelKeys: [app]}`), wants(at, `[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set`)},
		{spread(`{` + zone + `, labelSelector: {matchLabels: {app: x}}, matchLabelKeys: [app]}`), wants(at, `[0][0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector`)},
		{spread(`{` + zone + `, labelSelector: {matchLabels: {"a b": c}}}`), wants(at, `[0].labelSelector.matchLabels: Invalid value: "a b"`)},
	})
}
