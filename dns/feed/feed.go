// Package feed keeps a name server process running on this node, and tells it what the cluster's names are.
//
// The process (cmd/resolver) is found again by its control socket in the run folder: a server that starts takes over
// the one that its predecessor left, which has answered all the while. Nothing is sent before the first whole view
// of the API server is there, and that replaces what the process had in one step; afterwards each change is sent
// as it comes. When the process ends, another one is started at once.
//
// The sockets for questions are opened here and handed on, and the feed keeps duplicates. So when one process follows
// on another, be it after a crash or because this program is of another build, questions that come in between wait in
// the sockets: none is lost. A process of another build goes on answering until the new one has the whole state, and
// then finishes what it was asked.
//
// [Stop] ends whatever process is there; only `sampan down` does that.
package feed

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sampan/client"
	"sampan/dns"
	"sampan/dns/wire"
	"sampan/internal/helper"
)

// The name server is built by make; on a fresh clone only a README is there.
//
//go:embed embedded/*
var embedded embed.FS

// Config is what a Feed needs.
type Config struct {
	Source client.Source
	// Listen are the addresses, each opened for UDP and TCP. They are addresses of this network namespace.
	Listen []netip.AddrPort
	// Domain is the cluster domain, "cluster.local".
	Domain string
	// ResolvConf is the file that names the resolvers for other names; "" is /etc/resolv.conf.
	ResolvConf string
	// RunDir is the folder of sockets and of what does not outlive a reboot.
	RunDir string
	// BinDir is where the program is written out: not in /run, where files may be forbidden to run.
	BinDir string
	Log    *slog.Logger
}

const (
	// answerMax is the patience with a name server, which does what it is asked in milliseconds.
	answerMax = 10 * time.Second
	// drainPatience is how long it may take to end when it is retired: a bit longer than it allows itself.
	drainPatience = 20 * time.Second
	// firstAttempts is how often a name server is tried before the first one works.
	firstAttempts = 3
	// A name server that lives longer than this gets its successor at once.
	aWhile       = 10 * time.Second
	pauseMax     = 5 * time.Second
	shortestWait = 50 * time.Millisecond
)

// errReplaced ends a feed whose place another one has taken.
var errReplaced = errors.New("another server feeds the name server")

// Feed feeds one name server process. Make it with [New].
type Feed struct {
	cfg     Config
	program string // the file of the name server
	build   string
	ready   chan struct{}
	// patience is how long a name server may take for an answer before it is taken for dead.
	patience time.Duration

	sockets []int       // duplicates, as dns.Descriptors has them
	current *resolver   // found, to be taken over; nil if one is to be started
	old     []*resolver // of other builds: retired when ours answers
	waits   sync.WaitGroup
}

// New finds the name server that runs, or opens the sockets: an address in use is an error here and not later. From
// now on questions wait in the sockets. Run must follow.
func New(cfg Config) (*Feed, error) {
	program, err := helper.WriteOut(embedded, "resolver", cfg.BinDir)
	if err != nil {
		return nil, err
	}
	return newFeed(cfg, program, answerMax)
}

func newFeed(cfg Config, program helper.Helper, patience time.Duration) (*Feed, error) {
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if err := os.MkdirAll(Dir(cfg.RunDir), 0o700); err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	f := &Feed{
		cfg: cfg, program: program.Path, ready: make(chan struct{}), patience: patience,
		// All that a process is started with, so that one with other settings is not taken for ours.
		build: program.Hash + " " + cfg.Domain + " " + cfg.ResolvConf,
	}
	found, err := findAll(Dir(cfg.RunDir), f.patience)
	if err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	taken := map[netip.AddrPort][]int{} // a UDP and a TCP socket each
	for _, r := range found {
		if err := f.adopt(r, taken); err != nil {
			return nil, fmt.Errorf("dns: stop a name server that is stuck: %w", err)
		}
	}
	f.sockets, err = open(cfg.Listen, taken)
	for _, fds := range taken {
		wire.CloseAll(fds)
	}
	if err != nil {
		f.letGo()
		return nil, err
	}
	return f, nil
}

// Dir returns the folder of the control sockets in a run folder.
func Dir(runDir string) string { return filepath.Join(runDir, "dns") }

// adopt decides what becomes of a name server that was found, and takes over its sockets.
func (f *Feed) adopt(r *resolver, taken map[netip.AddrPort][]int) error {
	fds, err := r.give()
	if err != nil {
		return r.end(context.Background()) // its sockets are free then
	}
	at := addresses(fds)
	// Its sockets are worth nothing if we were started in another network namespace than our predecessor.
	here := sameNetwork(fds)
	for i, a := range at {
		if pair := fds[2*i : 2*i+2]; here && taken[a] == nil {
			taken[a] = pair
		} else {
			wire.CloseAll(pair)
		}
	}
	// One without sockets was left by a server that was killed before it could hand them on.
	if here && !r.id.Retiring && r.id.Build == f.build && slices.Equal(at, f.cfg.Listen) && f.current == nil {
		f.current = r
		return nil
	}
	f.old = append(f.old, r)
	return nil
}

// open returns descriptors for addresses, of the sockets that were taken over or of new ones. It removes from
// taken what it uses.
func open(listen []netip.AddrPort, taken map[netip.AddrPort][]int) (fds []int, err error) {
	for _, a := range listen {
		pair := taken[a]
		delete(taken, a)
		if pair == nil {
			if pair, err = openOne(a); err != nil {
				wire.CloseAll(fds)
				return nil, fmt.Errorf("dns: %w", err)
			}
		}
		fds = append(fds, pair...)
	}
	return fds, nil
}

func openOne(a netip.AddrPort) ([]int, error) {
	s, err := dns.Listen(a)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return dns.Descriptors([]dns.Socket{s})
}

// Addresses returns where questions are answered.
func (f *Feed) Addresses() []netip.AddrPort { return addresses(f.sockets) }

// Ready is closed when the name server has the first whole state of the API server.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Run feeds until ctx ends, and leaves the name server running. It is called once. It returns another error if no
// name server can be started at all, or if another server feeds it.
func (f *Feed) Run(ctx context.Context) error {
	defer f.waits.Wait()
	defer f.letGo()
	// Revision 0 is a view that has not seen the API server yet: it would take all names away.
	if f.cfg.Source.Snapshot().Revision() == 0 {
		if err := f.cfg.Source.Wait(ctx, 0); err != nil {
			return err
		}
	}
	wait := shortestWait
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := f.feed(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errReplaced):
			return fmt.Errorf("dns: %w", err)
		case attempt >= firstAttempts && !f.isReady():
			return fmt.Errorf("dns: name server: %w", err)
		}
		f.cfg.Log.Warn("the name server of the node ended and is started again", slog.Any("error", err))
		if time.Since(began) > aWhile {
			wait = shortestWait
			continue
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, pauseMax)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *Feed) isReady() bool {
	select {
	case <-f.ready:
		return true
	default:
		return false
	}
}

// feed feeds one name server until it ends or ctx does.
func (f *Feed) feed(parent context.Context) (err error) {
	r, takes := f.current, false
	f.current = nil
	if r == nil {
		if r, err = start(f.program, f.cfg, f.build, f.patience); err != nil {
			return err
		}
		takes = true
	}
	defer r.close()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	answers := make(chan error)
	f.waits.Go(func() { cancel(r.listen(ctx, answers)) })
	stop := context.AfterFunc(ctx, func() { r.conn.Close() })
	defer stop()
	t := talk{ctx: ctx, conn: r.conn, answers: answers, patience: f.patience}

	err = f.follow(parent, t, takes)
	if parent.Err() == nil && !errors.Is(err, errReplaced) {
		// It may be dead, or stuck with the sockets. In both cases it is no more.
		r.kill()
	}
	return err
}

// follow sends the whole state and then what changes, and returns when it cannot.
func (f *Feed) follow(parent context.Context, t talk, takes bool) error {
	var at int64
	for whole := true; ; {
		if whole {
			snap := f.cfg.Source.Snapshot()
			at = snap.Revision()
			if err := t.do(wholeState(nil, snap), wire.Commit, nil); err != nil {
				return err
			}
			if takes {
				if err := t.do(nil, wire.Take, f.sockets); err != nil {
					return err
				}
				takes = false
			}
			f.started(parent)
		}
		if err := f.cfg.Source.Wait(t.ctx, at); err != nil {
			return cmp.Or(context.Cause(t.ctx), err)
		}
		changes, next, ok := f.cfg.Source.Since(at)
		if whole = !ok; whole {
			continue
		}
		at = next.Revision()
		frames := appendChanges(nil, changes)
		if len(frames) == 0 {
			continue
		}
		if err := t.do(frames, wire.Flush, nil); err != nil {
			return err
		}
	}
}

// started says that the name server has everything, and lets those of before end.
func (f *Feed) started(ctx context.Context) {
	if !f.isReady() {
		close(f.ready)
	}
	for _, r := range f.old {
		r.retire()
		f.waits.Go(func() { r.bury(ctx) })
	}
	f.old = nil
}

// letGo closes what the feed has, and leaves all name servers running.
func (f *Feed) letGo() {
	if f.current != nil {
		f.current.close()
	}
	for _, r := range f.old {
		r.close()
	}
	wire.CloseAll(f.sockets)
	f.current, f.old, f.sockets = nil, nil, nil
}

// talk sends requests to a name server, one after the other.
type talk struct {
	ctx      context.Context
	conn     *wire.Conn
	answers  <-chan error
	patience time.Duration
}

// do sends frames and then one that is answered, and waits for the answer.
func (t talk) do(frames []byte, last wire.Kind, fds []int) error {
	if err := t.conn.SetWriteDeadline(time.Now().Add(t.patience)); err != nil {
		return t.failed(err)
	}
	if err := t.conn.Send(frames); err != nil {
		return t.failed(err)
	}
	if err := t.conn.SendDescriptors(last, fds); err != nil {
		return t.failed(err)
	}
	late := time.NewTimer(t.patience)
	defer late.Stop()
	select {
	case err := <-t.answers:
		return err
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	case <-late.C:
		return fmt.Errorf("no answer within %s", t.patience)
	}
}

// failed prefers the reason why the connection broke, which the listener knows.
func (t talk) failed(err error) error {
	select {
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	case <-time.After(time.Second):
		return err
	}
}
