// Package disruption keeps the status of PodDisruptionBudgets: how many pods a budget expects, how many of them must
// be and are healthy, and so how many may be disrupted. The API server's eviction takes from disruptionsAllowed and
// notes the pod in disruptedPods; this controller gives back what no deletion followed within two minutes.
//
// The controller is pure; package controller runs it. What it cannot compute (pods of a controller without a number of
// replicas, under a budget in percent or of unavailable pods) allows no disruption, and the condition says why.
package disruption
