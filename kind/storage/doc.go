// Package storage holds the kinds of the API group storage.k8s.io/v1: StorageClass, VolumeAttachment, CSIDriver,
// CSINode and CSIStorageCapacity. Everything is pure and safe for concurrent use.
package storage
