// Package volume makes the volumes of a pod on the node: directories and files below <root>/<pod UID>/, and the
// paths on the node that containers mount.
//
// [Manager.Mount] is idempotent, so it may be repeated after a failure and after a restart of the agent.
// [Manager.Update] renews tokens and switches the content of ConfigMap, Secret, projected and downward API volumes of a running pod in
// one step: readers see the old files or the new ones, never a mixture. [Manager.Unmount] removes everything of a
// pod; it never deletes across a mount point, so data of a claim or of the host that is mounted somewhere below is
// safe even when an unmount fails.
//
// Package node is the only caller. Errors name the volume and what is missing, in Kubernetes' words.
package volume
