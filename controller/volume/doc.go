// Package volume decides which PersistentVolume a claim gets, and what becomes of a volume without its claim.
//
// [NewClaims] binds claims: to the volume that a claim or a volume names, else to the smallest one that fits,
// else it creates one on the node that the scheduler selected (class provisioner "sampan.dev/local-path").
// [NewVolumes] follows volumes: phase, release, deletion by reclaim policy. Both drop the protection finalizers
// when nothing uses the object any more. The directory of a provisioned volume is made and removed by the node
// agent, which holds the finalizer [Finalizer] on the volume meanwhile.
//
// A binding is written to the volume first and to the claim second, each write conditional on the revision that
// was seen; two claims can therefore never take one volume, and a crash between the writes is completed by the
// next decision. Both are values for package controller (or package sim) to run; they are pure.
package volume
