package podruntime

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Records are named "sandbox-<id>" and "container-<id>". What they hold is what cannot be learned again from
// the kernel: the CRI configuration, and how far the work had come.

type sandboxRecord struct {
	Config    json.RawMessage // runtimeapi.PodSandboxConfig
	Handler   string          `json:",omitempty"`
	Spec      SandboxSpec
	State     sandboxState
	CreatedAt int64    // nanoseconds, as CRI wants it
	Addresses []string `json:",omitempty"`
}

type containerRecord struct {
	Sandbox    string
	Config     json.RawMessage // runtimeapi.ContainerConfig
	Spec       ContainerSpec
	ImageID    string
	StopSignal int
	State      containerState
	CreatedAt  int64
	StartedAt  int64  `json:",omitempty"`
	FinishedAt int64  `json:",omitempty"`
	ExitCode   int    `json:",omitempty"`
	Reason     string `json:",omitempty"`
	Message    string `json:",omitempty"`
}

type sandboxState string

const (
	sandboxMaking   sandboxState = "making" // RunPodSandbox has not returned: undone after a crash
	sandboxReady    sandboxState = "ready"
	sandboxNotReady sandboxState = "notready"
	sandboxRemoving sandboxState = "removing" // RemovePodSandbox has begun: finished after a crash
)

type containerState string

const (
	containerMaking   containerState = "making"
	containerCreated  containerState = "created"
	containerStarting containerState = "starting" // StartContainer has not returned
	containerRunning  containerState = "running"
	containerExited   containerState = "exited"
	containerRemoving containerState = "removing"
)

const (
	sandboxPrefix   = "sandbox-"
	containerPrefix = "container-"
)

func (s *Server) saveSandbox(sb *sandbox) error {
	return s.save(sandboxPrefix+sb.id, sb.rec)
}

func (s *Server) saveContainer(c *container) error {
	return s.save(containerPrefix+c.id, c.rec)
}

func (s *Server) save(name string, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", name, err)
	}
	return s.driver.SaveRecord(name, data)
}

func encodeConfig(m proto.Message) (json.RawMessage, error) { return protojson.Marshal(m) }

func decodeSandbox(name string, data []byte) (*sandbox, error) {
	sb := newSandbox(strings.TrimPrefix(name, sandboxPrefix))
	if err := json.Unmarshal(data, &sb.rec); err != nil {
		return nil, err
	}
	sb.config = &runtimeapi.PodSandboxConfig{}
	return sb, decodeConfig.Unmarshal(sb.rec.Config, sb.config)
}

func decodeContainer(name string, data []byte) (*container, error) {
	c := newContainer(strings.TrimPrefix(name, containerPrefix))
	if err := json.Unmarshal(data, &c.rec); err != nil {
		return nil, err
	}
	c.config = &runtimeapi.ContainerConfig{}
	return c, decodeConfig.Unmarshal(c.rec.Config, c.config)
}

// decodeConfig accepts fields that it does not know, so that an older server can read a newer one's records.
var decodeConfig = protojson.UnmarshalOptions{DiscardUnknown: true}
