package linux

import (
	"embed"

	"sampan/internal/helper"
)

// The helpers are built by make; on a fresh clone only a README is there.
//
//go:embed embedded/*
var embedded embed.FS

func (d *Driver) writeHelpers() error {
	dir := d.binDir()
	pause, err := helper.WriteOut(embedded, "pause", dir)
	if err != nil {
		return err
	}
	ocirun, err := helper.WriteOut(embedded, "ocirun", dir)
	d.pause, d.ocirun = pause.Path, ocirun.Path
	return err
}
