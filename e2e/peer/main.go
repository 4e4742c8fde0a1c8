// Command peer is the program in the containers of the end to end tests: it serves and fetches, with the Go
// resolver, so that it needs no library of a distribution.
//
//	peer serve ADDRESS TEXT         answer every request with TEXT, until SIGTERM
//	peer fetch [-n N] URL           fetch N times, a connection each, and print the answers
//	peer lookup NAME                print the addresses of a name, a line each
//	peer incluster                  ask the cluster for the pods of its own namespace, and print them
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "serve":
		return serve(args[1], args[2])
	case len(args) >= 2 && args[0] == "fetch":
		flags := flag.NewFlagSet("fetch", flag.ExitOnError)
		n := flags.Int("n", 1, "how many times")
		_ = flags.Parse(args[1:])
		return fetch(flags.Arg(0), *n)
	case len(args) == 2 && args[0] == "lookup":
		return lookup(args[1])
	case len(args) == 1 && args[0] == "incluster":
		return inCluster()
	}
	return errors.New("want serve ADDRESS TEXT, fetch [-n N] URL, lookup NAME or incluster")
}

func serve(address, text string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, text)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return server.Shutdown(context.Background())
	}
}

func fetch(url string, n int) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range n {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		fmt.Println(strings.TrimSpace(string(body)))
	}
	return nil
}

func lookup(name string) error {
	addrs, err := net.DefaultResolver.LookupHost(context.Background(), name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		fmt.Println(a)
	}
	return nil
}
