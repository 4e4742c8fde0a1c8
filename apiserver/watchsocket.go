package apiserver

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/websocket"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// wantsSocket reports whether the client, a page in a browser mostly, wants the events of its watch over a WebSocket.
func (x *exchange) wantsSocket() bool { return x.r.ProtoMajor == 1 && wsstream.IsWebSocketRequest(x.r) }

// streamSocket writes the events of a watch to a WebSocket, each as one message, until the watch or the client ends.
func (x *exchange) streamSocket(ctx context.Context, w *watcher, a accepted) {
	s := websocket.Server{
		// Whoever may watch has said so with a token or a certificate, so the page's origin does not matter.
		Handshake: func(cfg *websocket.Config, _ *http.Request) error {
			if len(cfg.Protocol) > 1 {
				cfg.Protocol = cfg.Protocol[:1]
			}
			return nil
		},
		Handler: func(conn *websocket.Conn) {
			ctx, cancel := context.WithCancel(ctx)
			go func() {
				defer cancel()
				wsstream.IgnoreReceives(conn, 0)
			}()
			x.sendEvents(ctx, w, &framer{viewer: x.viewer(a), single: true, send: func(event []byte) bool {
				if a.media == mediaProto {
					return sendMessage(conn, event[frameHead:]) // a message knows its length
				}
				return sendMessage(conn, strings.TrimSuffix(string(event), "\n"))
			}})
		},
	}
	s.ServeHTTP(x.w, x.r)
}

// sendMessage sends a string as text and bytes as they are, and reports whether the client still reads.
func sendMessage(conn *websocket.Conn, message any) bool {
	return conn.SetWriteDeadline(time.Now().Add(writeTimeout)) == nil && websocket.Message.Send(conn, message) == nil
}
