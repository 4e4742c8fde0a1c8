package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	watchers           = 1000
	watchersConnection = 100 // that share a connection
	watchedEvents      = 300 // a slow one is a thousand late arrivals, and p99 should not hang on a single one
)

// measureWatch sends events to many watchers, one event after the other, and measures from the beginning of the write
// to the arrival at each of them.
func measureWatch(binary string) ([]figure, error) {
	s, a, err := startAPI(binary)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(background())
	defer stop()
	arrivals := make(chan time.Time, watchers)
	var ready sync.WaitGroup
	failed := make(chan error, watchers)
	var client *http.Client
	for i := range watchers {
		if i%watchersConnection == 0 {
			client = a.connection()
			defer client.CloseIdleConnections()
			if _, err := a.do(client, http.MethodGet, "/version", "", "", nil); err != nil { // connects
				return nil, err
			}
		}
		ready.Add(1)
		go a.follow(ctx, client, ready.Done, arrivals, failed)
	}
	ready.Wait()
	var latencies, last []float64
	for i := range watchedEvents {
		began := time.Now()
		if _, err := a.do(a.http, http.MethodPost, configMaps, "application/json", "application/json", configMap(fmt.Sprintf("event-%d", i), 1000)); err != nil {
			return nil, err
		}
		for range watchers {
			select {
			case at := <-arrivals:
				latencies = append(latencies, milliseconds(at.Sub(began)))
			case err := <-failed:
				return nil, err
			case <-time.After(10 * time.Second):
				return nil, fmt.Errorf("event %d did not reach every watcher", i)
			}
		}
		last = append(last, latencies[len(latencies)-1])
	}
	stop()
	return []figure{
		{Name: "an event reaches 1,000 watchers, p99", Value: percentile(latencies, 0.99), Unit: "ms", Budget: 20},
		{Name: "  p50", Value: percentile(latencies, 0.5), Unit: "ms"},
		{Name: "  the last of them, p50", Value: median(last), Unit: "ms"},
	}, s.down()
}

// follow watches, and tells when each event arrived.
func (a *api) follow(ctx context.Context, client *http.Client, ready func(), arrivals chan<- time.Time, failed chan<- error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+configMaps+"?watch=true&resourceVersion=0&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", nil)
	if err != nil {
		failed <- err
		ready()
		return
	}
	resp, err := client.Do(req)
	ready()
	if err != nil {
		failed <- err
		return
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		if _, err := lines.ReadSlice('\n'); err != nil && err != bufio.ErrBufferFull {
			if ctx.Err() == nil {
				failed <- fmt.Errorf("a watch ended: %w", err)
			}
			return
		} else if err == nil {
			arrivals <- time.Now()
		}
	}
}
