package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
)

// websocket echoes every message of up to 125 bytes: as much of RFC 6455 as
// it takes to see that a proxy lets WebSockets through.
func (a *app) websocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		http.Error(w, "this is a WebSocket", http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = conn.Close() }()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
	for err == nil {
		if err = rw.Flush(); err == nil {
			err = echoFrame(rw)
		}
	}
	if !errors.Is(err, io.EOF) {
		log.Print(err)
	}
}

func echoFrame(rw *bufio.ReadWriter) error {
	var head [2]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return err
	}
	n := int(head[1] & 0x7f)
	if n > 125 || head[1]&0x80 == 0 {
		return errors.New("websocket: only masked frames of up to 125 bytes are understood")
	}
	var mask [4]byte
	payload := make([]byte, n)
	if _, err := io.ReadFull(rw, mask[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(rw, payload); err != nil {
		return err
	}
	key := binary.BigEndian.Uint32(mask[:])
	for i := range payload {
		payload[i] ^= byte(key >> (24 - 8*(i%4)))
	}
	if _, err := rw.Write([]byte{head[0], byte(n)}); err != nil {
		return err
	}
	_, err := rw.Write(payload)
	if head[0]&0x0f == 8 && err == nil {
		err = errors.Join(rw.Flush(), io.EOF)
	}
	return err
}
