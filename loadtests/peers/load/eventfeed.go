package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	feed       = "/events/api/v1/app/ttd/bench"
	publishURL = "/events/api/v1/app"
	bigBuffer  = 64 * 1024
	// A follower reads an event at a time, and there are many of them.
	smallBuffer = 4 * 1024
)

var eventMark = []byte(`"specversion"`)

// The service: pages and server-sent events.
type eventfeed struct {
	url, head, end string
}

func newEventfeed(chosen options) (*eventfeed, error) {
	service := &eventfeed{url: chosen.url, head: "Authorization: Bearer " + chosen.token + "\r\n"}
	conn, err := open(service.url, service.head, &net.Dialer{}, smallBuffer)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	response, err := conn.send(http.MethodGet, "/events/api/v1/head", nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var head struct {
		Cursor string `json:"cursor"`
	}
	err = json.NewDecoder(response.Body).Decode(&head)
	service.end = head.Cursor
	return service, err
}

type eventfeedPublisher struct {
	*connection
	buffer bytes.Buffer
}

func (service *eventfeed) publisher() (publisher, error) {
	conn, err := open(service.url, service.head, &net.Dialer{}, smallBuffer)
	return &eventfeedPublisher{connection: conn}, err
}

func (each *eventfeedPublisher) publish(events [][]byte) error {
	body := events[0]
	if len(events) > 1 {
		body = append(append([]byte("["), bytes.Join(events, []byte(","))...), ']')
	}
	_, err := each.read(http.MethodPost, publishURL, body, http.StatusCreated, &each.buffer)
	return err
}

func (service *eventfeed) readPages(events int) error {
	conn, err := open(service.url, service.head, &net.Dialer{}, bigBuffer)
	if err != nil {
		return err
	}
	defer conn.Close()
	cursor, count := "0", 0
	for buffer := new(bytes.Buffer); count < events; {
		path := fmt.Sprintf("%s?after=%s&size=%d", feed, cursor, pageEvents)
		response, err := conn.read(http.MethodGet, path, nil, http.StatusOK, buffer)
		if err != nil {
			return err
		}
		page := bytes.Count(buffer.Bytes(), eventMark)
		if page == 0 {
			return fmt.Errorf("%d events of %d", count, events)
		}
		count += page
		cursor = response.Header.Get("Feed-Cursor")
	}
	return nil
}

func (service *eventfeed) readStream(events int) error {
	head := service.head + "Accept: text/event-stream\r\n"
	conn, err := open(service.url, head, &net.Dialer{}, bigBuffer)
	if err != nil {
		return err
	}
	defer conn.Close()
	response, err := conn.send(http.MethodGet, feed+"?after=0", nil, http.StatusOK)
	if err != nil {
		return err
	}
	return readMessages(response.Body, bigBuffer, func([]byte) bool { events--; return events > 0 })
}

func (service *eventfeed) follow(number int, received func([]byte)) error {
	conn, err := open(service.url, service.head+"Accept: text/event-stream\r\n", dialer(number), smallBuffer)
	if err != nil {
		return err
	}
	defer conn.Close()
	return followMessages(conn, http.MethodGet, feed+"?after="+service.end, received)
}

// Opens a stream of server-sent events, and calls with each.
func followMessages(conn *connection, method, path string, received func([]byte)) error {
	response, err := conn.send(method, path, nil, http.StatusOK)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	received(nil)
	return readMessages(response.Body, smallBuffer, func(data []byte) bool { received(data); return true })
}
