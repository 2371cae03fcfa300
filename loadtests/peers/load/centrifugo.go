package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

const channel = "bench"

var errNoStream = errors.New("centrifugo has no stream from the start of a long history")

// Centrifugo: its HTTP interface to publish and to read the history, and its server-sent events for followers.
type centrifugo struct {
	url string
}

func newCentrifugo(chosen options) (*centrifugo, error) {
	return &centrifugo{chosen.url}, nil
}

type centrifugoPublisher struct {
	*connection
	buffer bytes.Buffer
}

func (system *centrifugo) publisher() (publisher, error) {
	conn, err := open(system.url, "", &net.Dialer{}, smallBuffer)
	return &centrifugoPublisher{connection: conn}, err
}

func (each *centrifugoPublisher) publish(events [][]byte) error {
	path, body := "/api/publish", command(events[0])
	if len(events) > 1 {
		path, body = "/api/batch", []byte(`{"commands":[`)
		for index, event := range events {
			if index > 0 {
				body = append(body, ',')
			}
			body = fmt.Appendf(body, `{"publish":%s}`, command(event))
		}
		body = append(body, "]}"...)
	}
	if _, err := each.read(http.MethodPost, path, body, http.StatusOK, &each.buffer); err != nil {
		return err
	}
	// An error has the status 200 too. Each event that was stored has an offset.
	stored := bytes.Count(each.buffer.Bytes(), []byte(`"offset"`))
	if stored != len(events) {
		return fmt.Errorf("%d of %d events were stored: %.200s", stored, len(events), each.buffer.Bytes())
	}
	return nil
}

func command(event []byte) []byte {
	return fmt.Appendf(nil, `{"channel":%q,"data":%s}`, channel, event)
}

func (system *centrifugo) readPages(events int) error {
	conn, err := open(system.url, "", &net.Dialer{}, bigBuffer)
	if err != nil {
		return err
	}
	defer conn.Close()
	buffer := new(bytes.Buffer)
	epoch, err := historyEpoch(conn, buffer)
	if err != nil {
		return err
	}
	for count := 0; count < events; {
		body := fmt.Appendf(nil, `{"channel":%q,"limit":%d,"since":{"offset":%d,"epoch":%q}}`,
			channel, pageEvents, count, epoch)
		if _, err := conn.read(http.MethodPost, "/api/history", body, http.StatusOK, buffer); err != nil {
			return err
		}
		page := bytes.Count(buffer.Bytes(), eventMark)
		if page == 0 {
			return fmt.Errorf("%d events of %d: %.200s", count, events, buffer.Bytes())
		}
		count += page
	}
	return nil
}

func historyEpoch(conn *connection, buffer *bytes.Buffer) (string, error) {
	body := fmt.Appendf(nil, `{"channel":%q,"limit":0}`, channel)
	if _, err := conn.read(http.MethodPost, "/api/history", body, http.StatusOK, buffer); err != nil {
		return "", err
	}
	var history struct {
		Result struct {
			Epoch string `json:"epoch"`
		} `json:"result"`
	}
	err := json.Unmarshal(buffer.Bytes(), &history)
	return history.Result.Epoch, err
}

func (system *centrifugo) readStream(int) error {
	return errNoStream
}

func (system *centrifugo) follow(number int, received func([]byte)) error {
	conn, err := open(system.url, "Accept: text/event-stream\r\n", dialer(number), smallBuffer)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := url.QueryEscape(fmt.Sprintf(`{"subs":{%q:{}}}`, channel))
	return followMessages(conn, http.MethodGet, "/connection/uni_sse?cf_connect="+request, received)
}
