package main

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// The result of publishers.
type publishing struct {
	Events  int     `json:"events"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
}

// The result of reading a feed from its start.
type reading struct {
	Events  int     `json:"events"`
	Seconds float64 `json:"seconds"`
}

// Publishes with several publishers, each one request after another.
func publishAll(target system, chosen options) (any, error) {
	times := make([][]time.Duration, chosen.publishers)
	failures := make([]error, chosen.publishers)
	publishers := make([]publisher, chosen.publishers)
	for number := range publishers {
		var err error
		if publishers[number], err = target.publisher(); err != nil {
			return nil, err
		}
	}
	begin := time.Now()
	var group sync.WaitGroup
	for number, each := range publishers {
		group.Go(func() { times[number], failures[number] = publishFor(each, chosen, begin) })
	}
	group.Wait()
	seconds := time.Since(begin).Seconds()
	all := slices.Concat(times...)
	slices.Sort(all)
	result := publishing{len(all) * chosen.events, seconds, milliseconds(all, 50), milliseconds(all, 99)}
	return result, errors.Join(failures...)
}

// Publishes until the time is over, or its part of the count is published.
func publishFor(each publisher, chosen options, begin time.Time) ([]time.Duration, error) {
	var times []time.Duration
	requests := chosen.count / chosen.events / chosen.publishers
	for chosen.count == 0 && time.Since(begin).Seconds() < chosen.seconds || len(times) < requests {
		events := newEvents(chosen.events)
		start := time.Now()
		if err := each.publish(events); err != nil {
			return times, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

func measureReading(events int, read func(int) error) (any, error) {
	begin := time.Now()
	err := read(events)
	return reading{events, time.Since(begin).Seconds()}, err
}

// A percentile of times in their order (ms), 0 of none.
func milliseconds(times []time.Duration, percent int) float64 {
	if len(times) == 0 {
		return 0
	}
	return float64(times[(len(times)-1)*percent/100].Microseconds()) / 1000
}
