package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// shutdownGrace is how long requests in flight may take when the server stops.
const shutdownGrace = 2 * time.Second

// Serve answers HTTPS requests on a listener until ctx ends, and returns nil then. Watches and other streams end with
// ctx; other requests in flight get a moment. config carries the certificates and the CA for clients; Serve adds the
// protocols. A server may have several listeners.
func (s *Server) Serve(ctx context.Context, listener net.Listener, config *tls.Config) error {
	config = withProtocols(config)
	if choose := config.GetConfigForClient; choose != nil {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen != nil {
				chosen = withProtocols(chosen)
			}
			return chosen, err
		}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	server := &http.Server{
		Handler:   s.Handler(),
		TLSConfig: config,
		Protocols: protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 1000,
			// A peer that vanished without a word is found out, so that its watches end.
			SendPingTimeout: 30 * time.Second,
			PingTimeout:     15 * time.Second,
		},
		ReadHeaderTimeout: 32 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    1 << 20,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(connectionErrors{s}, "", 0),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	err := server.ServeTLS(listener, "", "")
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil
	}
	return err
}

// connectionErrors takes what package http says of connections that are of no use. They are their clients' affair, so
// the log has them for those who look closely only; failed handshakes are counted.
type connectionErrors struct{ server *Server }

// Write takes one line.
func (c connectionErrors) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.Contains(text, "TLS handshake error from") {
		c.server.metrics.handshakeErrors.Inc()
	}
	c.server.cfg.Log.Debug("connection failed", "error", text)
	return len(line), nil
}

// withProtocols returns a configuration with what the server adds to it.
func withProtocols(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	config.DynamicRecordSizingDisabled = true // lists are long, and nobody looks at their first kilobyte
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	return config
}
