package memory_test

import (
	"testing"
	"testing/synctest"

	"sampan/store"
	"sampan/store/memory"
	"sampan/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return memory.New() })
}

func TestWaitBlocksDurablyInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		woken := make(chan error, 1)
		go func() { woken <- s.Wait(t.Context(), 0) }()
		synctest.Wait()
		select {
		case err := <-woken:
			t.Fatalf("woken with nothing there: %v", err)
		default:
		}
		if _, err := s.Apply(t.Context(), store.Write{Key: "/a", Value: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-woken:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("not woken by a write")
		}
	})
}
