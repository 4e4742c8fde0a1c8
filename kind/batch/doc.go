// Package batch holds the kinds of the API group batch/v1: Job and CronJob. Everything is pure and safe for concurrent
// use, but for the names of time zones, which are looked up in the machine's data or in the copy that the binary carries.
package batch

import _ "time/tzdata" // a schedule must mean the same on a machine that has no zone data
