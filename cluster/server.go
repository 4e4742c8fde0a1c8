package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"sampan/apiserver"
	"sampan/apiserver/auth"
	"sampan/client"
	"sampan/client/events"
	"sampan/controller"
	"sampan/controller/all"
	"sampan/controller/volume"
	"sampan/kind"
	"sampan/scheduler"
	"sampan/view"
)

// Run runs a server until ctx ends. ready, which may be nil, gets a [Report] as a JSON line for each part that
// is ready. The error of a server that cannot start says what is wrong and how to mend it.
func Run(ctx context.Context, s Settings, log *slog.Logger, ready io.Writer) error {
	// What the caller left open, such as the pipe of a script that waits for its end, is not for the processes
	// that outlive the server. Kernels before 5.11 do not know how; there they get it.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	klog.SetSlogLogger(log) // the Kubernetes libraries speak through klog
	report := &progress{began: processStart(), to: ready}
	if err := preflight(s); err != nil {
		return err
	}
	if err := CheckDataDir(s.DataDir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	lock, err := takeLock(s)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := removeUnfinished(s); err != nil {
		return err
	}
	// Before anything else is touched: a taken port is the commonest mistake.
	listener, err := net.Listen("tcp", s.Listen.String())
	if err != nil {
		return fmt.Errorf("%w; choose another with --listen", err)
	}
	defer listener.Close()

	api, err := newAPI(ctx, s, log)
	if err != nil {
		return err
	}
	defer api.close()
	if err := api.server.Bootstrap(ctx); err != nil {
		return fmt.Errorf("first objects of the cluster: %w", err)
	}
	if err := fits(s, api.server.Client(auth.User{}).Snapshot(), time.Now()); err != nil {
		return err
	}

	parts, ctx := errgroup.WithContext(ctx)
	part := func(name string, run func(context.Context) error) {
		parts.Go(func() error {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return ctx.Err()
		})
	}
	part("API", func(ctx context.Context) error {
		return api.server.Serve(ctx, listener, api.tls())
	})
	report.ready(PartAPI)
	part("memory of the start", giveBack)

	self := api.server.Client(auth.User{Name: "system:sampan", Groups: []string{"system:masters"}})
	// Managed fields name the parts as upstream's programs, so that people find who they know.
	named := func(manager string) (*apiserver.Local, *events.Recorder) {
		c := self.ManagedBy(manager)
		recorder := events.New(events.Config{Client: c, Kinds: api.kinds, Now: time.Now, Log: log})
		part("event recorder of "+manager, recorder.Run)
		return c, recorder
	}
	part("API server's cache", api.server.Run)
	part("identity", func(ctx context.Context) error {
		clockSet, err := watchClock(ctx)
		if err != nil {
			return err
		}
		return api.keepFresh(ctx, clockSet, api.server.Trust)
	})
	if api.audit != nil {
		part("audit log", api.audit.Run)
	}
	part("administrator's socket", func(ctx context.Context) error { return serveAdmin(ctx, s, api.store, log) })
	manager, managerEvents := named("kube-controller-manager")
	part("controllers", func(ctx context.Context) error {
		return oneAtATime(ctx, s, "kube-controller-manager", manager, api.metrics, log, func(ctx context.Context, c client.Client) error {
			return runControllers(ctx, s, api, c, managerEvents, log)
		})
	})
	binder, binderEvents := named("kube-scheduler")
	part("scheduler", func(ctx context.Context) error {
		return oneAtATime(ctx, s, "kube-scheduler", binder, api.metrics, log, func(ctx context.Context, c client.Client) error {
			return scheduler.New(scheduler.Config{
				Client: c, Log: log, Now: time.Now, Events: binderEvents, Metrics: api.metrics.scheduler,
			}).Run(ctx)
		})
	})
	if s.Node {
		kubelet, kubeletEvents := named("kubelet")
		part("node", func(ctx context.Context) error { return runNode(ctx, s, api, kubelet, kubeletEvents, log) })
		part("start-up report", func(ctx context.Context) error {
			if err := waitNodeReady(ctx, self, s.NodeName, report.began); err != nil {
				return err
			}
			report.ready(PartNode)
			return nil
		})
	}
	log.Info("serving", "api", "https://"+s.Listen.String(), "data", s.DataDir, "instance", s.Instance)
	if err := parts.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("stopped", "data", s.DataDir, "instance", s.Instance)
	return nil
}

// runControllers runs all controllers; each time the bundle of authorities changes, they begin anew with it.
func runControllers(ctx context.Context, s Settings, api *api, c client.Client, recorder *events.Recorder, log *slog.Logger) error {
	if err := ensureStorageClass(ctx, c); err != nil {
		return err
	}
	return api.eachBundle(ctx, func(ctx context.Context, bundle []byte) error {
		return controller.New(controller.Config{
			Client: c,
			Controllers: all.All(all.Config{
				Kinds:    api.kinds,
				CABundle: bundle,
				Volume:   volume.Config{Root: s.volumeDir()},
			}),
			Now:     time.Now,
			Log:     log,
			Events:  recorder,
			Metrics: api.metrics.controllers,
		}).Run(ctx)
	})
}

// giveBack gives the memory that only the start needed back to the system, once the rush is over: filling the
// cache leaves as much garbage as there is in the store, and an idle server would keep it for minutes.
func giveBack(ctx context.Context) error {
	over := time.NewTimer(3 * time.Second)
	defer over.Stop()
	select {
	case <-over.C:
		debug.FreeOSMemory()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// ensureStorageClass gives a cluster without any StorageClass the built-in one.
func ensureStorageClass(ctx context.Context, c client.Client) error {
	if c.Snapshot().Len(kind.StorageClasses) > 0 {
		return nil
	}
	if _, err := c.Create(ctx, volume.DefaultStorageClass(), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the default StorageClass: %w", err)
	}
	return nil
}

// waitNodeReady waits until the node has said that it is Ready since a time.
func waitNodeReady(ctx context.Context, c client.Client, name string, since time.Time) error {
	for {
		snap := c.Snapshot()
		if node, ok := view.Get[*corev1.Node](snap, kind.Nodes, "", name); ok {
			for _, cond := range node.Status.Conditions {
				// API times are whole seconds.
				if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue && !cond.LastHeartbeatTime.Time.Before(since.Truncate(time.Second)) {
					return nil
				}
			}
		}
		if err := c.Wait(ctx, snap.Revision()); err != nil {
			return err
		}
	}
}
