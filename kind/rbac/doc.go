// Package rbac holds the kinds of the API group rbac.authorization.k8s.io/v1: Role, ClusterRole, RoleBinding and
// ClusterRoleBinding. What they allow is decided in apiserver/auth. Everything is pure and safe for concurrent use.
package rbac
