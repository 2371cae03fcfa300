package main

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// So many streams are opened at a time.
	opening = 50
	// For the most deliveries, so many events are published at once, and so many may be on their way.
	batchEvents, windowEvents = 10, 100
	poll                      = time.Millisecond
)

// The streams of all followers, and the delays that each has noted since they were last taken.
type crowd struct {
	number    int
	open      atomic.Int64
	delivered atomic.Int64
	failure   atomic.Pointer[error]
	delays    [][]time.Duration
}

// The result of a steady rate and of the search for the most deliveries.
type following struct {
	ReceiptP50 float64 `json:"receipt_p50"`
	ReceiptP99 float64 `json:"receipt_p99"`
	PublishP50 float64 `json:"publish_p50"`
	Rate       float64 `json:"rate"`
	Deliveries float64 `json:"deliveries"`
}

// The p99 of the delays of each event for idle followers (ms).
type waking struct {
	P99 []float64 `json:"p99"`
}

// Opens the streams, a few at a time, and tells the caller.
func gather(target system, number int) (*crowd, error) {
	all := &crowd{number: number, delays: make([][]time.Duration, number)}
	for first := 0; first < number; first += opening {
		last := min(first+opening, number)
		for each := first; each < last; each++ {
			go all.follow(target, each)
		}
		if err := all.wait(&all.open, last); err != nil {
			return nil, err
		}
	}
	show(map[string]int{"open": number})
	return all, awaitCaller()
}

func (all *crowd) follow(target system, number int) {
	err := target.follow(number, func(text []byte) {
		if text == nil {
			all.open.Add(1)
		} else if delay, isEvent := delayOf(text); isEvent {
			all.delays[number] = append(all.delays[number], delay)
			all.delivered.Add(1)
		}
	})
	if err == nil {
		err = errors.New("the stream ended")
	}
	err = fmt.Errorf("follower %d: %w", number, err)
	all.failure.CompareAndSwap(nil, &err)
}

// Waits until a count is reached, or a follower fails.
func (all *crowd) wait(count *atomic.Int64, expected int) error {
	for begin := time.Now(); count.Load() < int64(expected); time.Sleep(poll) {
		if failure := all.failure.Load(); failure != nil {
			return *failure
		}
		if time.Since(begin) > requestLimit {
			return fmt.Errorf("%d of %d after %s", count.Load(), expected, requestLimit)
		}
	}
	return nil
}

// Returns the delays since the last call in their order. No event may be on its way.
func (all *crowd) take() []time.Duration {
	delays := slices.Concat(all.delays...)
	for number := range all.delays {
		all.delays[number] = all.delays[number][:0]
	}
	slices.Sort(delays)
	return delays
}

func followSteadily(target system, chosen options) (any, error) {
	each, all, err := openAll(target, chosen)
	if err != nil {
		return nil, err
	}
	var result following
	var times []time.Duration
	begin, interval := time.Now(), time.Second/time.Duration(chosen.rate)
	for number := range int(chosen.seconds * float64(chosen.rate)) {
		time.Sleep(time.Until(begin.Add(time.Duration(number) * interval)))
		events := newEvents(1)
		start := time.Now()
		if err := each.publish(events); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	result.Rate = min(float64(chosen.rate), float64(len(times))/time.Since(begin).Seconds())
	if err := all.wait(&all.delivered, len(times)*all.number); err != nil {
		return nil, err
	}
	slices.Sort(times)
	delays := all.take()
	result.PublishP50 = milliseconds(times, 50)
	result.ReceiptP50, result.ReceiptP99 = milliseconds(delays, 50), milliseconds(delays, 99)
	result.Deliveries, err = mostDeliveries(each, all, chosen.most)
	return result, err
}

// Publishes as fast as all followers receive, and returns their deliveries a second.
func mostDeliveries(each publisher, all *crowd, seconds float64) (float64, error) {
	begin, first, events := time.Now(), int(all.delivered.Load()), 0
	for time.Since(begin).Seconds() < seconds {
		if err := each.publish(newEvents(batchEvents)); err != nil {
			return 0, err
		}
		events += batchEvents
		if err := all.wait(&all.delivered, first+(events-windowEvents)*all.number); err != nil {
			return 0, err
		}
	}
	err := all.wait(&all.delivered, first+events*all.number)
	return float64(events*all.number) / time.Since(begin).Seconds(), err
}

func wakeAll(target system, chosen options) (any, error) {
	each, all, err := openAll(target, chosen)
	if err != nil {
		return nil, err
	}
	var result waking
	for wake := range chosen.wakes {
		if err := each.publish(newEvents(1)); err != nil {
			return nil, err
		}
		if err := all.wait(&all.delivered, (wake+1)*all.number); err != nil {
			return nil, err
		}
		result.P99 = append(result.P99, milliseconds(all.take(), 99))
	}
	return result, nil
}

// Opens the streams, and then the publisher: Centrifugo closes a connection that sends nothing for a while.
func openAll(target system, chosen options) (publisher, *crowd, error) {
	all, err := gather(target, chosen.followers)
	if err != nil {
		return nil, nil, err
	}
	each, err := target.publisher()
	return each, all, err
}
