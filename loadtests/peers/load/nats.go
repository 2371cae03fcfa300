package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamName   = "bench"
	maxConsumers = 100_000
)

// NATS: JetStream with atomic batches, pull consumers for pages, and ordered consumers for followers.
type natsSystem struct {
	url string
}

func newNATS(chosen options) (*natsSystem, error) {
	system := &natsSystem{chosen.url}
	conn, err := system.open(0)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	manager, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	config := jetstream.StreamConfig{
		Name: streamName, Subjects: []string{streamName}, Storage: jetstream.FileStorage, AllowAtomicPublish: true,
		// By default 1,000, and each follower is one.
		MaxConsumers: maxConsumers,
	}
	_, err = manager.CreateOrUpdateStream(context.Background(), config)
	return system, err
}

func (system *natsSystem) open(number int) (*nats.Conn, error) {
	return nats.Connect(
		system.url, nats.SetCustomDialer(dialer(number)), nats.Timeout(requestLimit), nats.NoReconnect(),
	)
}

type natsPublisher struct {
	conn  *nats.Conn
	js    jetstream.JetStream
	name  string
	batch int
}

func (system *natsSystem) publisher() (publisher, error) {
	conn, err := system.open(0)
	if err != nil {
		return nil, err
	}
	manager, err := jetstream.New(conn)
	return &natsPublisher{conn: conn, js: manager, name: nats.NewInbox()}, err
}

func (each *natsPublisher) publish(events [][]byte) error {
	if len(events) == 1 {
		_, err := each.js.Publish(context.Background(), streamName, events[0])
		return err
	}
	each.batch++
	for index, event := range events[:len(events)-1] {
		if err := each.conn.PublishMsg(each.message(event, index+1)); err != nil {
			return err
		}
	}
	last := each.message(events[len(events)-1], len(events))
	last.Header.Set("Nats-Batch-Commit", "1")
	reply, err := each.conn.RequestMsg(last, requestLimit)
	if err != nil {
		return err
	}
	var result struct {
		Error *jetstream.APIError `json:"error"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(reply.Data, &result); err != nil {
		return err
	}
	if result.Error != nil || result.Count != len(events) {
		return fmt.Errorf("a batch of %d: %s", len(events), reply.Data)
	}
	return nil
}

// One message of the current batch.
func (each *natsPublisher) message(event []byte, number int) *nats.Msg {
	message := nats.NewMsg(streamName)
	message.Data = event
	message.Header.Set("Nats-Batch-Id", fmt.Sprintf("%.40s-%d", each.name[len("_INBOX."):], each.batch))
	message.Header.Set("Nats-Batch-Sequence", strconv.Itoa(number))
	return message
}

func (system *natsSystem) readPages(events int) error {
	conn, err := system.open(0)
	if err != nil {
		return err
	}
	defer conn.Close()
	manager, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	config := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy}
	consumer, err := manager.CreateConsumer(context.Background(), streamName, config)
	if err != nil {
		return err
	}
	for count := 0; count < events; {
		page, err := consumer.Fetch(min(pageEvents, events-count), jetstream.FetchMaxWait(requestLimit))
		if err != nil {
			return err
		}
		for range page.Messages() {
			count++
		}
		if page.Error() != nil {
			return page.Error()
		}
	}
	return nil
}

func (system *natsSystem) readStream(events int) error {
	done := make(chan struct{})
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	stop, failed, err := system.consume(0, config, func(jetstream.Msg) {
		if events--; events == 0 {
			close(done)
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	select {
	case <-done:
		return nil
	case err := <-failed:
		return err
	case <-time.After(requestLimit):
		return fmt.Errorf("%d events are missing", events)
	}
}

func (system *natsSystem) follow(number int, received func([]byte)) error {
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}
	stop, failed, err := system.consume(number, config, func(message jetstream.Msg) { received(message.Data()) })
	if err != nil {
		return err
	}
	defer stop()
	received(nil)
	return <-failed
}

// Consumes in order on a connection of its own. The channel has the error that ends it.
func (system *natsSystem) consume(
	number int, config jetstream.OrderedConsumerConfig, handler jetstream.MessageHandler,
) (func(), <-chan error, error) {
	conn, err := system.open(number)
	if err != nil {
		return nil, nil, err
	}
	failed := make(chan error, 1)
	conn.SetClosedHandler(func(*nats.Conn) { failed <- errors.New("the connection ended") })
	manager, err := jetstream.New(conn, jetstream.WithDefaultTimeout(requestLimit))
	if err != nil {
		return nil, nil, err
	}
	consumer, err := manager.OrderedConsumer(context.Background(), streamName, config)
	if err != nil {
		return nil, nil, err
	}
	_, err = consumer.Consume(handler)
	return conn.Close, failed, err
}
