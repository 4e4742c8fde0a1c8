package patch

import (
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// CheckProtoItems is [CheckItems] for a protobuf message that is about to be decoded into a value of type t, a struct of
// the Kubernetes API: an empty item is two bytes there, too.
func CheckProtoItems(data []byte, t reflect.Type, max int) error {
	if len(data) <= max { // a number in a list is a byte at least
		return nil
	}
	c := protoCounter{types: make(map[reflect.Type]map[protowire.Number]protoField)}
	c.count(data, indirect(t))
	return tooMany(c.items, max)
}

// protoCounter counts the items in the lists of messages. What has not the form that its type has is left out: it is
// refused, or not looked at, when the message is decoded.
type protoCounter struct {
	items int
	types map[reflect.Type]map[protowire.Number]protoField
}

// protoField is a field that is a list or has lists in it.
type protoField struct {
	list    bool         // or a map
	numbers bool         // they may be packed into one value
	message reflect.Type // of the field, or of the list's items; nil: those are no messages
}

// count counts in a message of Go type t.
func (c *protoCounter) count(data []byte, t reflect.Type) {
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return
		}
		var value []byte
		if data = data[n:]; wire == protowire.BytesType {
			value, n = protowire.ConsumeBytes(data)
		} else {
			n = protowire.ConsumeFieldValue(number, wire, data)
		}
		if n < 0 {
			return
		}
		data = data[n:]
		f := c.fields(t)[number]
		switch {
		case f.numbers && wire == protowire.BytesType:
			for _, b := range value {
				if b < 0x80 { // the last byte of a number
					c.items++
				}
			}
		case f.list:
			c.items++
		}
		if f.message != nil {
			c.count(value, f.message)
		}
	}
}

// fields returns the fields of a message's Go type, which is a struct, a map (in the message's place: one of its
// entries) or a named slice, a message with one list.
func (c *protoCounter) fields(t reflect.Type) map[protowire.Number]protoField {
	if known, ok := c.types[t]; ok {
		return known
	}
	fields := make(map[protowire.Number]protoField)
	switch t.Kind() {
	case reflect.Map:
		fields[2] = protoField{message: messageType(t.Elem())}
	case reflect.Slice:
		fields[1] = listField(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			tag := strings.Split(f.Tag.Get("protobuf"), ",") // "bytes,2,rep,name=containers"
			if len(tag) < 3 {
				continue
			}
			number, err := strconv.Atoi(tag[1])
			switch {
			case err != nil:
			case isList(f.Type, tag[2]):
				fields[protowire.Number(number)] = listField(f.Type.Elem())
			default:
				fields[protowire.Number(number)] = protoField{list: indirect(f.Type).Kind() == reflect.Map, message: messageType(f.Type)}
			}
		}
	}
	c.types[t] = fields
	return fields
}

// isList tells a list from a named slice that is a message. Some lists of strings are labelled as if they were one.
func isList(t reflect.Type, label string) bool {
	return t.Kind() == reflect.Slice && (label == "rep" || t.Name() == "" && t.Elem().Kind() != reflect.Uint8)
}

func listField(item reflect.Type) protoField {
	switch item.Kind() {
	case reflect.Int32, reflect.Int64:
		return protoField{list: true, numbers: true}
	}
	return protoField{list: true, message: messageType(item)}
}

// messageType returns what a message of a field's Go type is, or nil if the field is no message.
func messageType(t reflect.Type) reflect.Type {
	switch t = indirect(t); t.Kind() {
	case reflect.Struct, reflect.Map:
		return t
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return t
		}
	}
	return nil
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}
