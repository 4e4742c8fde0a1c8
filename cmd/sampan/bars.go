package main

import (
	"os"
	"strings"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"

	"sampan/image"
)

// bars shows a progress bar per layer, on a terminal only.
type bars struct {
	progress *mpb.Progress // nil: nothing is shown
	byLayer  map[string]*mpb.Bar
}

func newBars(out *os.File) *bars {
	if _, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS); err != nil {
		return &bars{}
	}
	return &bars{progress: mpb.New(mpb.WithOutput(out), mpb.WithWidth(60)), byLayer: map[string]*mpb.Bar{}}
}

// report takes the state of a layer; calls come one at a time.
func (b *bars) report(p image.Progress) {
	if b.progress == nil {
		return
	}
	bar := b.byLayer[p.Layer]
	if bar == nil {
		bar = b.progress.AddBar(p.Total,
			mpb.PrependDecorators(decor.Name(short(strings.TrimSpace(p.Layer)), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
		b.byLayer[p.Layer] = bar
	}
	bar.SetCurrent(p.Done)
	if p.State == image.Added || p.State == image.Present {
		bar.SetTotal(-1, true)
	}
}

// wait ends the display; bars that did not finish are taken away unless all went well.
func (b *bars) wait(complete bool) {
	if b.progress == nil {
		return
	}
	for _, bar := range b.byLayer {
		if complete {
			bar.SetTotal(-1, true)
		} else {
			bar.Abort(false)
		}
	}
	b.progress.Wait()
}
