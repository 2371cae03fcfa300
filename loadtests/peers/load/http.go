package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// A connection for requests over HTTP/1.1, one after another.
type connection struct {
	net.Conn
	reader *bufio.Reader
	host   string
	head   string
}

// Opens a connection. The head has fields for each request, with line ends.
func open(address, head string, from *net.Dialer, buffer int) (*connection, error) {
	parts, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := from.Dial("tcp", parts.Host)
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReaderSize(conn, buffer), parts.Host, head}, nil
}

// Sends a request, and returns the response if it has this status.
func (each *connection) send(method, path string, body []byte, status int) (*http.Response, error) {
	if err := each.SetDeadline(time.Now().Add(requestLimit)); err != nil {
		return nil, err
	}
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, each.host, each.head)
	if method == http.MethodPost {
		request = fmt.Appendf(request, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	request = append(append(request, "\r\n"...), body...)
	if _, err := each.Write(request); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(each.reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return nil, fmt.Errorf("%s %s: %d %s", method, path, response.StatusCode, text)
	}
	return response, nil
}

// Sends a request, and reads the body of the response into a buffer that is used again.
func (each *connection) read(method, path string, body []byte, status int, buffer *bytes.Buffer) (*http.Response, error) {
	response, err := each.send(method, path, body, status)
	if err != nil {
		return nil, err
	}
	buffer.Reset()
	_, err = buffer.ReadFrom(response.Body)
	return response, err
}

// Reads server-sent events, and calls with the data of each until it returns false.
func readMessages(body io.Reader, buffer int, received func(data []byte) bool) error {
	lines := bufio.NewReaderSize(body, buffer)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		if data, isData := bytes.CutPrefix(line, []byte("data: ")); isData && !received(data) {
			return nil
		}
	}
}
