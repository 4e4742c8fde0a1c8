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
)

// Rules is what rotation must know beside the identity.
type Rules struct {
	AuthorityName string
	// TokenLife is the longest life of a token that has an end.
	TokenLife time.Duration
}

// Want is what must be made for the next identity; nil is nothing.
type Want struct{ Authority, TokenKey *Life }

// Next decides what becomes of an identity at a time. Authorities that have ended are gone, those and the keys that
// sign no more have lost their private keys, and what is wanted is to be put behind the newest. It depends on its
// arguments alone, so those who share an identity come to the same.
func (i Identity) Next(rules Rules, now time.Time) (next Identity, want Want) {
	now = now.UTC().Truncate(time.Second)
	for _, a := range i.Authorities {
		if !a.ended(now) {
			next.Authorities = append(next.Authorities, a)
		}
	}
	switch n := len(next.Authorities); {
	case n == 0:
		want.Authority = &Life{Made: now, SignsFrom: now, Until: now.Add(authorityLife)}
	case !now.Before(next.Authorities[n-1].renewAt()):
		left := next.Authorities[n-1].Until.Sub(now)
		want.Authority = &Life{Made: now, SignsFrom: now.Add((left / 2).Truncate(time.Second)), Until: now.Add(authorityLife)}
	}
	for j := range max(signer(next.Authorities, now), 0) {
		next.Authorities[j].Key = ""
	}

	next.TokenKeys = slices.Clone(i.TokenKeys)
	switch n := len(next.TokenKeys); {
	case n == 0:
		want.TokenKey = &Life{Made: now, SignsFrom: now}
	case !now.Before(next.TokenKeys[n-1].renewAt()):
		want.TokenKey = &Life{Made: now, SignsFrom: now.Add(tokenKeyNotice)}
		// Some token may be signed with it in the last moment.
		next.TokenKeys[n-1].Until = want.TokenKey.SignsFrom.Add(rules.TokenLife + clockSlack)
	}
	for j := range max(signer(next.TokenKeys, now), 0) {
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
		earliest(a.Until)
	}
	for _, k := range i.TokenKeys {
		earliest(k.SignsFrom)
		earliest(k.Until)
	}
	return at
}

func (a Authority) renewAt() time.Time {
	return a.Until.Add(-a.Until.Sub(a.Made) / authorityRenew).Truncate(time.Second)
}

func (k TokenKey) renewAt() time.Time { return k.Made.Add(tokenKeyPeriod) }

func (a Authority) canSign() (bool, time.Time) { return a.Key != "", a.SignsFrom }

func (k TokenKey) canSign() (bool, time.Time) { return k.Private != "", k.SignsFrom }

// signer returns which of several signs: the newest that may, or the oldest if none may yet; -1 if there is none.
func signer[T interface{ canSign() (bool, time.Time) }](list []T, now time.Time) int {
	first := -1
	for n := len(list) - 1; n >= 0; n-- {
		can, from := list[n].canSign()
		if can && !from.After(now) {
			return n
		}
		if can {
			first = n
		}
	}
	return first
}
