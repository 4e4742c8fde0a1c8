package dns

import (
	"encoding/binary"
	"errors"

	"golang.org/x/net/dns/dnsmessage"
)

var errShort = errors.New("message is cut short")

// eachTTL calls f with the bytes of the time to live of each record of a message but OPT, whose bytes mean
// something else. The times are changed in place, because a message that is packed anew loses record types that
// the packer does not know.
func eachTTL(m []byte, f func(ttl []byte)) error {
	if len(m) < headerSize {
		return errShort
	}
	at := headerSize
	var err error
	for range binary.BigEndian.Uint16(m[4:]) {
		if at, err = skipName(m, at); err != nil {
			return err
		}
		at += 4
	}
	records := int(binary.BigEndian.Uint16(m[6:])) + int(binary.BigEndian.Uint16(m[8:])) + int(binary.BigEndian.Uint16(m[10:]))
	for range records {
		if at, err = skipName(m, at); err != nil {
			return err
		}
		if at+10 > len(m) {
			return errShort
		}
		kind := dnsmessage.Type(binary.BigEndian.Uint16(m[at:]))
		size := int(binary.BigEndian.Uint16(m[at+8:]))
		if at+10+size > len(m) {
			return errShort
		}
		if kind != dnsmessage.TypeOPT {
			f(m[at+4 : at+8])
		}
		at += 10 + size
	}
	return nil
}

func skipName(m []byte, at int) (int, error) {
	for at < len(m) {
		switch n := int(m[at]); {
		case n == 0:
			return at + 1, nil
		case n >= 0xc0: // a pointer ends the name
			return at + 2, nil
		default:
			at += 1 + n
		}
	}
	return 0, errShort
}
