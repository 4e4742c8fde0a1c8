package main

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// inCluster lists the pods of its own namespace as any program in a pod does: with the token, the CA and the
// namespace that are mounted into the pod.
func inCluster() error {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	namespace, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return err
	}
	cfg.APIPath, cfg.GroupVersion = "/api", &corev1.SchemeGroupVersion
	cfg.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(cfg)
	if err != nil {
		return err
	}
	var pods corev1.PodList
	if err := client.Get().Namespace(string(namespace)).Resource("pods").Do(context.Background()).Into(&pods); err != nil {
		return err
	}
	for _, p := range pods.Items {
		fmt.Println(p.Namespace + "/" + p.Name)
	}
	return nil
}
