package cluster

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// The parts that report when they are ready, in the usual order.
const (
	PartAPI  = "api"  // the API answers
	PartNode = "node" // the node is Ready
)

// Report is one part's message that it is ready, as a server writes it to its ready pipe: one JSON object per line.
type Report struct {
	Part string `json:"part"`
	// Milliseconds since the process began.
	Milliseconds float64 `json:"ms"`
}

// progress writes reports; a nil writer drops them.
type progress struct {
	mu    sync.Mutex
	began time.Time
	to    io.Writer
}

func (p *progress) ready(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to == nil {
		return
	}
	line, _ := json.Marshal(Report{Part: part, Milliseconds: float64(time.Since(p.began).Microseconds()) / 1000})
	// Whoever waited may have gone; the server goes on.
	_, _ = p.to.Write(append(line, '\n'))
}
