package main

import (
	"fmt"
	"net"
	"time"
)

const (
	pageEvents = 1000
	// Each address has 28,000 ports.
	addressConnections = 5000
	requestLimit       = 120 * time.Second
)

// A system to measure. Its feed is empty at the start, and all events are of this feed.
type system interface {
	// Opens a connection to publish with.
	publisher() (publisher, error)
	// Reads this many events in pages of 1,000 on one connection, from the start of the feed.
	readPages(events int) error
	// Reads this many events by one stream, from the start of the feed.
	readStream(events int) error
	// Opens a stream from the end of the feed, and calls with the text of each event. It blocks until the stream
	// ends, which is an error. The first call, without a text, says that the stream is open.
	follow(number int, received func(text []byte)) error
}

type publisher interface {
	// Publishes events in one request, and returns when they are durable.
	publish(events [][]byte) error
}

func connect(chosen options) (system, error) {
	switch chosen.system {
	case "eventfeed":
		return newEventfeed(chosen)
	case "nats":
		return newNATS(chosen)
	case "centrifugo":
		return newCentrifugo(chosen)
	}
	return nil, fmt.Errorf("no system %q: eventfeed, nats or centrifugo", chosen.system)
}

// The dialer of a follower: many followers need several addresses of this machine.
func dialer(number int) *net.Dialer {
	address := net.IPv4(127, 0, 0, byte(2+number/addressConnections))
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: address}, Timeout: requestLimit}
}
