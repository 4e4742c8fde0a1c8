package podruntimetest_test

import (
	"testing"

	"sampan/podruntime"
	"sampan/podruntime/podruntimetest"
)

func TestConformanceOfTheFake(t *testing.T) {
	d := podruntimetest.NewDriver(func(c podruntime.ContainerSpec) podruntimetest.Behaviour {
		return podruntimetest.Behave(c.OCI.Process.Args)
	})
	s, err := podruntime.New(t.Context(), podruntime.Config{Driver: d, Images: podruntimetest.Images{}, Network: &podruntimetest.Network{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	podruntimetest.Suite{CRI: s.Client(), Image: "x"}.Test(t)
	if left := d.Left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
