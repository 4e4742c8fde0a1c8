package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
)

// nodes records what the API server asks a node for.
type nodes struct{ asked chan string }

func (n nodes) NodeHandler(_ context.Context, name string) (http.Handler, error) {
	if name == "lost" {
		return nil, fmt.Errorf("no agent is connected")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name == "busy" {
			http.Error(w, `container "c" in pod "starting" is waiting to start: ContainerCreating`, http.StatusBadRequest)
			return
		}
		n.asked <- r.Method + " " + r.URL.String()
		io.WriteString(w, "from "+name)
	}), nil
}

func TestPodStreamsAreTranslatedForTheNode(t *testing.T) {
	n := nodes{make(chan string, 1)}
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Nodes = n })
	c := s.Client(masters())
	url := plain(t, s) + "/api/v1/namespaces/default/pods/"
	for _, name := range []string{"n1", "lost", "busy"} {
		must(t, c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for name, node := range map[string]string{"one": "n1", "waiting": "", "away": "lost", "starting": "busy", "left": "gone"} {
		made := must(t, c, pod(name))
		if node != "" {
			if err := c.Bind(t.Context(), podKey(name), made.UID, node); err != nil {
				t.Fatal(err)
			}
		}
	}
	two := pod("two")
	two.Spec.Containers = append(two.Spec.Containers, corev1.Container{Name: "d", Image: "i"})
	made := must(t, c, two)
	if err := c.Bind(t.Context(), podKey("two"), made.UID, "n1"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ method, path, want string }{
		{"GET", "one/log?follow=true&tailLines=5&sinceSeconds=3", "GET /containerLogs/default/one/c?follow=true&sinceSeconds=3&tailLines=5"},
		{"POST", "two/exec?container=d&command=sh&command=-c&stdin=true&stdout=1&tty=true", "POST /exec/default/two/d?command=sh&command=-c&input=1&output=1&tty=1"},
		{"GET", "one/attach?stdout=true", "GET /attach/default/one/c?output=1"},
		{"POST", "one/portforward", "POST /portForward/default/one"},
		{"GET", "one/portforward?ports=80&ports=81", "GET /portForward/default/one?port=80&port=81"},
		{"GET", "one/portforward?ports=80,81", "GET /portForward/default/one?port=80&port=81"},
	} {
		code, _, body := send(t, test.method, url+test.path, "", "Connection", "Upgrade", "Upgrade", "SPDY/3.1")
		if code != 200 || body != "from n1" {
			t.Errorf("%s: %d %s", test.path, code, body)
			continue
		}
		if got := <-n.asked; got != test.want {
			t.Errorf("%s became %s, want %s", test.path, got, test.want)
		}
	}
	for path, want := range map[string]string{
		"two/log":                      "a container name must be specified for pod two, choose one of: [c d]",
		"one/log?container=x":          "container x is not valid for pod one",
		"starting/log":                 `container "c" in pod "starting" is waiting to start: ContainerCreating`,
		"waiting/log?container=x":      "container x is not valid for pod waiting",
		"waiting/attach?stdout=1":      "pod waiting does not have a host assigned",
		"away/log":                     "node lost cannot be reached: no agent is connected",
		"left/log":                     `nodes "gone" not found`,
		"one/exec?stdout=1":            "you must specify at least 1 command for the container",
		"one/exec?command=ls":          "you must specify at least one of stdin, stdout, stderr",
		"none/log":                     `pods "none" not found`,
		"one/log?sinceTime=sunday":     "sinceTime: Invalid value",
		"one/log?stream=Stdout":        "stream: Forbidden: may not be specified",
		"one/exec?stdout=1&command=ls": "Upgrade request required",
		"one/attach?stdout=1":          "Upgrade request required",
		"one/portforward?ports=80":     "Upgrade request required",
		"one/portforward?ports=x":      `cannot convert to []int32: strconv.ParseUint: parsing "x": invalid syntax`,

		"one/log?tailLines=x":  `tailLines: Invalid value: "x"`,
		"one/log?tailLines=-1": `PodLogOptions "one" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0`,
		"one/log?limitBytes=0&sinceSeconds=1&sinceTime=2030-01-01T00:00:00Z": "[limitBytes: Invalid value: 0: must be greater than 0, " +
			"[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified]",
	} {
		code, _, body := send(t, "GET", url+path, "")
		var status metav1.Status
		json.Unmarshal([]byte(body), &status)
		if code < 400 || !strings.Contains(status.Message, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, _, body := send(t, "GET", url+"waiting/log", ""); code != http.StatusNoContent || body != "" {
		t.Errorf("the log of a pod without a node: %d %s", code, body)
	}
}
