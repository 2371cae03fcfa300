// Load is the load generator of `make peers`: one program for each system, so that its own cost is the same for all.
//
// It prints one JSON object a line. A command with followers prints {"open": N} first, and goes on when a line arrives
// on its standard input: meanwhile its caller measures memory.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// The options of all commands.
type options struct {
	system, url, token          string
	publishers, events, count   int
	followers, rate, wakes      int
	seconds, most, limitSeconds float64
}

func main() {
	var chosen options
	flag.StringVar(&chosen.system, "system", "", "eventfeed, nats or centrifugo")
	flag.StringVar(&chosen.url, "url", "", "the address of the server")
	flag.StringVar(&chosen.token, "token", "", "the token of the service")
	flag.IntVar(&chosen.publishers, "publishers", 8, "publishers, each with a connection of its own")
	flag.IntVar(&chosen.events, "events", 1, "events of each request")
	flag.IntVar(&chosen.count, "count", 0, "events in total, 0: as many as the time allows")
	flag.Float64Var(&chosen.seconds, "seconds", 5, "duration of the load")
	flag.IntVar(&chosen.followers, "followers", 500, "followers, each with a connection of its own")
	flag.IntVar(&chosen.rate, "rate", 50, "events a second for followers")
	flag.Float64Var(&chosen.most, "most", 5, "duration of the search for the most deliveries")
	flag.IntVar(&chosen.wakes, "wakes", 5, "events for idle followers")
	flag.Float64Var(&chosen.limitSeconds, "limit", 120, "seconds after which the program gives up")
	flag.Parse()
	limit := time.Duration(chosen.limitSeconds * float64(time.Second))
	time.AfterFunc(limit, func() { fail(fmt.Errorf("not finished after %s", limit)) })
	result, err := run(flag.Arg(0), chosen)
	if err != nil {
		fail(err)
	}
	show(result)
}

func run(command string, chosen options) (any, error) {
	target, err := connect(chosen)
	if err != nil {
		return nil, err
	}
	switch command {
	case "publish":
		return publishAll(target, chosen)
	case "pages":
		return measureReading(chosen.count, target.readPages)
	case "stream":
		return measureReading(chosen.count, target.readStream)
	case "follow":
		return followSteadily(target, chosen)
	case "wake":
		return wakeAll(target, chosen)
	}
	return nil, fmt.Errorf("no command %q: publish, pages, stream, follow or wake", command)
}

func show(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Waits for a line of the caller.
func awaitCaller() error {
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}
