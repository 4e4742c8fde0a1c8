// Package wire is the language between a server of the cluster and the name server process of its node: frames on
// a unix stream socket, each a length (4 bytes, big endian), a [Kind] and a payload.
//
// The name server speaks first: [Hello], with its [Identity]. The server, called the feeder, then sends Begin, the
// whole state, Commit and, the first time, Take with the sockets; later what changes, and Flush. Commit, Flush,
// Take and Give are answered, by Done or Failed. A newer feeder takes over, and the one before is told Replaced.
//
// A server may meet a name server of another build, to put another one in its place. So the forms of Hello, Give,
// Done and Retire never change. All else is spoken between parts of one build only.
//
// Everything here is a function of bytes: a frame that is not understood is an error, never a panic, and no
// length that is read makes more memory than what follows it deserves.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kind says what a frame is.
type Kind byte

// The kinds of frames.
const (
	Hello    Kind = 'H' // payload: Identity
	Done     Kind = 'd' // with descriptors if it answers Give: UDP, TCP, UDP, TCP…
	Failed   Kind = 'x' // payload: text
	Replaced Kind = 'r' // another feeder is there; the end

	Give   Kind = 'G' // asks for the sockets
	Retire Kind = 'R' // let go of the sockets, finish what was asked, end

	Begin         Kind = 'B' // the sender is the feeder; the whole state follows
	Commit        Kind = 'C' // that was the whole state: it replaces the one before, at once
	Take          Kind = 'T' // with descriptors: answer there
	Flush         Kind = 'F' // answered when everything before it is in force
	PutService    Kind = 'S' // payload: see AppendService
	RemoveService Kind = 's' // payload: see AppendKey
	PutSlice      Kind = 'E' // payload: see AppendSlice
	RemoveSlice   Kind = 'e' // payload: see AppendKey
)

const (
	headerBytes = 5
	// FrameBytesMax bounds a frame. A slice has at most 1,000 endpoints of a hundred addresses, each below 300 bytes.
	FrameBytesMax = 32 << 20
)

// magic begins the payload of Hello.
const magic = "sampan-names/1 "

// Identity is what a name server says of itself.
type Identity struct {
	Build    string // its build, and what it was started with
	Retiring bool   // it has let go of its sockets
}

// AppendFrame appends a frame to b.
func AppendFrame(b []byte, kind Kind, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, byte(kind))
	return append(b, payload...)
}

// framed appends a frame whose payload f appends.
func framed(b []byte, kind Kind, f func([]byte) []byte) []byte {
	at := len(b)
	b = f(append(b, 0, 0, 0, 0, byte(kind)))
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-headerBytes))
	return b
}

// Read reads one frame. The payload is the caller's.
func Read(r *bufio.Reader) (Kind, []byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size > FrameBytesMax {
		return 0, nil, fmt.Errorf("frame of %d bytes", size)
	}
	payload, err := readPayload(r, int(size))
	return Kind(header[4]), payload, err
}

// readPayload grows with what really comes, so that a length alone costs nothing.
func readPayload(r io.Reader, size int) ([]byte, error) {
	const step = 64 << 10
	payload := make([]byte, min(size, step))
	for at := 0; ; {
		n, err := io.ReadFull(r, payload[at:])
		if at += n; err != nil {
			return nil, noEOF(err)
		}
		if at == size {
			return payload, nil
		}
		payload = append(payload, make([]byte, min(size-at, at))...)
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendHello appends a Hello frame.
func AppendHello(b []byte, id Identity) []byte {
	state := "serving "
	if id.Retiring {
		state = "retiring "
	}
	return AppendFrame(b, Hello, []byte(magic+state+id.Build))
}

// ParseHello reads the payload of a Hello frame.
func ParseHello(payload []byte) (Identity, error) {
	text := string(payload)
	for state, retiring := range map[string]bool{"serving ": false, "retiring ": true} {
		if prefix := magic + state; len(text) >= len(prefix) && text[:len(prefix)] == prefix {
			return Identity{Build: text[len(prefix):], Retiring: retiring}, nil
		}
	}
	return Identity{}, fmt.Errorf("%.40q is not the greeting of a name server", text)
}
