package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sampan/internal/drain"
)

// pod is the state of this process.
type pod struct {
	exits   string // folder of exit records
	problem string // why the pod cannot run, "" if it can

	mu         sync.Mutex // guards what follows
	containers map[string]*container
	processes  map[int]chan<- unix.WaitStatus // who waits for which child
	unclaimed  map[int]unix.WaitStatus        // ends of children while a start is under way
	starting   int
	settled    *sync.Cond // tells of starting becoming 0
	watchers   map[*conn]struct{}
	initPID    int           // of the shared PID namespace, 0 if there is none
	children   chan struct{} // wakes the reaper when there is a child again
}

// container is one that runs.
type container struct {
	pid     int
	log     *logFile
	stdin   *os.File // write end, or the terminal; nil if it has none
	once    bool     // stdin is closed after its first client
	console *os.File
	oomFile string
	outputs []*drain.Output // passed on is what is in the log
	gone    chan struct{}   // closed at its end
	drained chan struct{}   // closed when all outputs are at their end
}

func newPod(exits string) *pod {
	p := &pod{exits: exits, containers: map[string]*container{}, processes: map[int]chan<- unix.WaitStatus{},
		unclaimed: map[int]unix.WaitStatus{}, watchers: map[*conn]struct{}{}, children: make(chan struct{}, 1)}
	p.settled = sync.NewCond(&p.mu)
	go p.reap()
	return p
}

// reap waits for every child: helpers, containers, and orphans that the kernel hands to this subreaper. It
// sleeps in the kernel while there are children, and on a channel while there are none.
func (p *pod) reap() {
	for range p.children {
		for {
			// Look first and take afterwards, under the mutex: while signal holds it, no number of a child
			// can be given to another process.
			err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				break
			}
			p.mu.Lock()
			for {
				var ws unix.WaitStatus
				pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
				if err != nil || pid == 0 {
					break
				}
				if who, ok := p.processes[pid]; ok {
					delete(p.processes, pid)
					who <- ws // has room
				} else if p.starting > 0 {
					p.unclaimed[pid] = ws
				}
			}
			p.mu.Unlock()
		}
	}
}

func (p *pod) hasChild() {
	select {
	case p.children <- struct{}{}:
	default:
	}
}

// begin and done bracket a helper's work, while the end of a process may come before its number is known.
func (p *pod) begin() {
	p.mu.Lock()
	p.starting++
	p.mu.Unlock()
}

func (p *pod) done() {
	p.mu.Lock()
	if p.starting--; p.starting == 0 {
		clear(p.unclaimed)
		p.settled.Broadcast()
	}
	p.mu.Unlock()
}

// claim returns where the end of a child will be told. It needs the mutex.
func (p *pod) claim(pid int) <-chan unix.WaitStatus {
	ch := make(chan unix.WaitStatus, 1)
	if ws, ok := p.unclaimed[pid]; ok {
		delete(p.unclaimed, pid)
		ch <- ws
	} else {
		p.processes[pid] = ch
	}
	return ch
}

// helper runs ocirun with the files as its descriptors 0, 1, 2 and on, adds one on which it reports, and
// returns the process that it left running. The caller has called begin.
func (p *pod) helper(ocirun, dir string, args []string, files []uintptr, ownMounts bool) (int, string) {
	r, w, perr := pipe()
	if perr != "" {
		return 0, perr
	}
	attr := &syscall.ProcAttr{Dir: dir, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=1", "GOGC=off"},
		Files: append(files, w.Fd()),
		// A helper must not go on without the process that its work is for.
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}}
	if ownMounts {
		attr.Sys.Cloneflags = syscall.CLONE_NEWNS
	}
	_, err := syscall.ForkExec(ocirun, append([]string{"ocirun"}, args...), attr)
	w.Close()
	if err != nil {
		r.Close()
		return 0, "start " + ocirun + ": " + err.Error()
	}
	p.hasChild()
	report := readAll(r)
	r.Close()
	text, ok := strings.CutPrefix(report, "pid ")
	if !ok {
		if report == "" {
			report = "ocirun ended without a word"
		}
		return 0, report
	}
	pid, _ := strconv.Atoi(text)
	return pid, ""
}

func readAll(f *os.File) string {
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return string(all)
		}
	}
}

// pipe's read end can be waited for by the runtime's poller; the write end is for a child.
func pipe() (*os.File, *os.File, string) {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, "make a pipe: " + err.Error()
	}
	_ = unix.SetNonblock(fd[0], true)
	return os.NewFile(uintptr(fd[0]), "pipe"), os.NewFile(uintptr(fd[1]), "pipe"), ""
}

// start runs a container.
func (p *pod) start(id, bundle, logPath, flags, oomFile, ocirun string) (int, int64, string) {
	p.mu.Lock()
	_, taken := p.containers[id]
	p.mu.Unlock()
	if taken {
		return 0, 0, "container " + id + " runs already"
	}
	c := &container{oomFile: oomFile, once: strings.Contains(flags, "o"), gone: make(chan struct{}), drained: make(chan struct{})}
	l, problem := openLog(logPath)
	if problem != "" {
		return 0, 0, problem
	}
	c.log = l
	var stdio *stdio
	if strings.Contains(flags, "t") {
		stdio, problem = terminalStdio()
	} else {
		stdio, problem = pipeStdio(strings.Contains(flags, "i"))
	}
	if problem != "" {
		l.close()
		return 0, 0, problem
	}
	p.begin()
	defer p.done()
	pid, problem := p.helper(ocirun, bundle, stdio.args("run", id), stdio.child, true)
	stdio.closeChild()
	if problem != "" {
		stdio.close()
		l.close()
		return 0, 0, problem
	}
	at := time.Now().UnixNano()
	c.pid, c.stdin, c.console = pid, stdio.stdin, stdio.takeConsole()
	if c.console != nil {
		c.stdin = c.console
		stdio.outputs = append(stdio.outputs, c.console)
	}
	for _, f := range stdio.outputs {
		c.outputs = append(c.outputs, drain.New(f))
	}
	p.mu.Lock()
	p.containers[id] = c
	end := p.claim(pid)
	p.mu.Unlock()
	go c.copyOutput()
	go p.wait(id, c, end)
	return pid, at, ""
}

// wait records a container's end, on disk before anybody hears of it.
func (p *pod) wait(id string, c *container, end <-chan unix.WaitStatus) {
	ws := <-end
	at := time.Now().UnixNano()
	c.awaitLog(func() <-chan time.Time { return time.After(drain.Interval) })
	code := ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	oom := "0"
	if oomKilled(c.oomFile) {
		oom = "1"
	}
	record := []string{strconv.Itoa(code), strconv.FormatInt(at, 10), oom}
	writeRecord(p.exits, id, strings.Join(record, " ")+"\n")
	p.mu.Lock()
	delete(p.containers, id)
	for w := range p.watchers {
		w.send("exit", id, record[0], record[1], record[2])
	}
	p.mu.Unlock()
	close(c.gone)
	if c.stdin != nil {
		c.stdin.Close()
	}
}

// writeRecord replaces a file in one step. If the disk is full the exit is still told to who watches.
func writeRecord(dir, id, text string) {
	tmp := dir + "/." + id
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	_, err = f.WriteString(text)
	if f.Close() != nil || err != nil {
		return
	}
	_ = os.Rename(tmp, dir+"/"+id)
}

// oomKilled reads the kernel's count of OOM kills in the container's cgroup: memory.events (v2) or
// memory.oom_control (v1), both with a line "oom_kill N".
func oomKilled(path string) bool {
	if path == "" {
		return false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return n != "0"
		}
	}
	return false
}

func (p *pod) find(id string) (*container, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.containers[id]
	if c == nil {
		return nil, "gone"
	}
	return c, ""
}

// signal cannot hit a stranger: a number is not given to another process before reap has taken this one's
// end, and the container is looked up and signalled under the mutex that reap needs to tell of it.
func (p *pod) signal(id string, number int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.containers[id]
	if c == nil {
		return "gone"
	}
	if _, waited := p.processes[c.pid]; !waited {
		return "gone"
	}
	if err := unix.Kill(c.pid, unix.Signal(number)); err != nil && err != unix.ESRCH {
		return err.Error()
	}
	return ""
}

func (p *pod) reopen(id string) string {
	c, problem := p.find(id)
	if problem != "" {
		return problem
	}
	return c.log.reopen()
}

func (p *pod) resize(id string, width, height int) string {
	c, problem := p.find(id)
	if problem != "" {
		return problem
	}
	if c.console == nil {
		return "container " + id + " has no terminal"
	}
	if err := setSize(c.console, width, height); err != nil {
		return "resize: " + err.Error()
	}
	return ""
}

// watch tells a client what runs, and then each end, until it hangs up.
func (p *pod) watch(c *conn) {
	p.mu.Lock()
	// A start that a killed server had asked for may be under way: the new one must hear how it came out.
	for p.starting > 0 {
		p.settled.Wait()
	}
	running := []string{"running"}
	for id := range p.containers {
		running = append(running, id)
	}
	c.send(running...)
	p.watchers[c] = struct{}{}
	p.mu.Unlock()
	c.hangup()
	p.mu.Lock()
	delete(p.watchers, c)
	p.mu.Unlock()
}

// sharePID starts the first process of the pod's shared PID namespace, which dies with this process.
func (p *pod) sharePID(self string) (int, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.initPID != 0 {
		return p.initPID, ""
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return 0, err.Error()
	}
	defer null.Close()
	pid, err := syscall.ForkExec(self, []string{"pause", "init"}, &syscall.ProcAttr{
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Env: []string{"GOMAXPROCS=1"},
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, "start the first process of the shared PID namespace: " + err.Error()
	}
	p.initPID = pid
	p.hasChild()
	return pid, ""
}
