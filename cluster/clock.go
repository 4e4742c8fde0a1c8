package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchClock returns a channel that gets a value when the clock was set, or the machine has slept, until ctx ends.
// Timers notice neither: they count the time that the machine is awake.
func watchClock(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch the clock: %w", os.NewSyscallError("timerfd_create", err))
	}
	timer := os.NewFile(uintptr(fd), "timerfd")
	// It is to be cancelled only; a timer that is set at all needs some time to end at.
	far := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 32}}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &far, nil); err != nil {
		timer.Close()
		return nil, fmt.Errorf("watch the clock: %w", os.NewSyscallError("timerfd_settime", err))
	}
	context.AfterFunc(ctx, func() { timer.Close() })
	set := make(chan struct{}, 1)
	go func() {
		for buf := make([]byte, 8); ; {
			if _, err := timer.Read(buf); err != nil && !errors.Is(err, syscall.ECANCELED) {
				return
			}
			select {
			case set <- struct{}{}:
			default:
			}
		}
	}()
	return set, nil
}
