package volume

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/node/podconfig"
	"sampan/view"
)

// file is one file of a volume that is made from API objects.
type file struct {
	data  []byte
	mode  int32
	owner *int64 // nil: root
}

// payload is the files of a volume by relative path.
type payload map[string]file

func configMapPayload(pod *corev1.Pod, src *corev1.ConfigMapVolumeSource, snap *view.Snapshot) (payload, error) {
	return configMapFiles(pod.Namespace, src.Name, src.Items, src.DefaultMode, src.Optional, snap)
}

func configMapFiles(ns, name string, items []corev1.KeyToPath, defaultMode *int32, optional *bool, snap *view.Snapshot) (payload, error) {
	cm, ok := view.Get[*corev1.ConfigMap](snap, kind.ConfigMaps, ns, name)
	if !ok {
		if optional != nil && *optional {
			return payload{}, nil
		}
		return nil, fmt.Errorf("configmap %q not found", name)
	}
	data := maps.Clone(cm.BinaryData)
	if data == nil {
		data = map[string][]byte{}
	}
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	return pick(data, items, defaultMode, optional)
}

func secretFiles(ns, name string, items []corev1.KeyToPath, defaultMode *int32, optional *bool, snap *view.Snapshot) (payload, error) {
	secret, ok := view.Get[*corev1.Secret](snap, kind.Secrets, ns, name)
	if !ok {
		if optional != nil && *optional {
			return payload{}, nil
		}
		return nil, fmt.Errorf("secret %q not found", name)
	}
	return pick(secret.Data, items, defaultMode, optional)
}

// pick maps keys to files: all of them, or those that items name.
func pick(data map[string][]byte, items []corev1.KeyToPath, defaultMode *int32, optional *bool) (payload, error) {
	mode := modeOr(defaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
	out := payload{}
	if len(items) == 0 {
		for k, v := range data {
			out[k] = file{data: v, mode: mode}
		}
		return out, nil
	}
	for _, item := range items {
		v, ok := data[item.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return nil, fmt.Errorf("references non-existent config key: %s", item.Key)
		}
		out[item.Path] = file{data: v, mode: modeOr(item.Mode, mode)}
	}
	return out, nil
}

func downwardFiles(pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, defaultMode *int32, f podconfig.Facts) (payload, error) {
	mode := modeOr(defaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
	out := payload{}
	for _, item := range items {
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = podconfig.Field(pod, item.FieldRef, f)
		case item.ResourceFieldRef != nil:
			value, err = podconfig.Resource(pod, nil, item.ResourceFieldRef, f)
		}
		if err != nil {
			return nil, fmt.Errorf("downward API file %s: %w", item.Path, err)
		}
		out[item.Path] = file{data: []byte(value), mode: modeOr(item.Mode, mode)}
	}
	return out, nil
}

func (m *Manager) projectedFiles(ctx context.Context, pod *corev1.Pod, src *corev1.ProjectedVolumeSource, f podconfig.Facts) (payload, error) {
	mode := src.DefaultMode
	if mode == nil {
		m := corev1.ProjectedVolumeSourceDefaultMode
		mode = &m
	}
	out := payload{}
	for i := range src.Sources {
		var part payload
		var err error
		switch s := &src.Sources[i]; {
		case s.ConfigMap != nil:
			part, err = configMapFiles(pod.Namespace, s.ConfigMap.Name, s.ConfigMap.Items, mode, s.ConfigMap.Optional, f.Snapshot)
		case s.Secret != nil:
			part, err = secretFiles(pod.Namespace, s.Secret.Name, s.Secret.Items, mode, s.Secret.Optional, f.Snapshot)
		case s.DownwardAPI != nil:
			part, err = downwardFiles(pod, s.DownwardAPI.Items, mode, f)
		case s.ServiceAccountToken != nil:
			part, err = m.tokens.tokenFile(ctx, pod, s.ServiceAccountToken, mode)
		default:
			err = fmt.Errorf("source %d is of a kind that this node does not support", i)
		}
		if err != nil {
			return nil, err
		}
		maps.Copy(out, part)
	}
	return out, nil
}

func modeOr(mode *int32, otherwise int32) int32 {
	if mode != nil {
		return *mode
	}
	return otherwise
}
