package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var (
	start    = time.Now()
	runID    = randomID()
	sequence atomic.Int64
	padding  = strings.Repeat("x", 40)
	idPrefix = []byte(`"id":"`)
)

func randomID() []byte {
	id := make([]byte, 6)
	// It never fails.
	_, _ = rand.Read(id)
	return id
}

// A unique event. Its id begins with the present time (ns since the start of this program).
func newEvent() []byte {
	number := sequence.Add(1)
	guid := fmt.Sprintf("%x-%x-4000-8000-%012x", runID[:4], runID[4:], number)
	return fmt.Appendf(nil, `{"id":"%d-%s","source":"https://ttd.apps.example.no/ttd/bench/instances/50000001/%s",`+
		`"specversion":"1.0","type":"instance.process.completed","subject":"/party/50000001","data":"%s"}`,
		time.Since(start).Nanoseconds(), guid, guid, padding)
}

func newEvents(count int) [][]byte {
	events := make([][]byte, count)
	for index := range events {
		events[index] = newEvent()
	}
	return events
}

// The time since an event was made; false if the text has no event.
func delayOf(text []byte) (time.Duration, bool) {
	_, rest, found := bytes.Cut(text, idPrefix)
	digits, _, isID := bytes.Cut(rest, []byte("-"))
	if !found || !isID {
		return 0, false
	}
	made, err := strconv.ParseInt(string(digits), 10, 64)
	return time.Since(start) - time.Duration(made), err == nil
}
