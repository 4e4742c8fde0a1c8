package pki

import (
	"slices"
	"time"
)

// When what follows what. Each thing is shown to those who shall trust it long before it signs.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// A new authority is made when a fifth of the life of the one before it is left, and signs from the middle of
	// what is left.
	authorityRenew = 5

	// A new key for tokens is made every year, and signs a month later.
	tokenKeyPeriod = 365 * 24 * time.Hour
	tokenKeyNotice = 30 * 24 * time.Hour
	// clockSlack is how far the clocks of those who share an identity may be apart.
	clockSlack = time.Hour

	// A clock may be wrong by years for a while, and is set right again. So a private key is kept for a month after
	// another one began to sign, and what is from more than a day ahead counts for nothing.
	keyGrace   = 30 * 24 * time.Hour
	aheadSlack = 24 * time.Hour
)

// Rules is what rotation must know beside the identity.
type Rules struct {
	AuthorityName string
	// TokenLife is the longest life of a token that has an end.
	TokenLife time.Duration
}

// Want is what must be made for the next identity; nil is nothing.
type Want struct{ Authority, TokenKey *Life }

// Next decides what becomes of an identity at a time. Keys that sign no more lose their private halves, an authority
// that has ended is gone when the one behind it has ended too, and what is wanted is to be put behind the newest. It
// depends on its arguments alone, so those who share an identity come to the same.
func (i Identity) Next(rules Rules, now time.Time) (next Identity, want Want) {
	now = now.UTC().Truncate(time.Second)
	known := settled(i.Authorities, now)
	for n, a := range known {
		if n+1 == len(known) || !a.ended(now) || !known[n+1].ended(now) || known[n+1].Key != "" {
			next.Authorities = append(next.Authorities, a)
		}
	}
	switch n := len(next.Authorities); {
	case n == 0:
		want.Authority = &Life{Made: now, SignsFrom: now, Until: now.Add(authorityLife)}
	case !now.Before(next.Authorities[n-1].renewAt()):
		left := max(next.Authorities[n-1].Until.Sub(now), 0)
		want.Authority = &Life{Made: now, SignsFrom: now.Add((left / 2).Truncate(time.Second)), Until: now.Add(authorityLife)}
	}
	for j := range retired(next.Authorities, now) {
		next.Authorities[j].Key = ""
	}

	next.TokenKeys = settled(i.TokenKeys, now)
	switch n := len(next.TokenKeys); {
	case n == 0:
		want.TokenKey = &Life{Made: now, SignsFrom: now}
	case !now.Before(next.TokenKeys[n-1].renewAt()):
		want.TokenKey = &Life{Made: now, SignsFrom: now.Add(tokenKeyNotice)}
		// Some token may be signed with it in the last moment.
		next.TokenKeys[n-1].Until = want.TokenKey.SignsFrom.Add(rules.TokenLife + clockSlack)
	}
	for j := range retired(next.TokenKeys, now) {
		next.TokenKeys[j].Private = ""
	}
	return next, want
}

// WakeAt returns when the identity, or what of it is used, is another one next; now if it should be already.
func (i Identity) WakeAt(now time.Time) time.Time {
	if _, want := i.Next(Rules{}, now); want != (Want{}) {
		return now
	}
	at := i.Authorities[len(i.Authorities)-1].renewAt()
	earliest := func(t time.Time) {
		if t.After(now) && t.Before(at) {
			at = t
		}
	}
	earliest(i.TokenKeys[len(i.TokenKeys)-1].renewAt())
	for _, a := range i.Authorities {
		earliest(a.SignsFrom)
		earliest(a.SignsFrom.Add(keyGrace))
		earliest(a.Until)
	}
	for _, k := range i.TokenKeys {
		earliest(k.SignsFrom)
		earliest(k.SignsFrom.Add(keyGrace))
		earliest(k.Until)
	}
	return at
}

func (a Authority) renewAt() time.Time {
	return a.Until.Add(-a.Until.Sub(a.Made) / authorityRenew).Truncate(time.Second)
}

func (k TokenKey) renewAt() time.Time { return k.Made.Add(tokenKeyPeriod) }

func (a Authority) canSign() (bool, Life) { return a.Key != "", a.Life }

func (k TokenKey) canSign() (bool, Life) { return k.Private != "", k.Life }

type signing interface{ canSign() (bool, Life) }

// settled returns what there is at a time: without what was made while the clock was ahead, unless nothing older can
// sign. Then it may be that the clock is behind.
func settled[T signing](list []T, now time.Time) []T {
	ahead := func(x T) bool {
		_, life := x.canSign()
		return life.Made.After(now.Add(aheadSlack))
	}
	usable := func(x T) bool {
		can, life := x.canSign()
		return can && !life.ended(now) && !ahead(x)
	}
	list = slices.Clone(list)
	if slices.ContainsFunc(list, usable) {
		list = slices.DeleteFunc(list, ahead)
	}
	return list
}

// signer returns which of several signs: the newest that may, or the oldest if none may yet; one that has ended only
// if all have; -1 if there is none.
func signer[T signing](list []T, now time.Time) int {
	first, over := -1, -1
	for n := len(list) - 1; n >= 0; n-- {
		switch can, life := list[n].canSign(); {
		case !can:
		case life.ended(now):
			over = max(over, n)
		case !life.SignsFrom.After(now):
			return n
		default:
			first = n
		}
	}
	if first < 0 {
		return over
	}
	return first
}

// retired returns how many of the oldest need their private keys no more.
func retired[T signing](list []T, now time.Time) int {
	n := signer(list, now)
	if n < 0 {
		return 0
	}
	if _, life := list[n].canSign(); now.Before(life.SignsFrom.Add(keyGrace)) {
		return 0
	}
	return n
}
